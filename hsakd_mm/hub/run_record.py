"""What is known of the run that made a checkpoint: from the checkpoint, and from the files beside it.

Nothing is guessed: what no file says stays None.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import hsakd_mm.models.distillers  # noqa: F401  registers the methods
from hsakd_mm.engine.scalars import read_logs
from hsakd_mm.files import read_json
from hsakd_mm.registry import MODELS

METRICS = ('top1', 'top5')  # behind 'accuracy/', of networks that teach each other 'accuracy/net2_'


@dataclass
class RunRecord:
    """Facts for a model card.

    Args:
        method (str): ``HSAKD`` ...
        epoch (int | None): Of the checkpoint.
        epochs (int | None): Of the whole run.
        source, source_sha256 (str): The checkpoint's name and SHA-256.
        head_is_trained (bool): The method trains the classifier.
        accuracy (dict[str, float]): In percent, by the log's name, of the validation after this epoch.
        validation (str): The data that it was measured on.
        data (str): The training data.
        images (int | None): Their number.
        teacher (dict): ``network``, ``sha256``, ``top1`` as far as known; empty without one.
        optimizer (str): The optimizer and its arguments, as configured.
        batch (int | None): Images a step of each process.
        seed (int | None): Of the run.
        origin (dict): ``command``, ``commit``, ``dirty``, ``torch``, ``hardware``, ``date`` as the run recorded them.
    """

    method: str
    epoch: int | None
    epochs: int | None
    source: str
    source_sha256: str
    head_is_trained: bool = True
    accuracy: dict = field(default_factory=dict)
    validation: str = ''
    data: str = ''
    images: int | None = None
    teacher: dict = field(default_factory=dict)
    optimizer: str = ''
    batch: int | None = None
    seed: int | None = None
    origin: dict = field(default_factory=dict)


def run_record(checkpoint: str, content: Mapping, config: Mapping, metadata: Mapping) -> RunRecord:
    """The record of a training checkpoint.

    Args:
        checkpoint (str): Its file; ``provenance.json``, ``origin.json``, ``stage.json`` and the logs are
            looked for in its folder.
        content (Mapping): What is in it.
        config (Mapping): The config in it.
        metadata (Mapping): Of :func:`~hsakd_mm.checkpoints.export.trained_backbone`.
    """
    folder, meta = os.path.dirname(os.path.abspath(checkpoint)), content.get('meta') or {}
    identity, loader = meta.get('run_identity') or {}, config.get('train_dataloader') or {}
    method = MODELS.module_dict.get(metadata.get('method') or '')
    epoch = metadata.get('epoch') if isinstance(metadata.get('epoch'), int) else None
    return RunRecord(
        method=metadata.get('method') or '',
        epoch=epoch,
        epochs=(config.get('train_cfg') or {}).get('max_epochs'),
        source=str(metadata.get('source')),
        source_sha256=str(metadata.get('source_sha256')),
        head_is_trained=getattr(method, 'learns_classes', True),
        accuracy=_accuracy(folder, epoch, str(metadata.get('network') or '')),
        validation=_data(config.get('val_dataloader')),
        data=_data(loader),
        images=(identity.get('data') or {}).get('images'),
        teacher=_teacher(config, content, identity),
        optimizer=_optimizer((config.get('optim_wrapper') or {}).get('optimizer') or {}),
        batch=loader.get('batch_size'),
        seed=meta.get('seed'),
        origin=_origin(folder),
    )


def _accuracy(folder: str, epoch: int | None, network: str) -> dict:
    """What the run logged after this epoch; of a pair that taught each other what it logged of this network."""
    wanted = [f'{network}_{metric}' if network else metric for metric in METRICS]
    found: dict = {}
    for lines in read_logs(folder):
        for line in lines:
            if 'lr' not in line and line.get('step') == epoch and epoch is not None:
                found = {key: value for key, value in line.items() if key.rpartition('/')[2] in wanted}
    return {key: float(value) for key, value in found.items() if isinstance(value, int | float)}


def _origin(folder: str) -> dict:
    stage = read_json(folder, 'stage.json')
    origin = {**read_json(folder, 'provenance.json'), **read_json(folder, 'origin.json')}  # of the run; of a bench's
    if stage.get('command'):  # that of this run; origin.json has the one of the whole bench
        origin['command'] = stage['command']
    return {key: value for key, value in origin.items() if value not in (None, '', 'unknown')}


def _optimizer(config: Mapping) -> str:
    rest = ', '.join(f'{key} {value}' for key, value in config.items() if key != 'type')
    return f'{config.get("type")} ({rest})' if config else ''


def _teacher(config: Mapping, content: Mapping, identity: Mapping) -> dict:
    hooks = [*(config.get('default_hooks') or {}).values(), *(config.get('custom_hooks') or [])]
    hook = next((hook for hook in hooks if str((hook or {}).get('type')).endswith('DistillationHook')), None)
    if hook is None:
        return {}
    backbone = (hook.get('teacher') or {}).get('backbone') or {}
    runtime = (content.get('message_hub') or {}).get('runtime_info') or {}
    top1 = runtime.get('teacher_top1')
    given = dict(
        network=_named(backbone),
        checkpoint=os.path.basename(str(hook.get('checkpoint') or '').rstrip('/')) or None,
        sha256=(identity.get('weights') or {}).get('teacher'),
        top1=100 * top1 if isinstance(top1, float) else None,
    )
    return {key: value for key, value in given.items() if value is not None}


def _named(backbone: Mapping) -> str:
    if backbone.get('model_name'):
        return str(backbone['model_name'])
    depth = backbone.get('depth')
    return str(backbone.get('type') or '').rpartition('.')[2] + (f', depth {depth}' if depth else '')


def _data(loader) -> str:
    """Type, folder and split of a data set, as the config names them."""
    dataset = (loader or {}).get('dataset') or {}
    while isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    kind = str(dataset.get('type') or '').rpartition('.')[2]
    folder = os.path.basename(str(dataset.get('data_root') or '').rstrip('/'))
    fraction = dataset.get('fraction')
    parts = [kind, folder, dataset.get('split'), f'{fraction:g} of each class' if fraction else None]
    return ', '.join(str(part) for part in parts if part)
