"""The AP of a finished detector run, and the setting that it was measured in."""

import os
import sys
from collections.abc import Callable

from mmengine.config import Config

from hsakd_mm.checkpoints.work_dir import last_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.detection_records import FILE, read_record
from hsakd_mm.files import read_json, write_atomically
from hsakd_mm.reports.metrics import METRICS, in_percent, read_metrics
from hsakd_mm.transfer.detector import as_test_config, evaluated_split
from hsakd_mm.transfer.evaluators import evaluators_of, is_kind
from hsakd_mm.transfer.mended import inner_datasets

from .child import tool

AP_METRICS = ('CocoMetric', 'VOCMetric')  # of MMDetection, whose figures METRICS names


def final_metrics(cfg: Config, work_dir: str, config: str, validates: bool, run: Callable) -> dict:
    """AP, AP50, … of the last epoch in percent, from the log or else measured now.

    mmengine saves an epoch before it validates it: a run that was stopped between the two and then resumed has
    nothing left to do, and no AP of its end. mmdet gives no metrics where no box was found: that is an AP of 0. Where
    there is no object to find, every figure is None.

    Args:
        cfg (Config): The detector's.
        work_dir (str): The run's, with its logs and checkpoints.
        config (str): The file with ``cfg``.
        validates (bool): Whether the run validates its last epoch.
        run (Callable): Runs a command.

    Returns:
        dict: Keys of :data:`~hsakd_mm.reports.metrics.METRICS`, and perhaps ``remark``.

    Raises:
        UserError: There is no checkpoint to measure, or the metric is not an AP.
    """
    last = cfg.train_cfg.get('max_epochs') or cfg.train_cfg.get('max_iters')
    metrics = (validates and read_metrics(work_dir, last)) or _test(cfg, work_dir, config, run)
    record = os.path.join(work_dir, FILE)
    content = read_record(record) if os.path.isfile(record) else None
    if content and not any(not box['ignore'] for box in content['truth']):
        nothing = f'There is no AP: the {len(content["images"])} images that it is measured on hold no object to find.'
        return {**dict.fromkeys(METRICS), 'remark': nothing}
    if metrics:
        return metrics
    is_ap = any(is_kind(each, *AP_METRICS) for each in evaluators_of(cfg, evaluated_split(cfg)))
    if content and is_ap and not content['found']:
        threshold = ((cfg.model.get('test_cfg') or {}).get('rcnn') or {}).get('score_thr')
        above = '' if threshold is None else f' with a score above {threshold:g} (model.test_cfg.rcnn.score_thr)'
        remark = f'No box{above} was found in {len(content["images"])} images: AP is 0.'
        return {**dict.fromkeys(METRICS, 0.0), 'remark': remark}
    raise UserError(
        f'the run in {work_dir} was expected to end in an AP, and its metric is another: use CocoMetric or VOCMetric.'
    )


def _test(cfg: Config, work_dir: str, config: str, run: Callable) -> dict:
    """Measure the last checkpoint with tools/test.py, as the validation would have."""
    checkpoint = last_checkpoint(work_dir)
    if checkpoint is None:
        raise UserError(
            f'the run in {work_dir} was expected to leave a checkpoint to measure, and there is none: save the last '
            f'epoch (default_hooks.checkpoint).'
        )
    folder = os.path.join(work_dir, 'final_test')
    config = os.path.join(folder, os.path.basename(config))
    out = os.path.join(folder, 'metrics.json')
    write_config(as_test_config(cfg), config)
    print('No AP was logged after the last epoch: measuring it.', flush=True)
    run([sys.executable, tool('test.py'), config, checkpoint, '--work-dir', folder, '--out', out])
    return in_percent(read_json(out)['metrics'])


def setting(cfg: Config, work_dir: str) -> dict:
    """What a report says of the data and the detector: names, sizes, epochs; None for what cannot be told."""
    loader = cfg.train_dataloader
    dataset = next(inner_datasets(loader.dataset))
    backbone = cfg.model.backbone
    width = backbone.get('base_channels', 64)
    name = backbone.get('model_name') or ' '.join(
        [f'{backbone.type}-{backbone.depth}' if 'depth' in backbone else backbone.type]
        + ([f'({width} channels)'] if width != 64 else [])
    )
    scales = [step['scale'] for step in dataset.get('pipeline', []) if step.get('scale') and 'Resize' in step['type']]
    record = os.path.join(work_dir, FILE)
    return dict(
        dataset=f'{dataset.type} {(dataset.get("data_root") or "").rstrip("/")}'.strip(),
        train_images=_count(dataset),
        val_images=len(read_record(record)['images']) if os.path.isfile(record) else None,
        image_size=list(scales[0]) if scales and isinstance(scales[0], list | tuple) else None,
        epochs=cfg.train_cfg.get('max_epochs'),
        detector=f'{cfg.model.type}, {name}',
    )


def _count(dataset: dict) -> int | None:
    """Images of a COCO file, or of those of it that ``indices`` chooses."""
    chosen = dataset.get('indices')
    if chosen is not None:
        return chosen if isinstance(chosen, int) else len(chosen)
    path = os.path.join(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    if not path.endswith('.json') or not os.path.isfile(path):
        return None
    return len(read_json(path).get('images', []))


def write_config(cfg: Config, path: str) -> None:
    """Whole or not at all: another machine may be reading it."""
    write_atomically(path, lambda file: file.write(cfg.pretty_text.encode()))
