"""The demo's table and pictures, from what its stages left behind."""
import json
import os

from hsakd_mm.transfer.report import print_table, provenance, read_curve, write_report

from .stages import DATA_ROOT, WORK_DIR

# Row: what was trained for it, the last of which is the backbone's own training.
ROWS = {
    'none (random)': ('random', []),
    'plain': ('plain', ['plain']),
    'HSAKD': ('hsakd', ['teacher', 'hsakd']),
}

NOTES = (
    'Each row is the same Faster R-CNN (half-width ResNet-18, FPN) with another start of its '
    'backbone; one seed. Top-1: the pretrained student on digits of the test split. AP: the '
    'detector on test scenes after its last epoch, COCO style, in percent. Seconds: all training '
    'that the row took, for HSAKD its teacher too. Parameters: the backbone.',
    'Data: 1,797 real handwritten digits (scikit-learn), as pictures and pasted into crops of '
    'photographs. It is small and made for this demo: the table shows that the pipeline works '
    'from end to end, not what the method is worth on ImageNet and COCO.',
)


def summarise(seconds: dict) -> None:
    """Write ``report.md``, ``report.json`` and the pictures, and print the table.

    Args:
        seconds (dict[str, float]): What each stage took, by its name.
    """
    from hsakd_mm.transfer.pictures import plot_bars, plot_curves

    rows = [_row(name, *row, seconds) for name, row in ROWS.items()]
    pictures = {name: os.path.join(WORK_DIR, f'{name}.png')
                for name in ('ap', 'curves', 'detections')}
    plot_bars(rows, pictures['ap'])
    plot_curves({
        'top-1 % on validation digits': {
            name: read_curve(os.path.join(WORK_DIR, stage), 'accuracy/top1')
            for name, (stage, trained) in ROWS.items() if trained},
        'AP on test scenes': {
            name: [(step, 100 * value) for step, value in read_curve(
                os.path.join(WORK_DIR, f'det_{stage}'), 'coco/bbox_mAP')]
            for name, (stage, _) in ROWS.items()},
    }, pictures['curves'])
    _draw(pictures['detections'])
    notes = [*NOTES, *(f'![{name}]({os.path.basename(file)})' for name, file in pictures.items())]
    files = write_report(rows, WORK_DIR, 'What the pretraining was worth', notes)
    print()
    print_table([{key: row[key] for key in row if key != 'seed'} for row in rows])
    print(f'\nReport: {files["md"]}   pictures: {", ".join(pictures.values())}', flush=True)


def _row(name: str, stage: str, trained: list, seconds: dict) -> dict:
    detector, = _read(f'det_{stage}', 'report.json')['rows']
    top1 = _read(f'{stage}_test', 'metrics.json')['metrics']['accuracy/top1'] if trained else None
    parts = {part: round(seconds[part], 1) for part in [*trained, f'det_{stage}']}
    origin = provenance('bash tools/demo.sh', detector['seed'])
    return dict(detector, **origin, name=name, top1=top1, seconds=sum(parts.values()),
                seconds_of=parts, detector_command=detector['command'],
                data_sha256=_manifest()['content_sha256'])


def _draw(file: str, scenes: int = 4) -> None:
    """Test scenes with what is there, and what each detector found."""
    from hsakd_mm.transfer.pictures import draw_detections
    with open(os.path.join(DATA_ROOT, 'scenes', 'test.json')) as opened:
        truth = json.load(opened)
    found = {name: _read(f'det_{stage}', 'detections.bbox.json')
             for name, (stage, _) in ROWS.items()}
    draw_detections(truth, os.path.join(DATA_ROOT, 'scenes', 'test'), found, file, scenes)


def _manifest() -> dict:
    with open(os.path.join(DATA_ROOT, 'manifest.json')) as file:
        return json.load(file)


def _read(stage: str, name: str):
    with open(os.path.join(WORK_DIR, stage, name)) as file:
        return json.load(file)
