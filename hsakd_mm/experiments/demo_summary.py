"""The demo's table and pictures, from what its stages left behind."""

import json
import os

from hsakd_mm.engine.scalars import read_curve
from hsakd_mm.reports.pictures import draw_detections, plot_bars, plot_curves
from hsakd_mm.reports.table import print_table, write_report

from .demo_plan import DATA_ROOT, Plan

# Row: what was trained for it, the last of which is the backbone's own training.
ROWS = {'none (random)': ('random', []), 'plain': ('plain', ['plain']), 'HSAKD': ('hsakd', ['teacher', 'hsakd'])}

NOTES = (
    'Each row is the same Faster R-CNN (half-width ResNet-18, FPN) with another start of its '
    'backbone, by the protocol of configs/transfer: 12 epochs, stem, first stage and BatchNorm '
    'statistics frozen; from random weights nothing is frozen. One seed. Top-1: the pretrained '
    'student on digits of the test split. AP: the detector on test scenes after its last epoch, '
    'COCO style, in percent. Seconds: all training that the row took, for HSAKD its teacher too. '
    'Parameters: the backbone.',
    'Data: 1,797 real handwritten digits (scikit-learn), as pictures and pasted into crops of '
    'photographs. It is small and made for this demo: the table shows that the pipeline works '
    'from end to end, not what the method is worth on ImageNet and COCO.',
)


def summarise(plan: Plan) -> None:
    """Write ``report.md``, ``report.json`` and the pictures, and print the table."""
    rows = [_row(plan, name, *row) for name, row in ROWS.items()]
    pictures = {name: os.path.join(plan.work_dir, f'{name}.png') for name in ('ap', 'curves', 'detections')}
    plot_bars(rows, pictures['ap'])
    plot_curves(
        {
            'top-1 % on validation digits': {
                name: read_curve(plan.folder(stage), 'accuracy/top1')
                for name, (stage, trained) in ROWS.items()
                if trained
            },
            'AP on test scenes': {
                name: [
                    (epoch, 100 * value) for epoch, value in read_curve(plan.folder(f'det_{stage}'), 'coco/bbox_mAP')
                ]
                for name, (stage, _) in ROWS.items()
            },
        },
        pictures['curves'],
    )
    scenes = os.path.join(DATA_ROOT, 'scenes')
    draw_detections(
        _read(scenes, 'test.json'),
        os.path.join(scenes, 'test'),
        {name: _read(plan.folder(f'det_{stage}'), 'detections.bbox.json') for name, (stage, _) in ROWS.items()},
        pictures['detections'],
    )

    notes = [*NOTES, *(f'![{name}]({os.path.basename(file)})' for name, file in pictures.items())]
    if plan.smoke:
        notes.insert(0, '**Smoke run: one epoch on a few pictures. The numbers mean nothing.**')
    files = write_report(rows, plan.work_dir, 'What the pretraining was worth', notes)
    print()
    print_table([{key: row[key] for key in row if key != 'seed'} for row in rows])
    print(f'\nReport: {files["md"]}\nPictures: {", ".join(pictures.values())}', flush=True)


def _row(plan: Plan, name: str, stage: str, trained: list) -> dict:
    (detector,) = _read(plan.folder(f'det_{stage}'), 'report.json')['rows']
    top1 = None
    if trained:
        metrics = _read(plan.folder(f'{stage}_test'), 'metrics.json')['metrics']
        top1 = metrics['accuracy/top1']
    seconds = {part: round(plan.stages[part].seconds, 1) for part in [*trained, f'det_{stage}']}
    return dict(
        detector,
        name=name,
        top1=top1,
        seconds=sum(seconds.values()),
        seconds_of=seconds,
        command='bash tools/demo.sh',
        detector_command=detector['command'],
        data_sha256=_read(DATA_ROOT, 'manifest.json')['content_sha256'],
    )


def _read(folder: str, name: str):
    with open(os.path.join(folder, name)) as file:
        return json.load(file)
