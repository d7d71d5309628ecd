"""Makes a detector's config start from a backbone file, and checks all of it before training."""
import os

from mmengine.config import Config
from mmengine.model import initialize
from mmengine.registry import DefaultScope

from hsakd_mm.errors import UserError

from .source import Source

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def start_from(cfg: Config, source: Source) -> list:
    """Set the backbone's initializer and the input normalisation in ``cfg``.

    Random weights in frozen layers, or behind frozen BatchNorm statistics, could not learn: for
    ``random`` nothing is frozen.

    Returns:
        list[str]: What was set, in sentences.
    """
    backbone = cfg.model.backbone
    if source.backbone is None:
        backbone.init_cfg = None
        notes = ['No pretraining: the backbone starts from random weights.']
        if backbone.get('frozen_stages', -1) >= 0 or backbone.get('norm_eval'):
            backbone.frozen_stages, backbone.norm_eval = -1, False
            notes.append('Random weights cannot stay frozen: frozen_stages=-1, norm_eval=False.')
        return notes
    path = os.path.abspath(source.backbone.path)
    backbone.init_cfg = dict(type='hsakd_mm.StrictPretrained', checkpoint=path)
    hooks = [hook for hook in cfg.get('custom_hooks') or []
             if hook['type'] != 'hsakd_mm.BackboneArrivedHook']
    cfg.custom_hooks = [*hooks, dict(type='hsakd_mm.BackboneArrivedHook', checkpoint=path)]
    normalisation = source.backbone.normalisation
    notes = [f'The backbone starts from {source.backbone.path}, SHA-256 {source.backbone.sha256}.']
    said = 'as the file says'
    if not normalisation:
        normalisation, said = IMAGENET, "ImageNet's as torchvision has it: the file does not say"
    mean, std = list(normalisation['mean']), list(normalisation['std'])
    cfg.model.data_preprocessor.update(mean=mean, std=std, bgr_to_rgb=True, rgb_to_bgr=False)
    notes.append(f'Input: RGB 0..255, mean {mean}, std {std} ({said}).')
    return notes


def check_fit(cfg: Config) -> int:
    """Build the detector's backbone and initialise it, as training will.

    Returns:
        int: Its number of parameters.

    Raises:
        UserError: mmdet is absent, or the weights do not fit.
    """
    try:
        import mmdet.models  # noqa: F401  registers what configs name
        from mmdet.registry import MODELS
    except ImportError as error:
        raise UserError(f'detection needs mmdet and mmcv, and they cannot be imported ({error}): '
                        f"run pip install 'hsakd_mm[det]', or bash tools/setup_env.sh.") from error
    with DefaultScope.overwrite_default_scope('mmdet'):
        backbone = MODELS.build(cfg.model.backbone)
        if cfg.model.backbone.get('init_cfg'):
            initialize(backbone, cfg.model.backbone.init_cfg)
    return sum(parameter.numel() for parameter in backbone.parameters())


def measured_by(cfg: Config) -> str:
    """Which part of the config gives the AP: ``val``, else ``test``, else none (``''``)."""
    return next((part for part in ('val', 'test') if cfg.get(f'{part}_dataloader')
                 and cfg.get(f'{part}_evaluator')), '')


def check_data(cfg: Config) -> None:
    """Whether the files and folders that training and measuring will read exist.

    Raises:
        UserError: Lists what was expected where, or names classes that disagree.
    """
    missing = []
    measure = measured_by(cfg)
    for part in filter(None, ('train', measure)):
        for dataset in _datasets((cfg.get(f'{part}_dataloader') or {}).get('dataset') or {}):
            _check_classes(cfg, dataset)
            missing += [path for path in _expected(dataset) if not _exists(path)]
    evaluators = cfg.get(f'{measure}_evaluator') or []
    for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        if evaluator.get('ann_file') and not _exists(evaluator['ann_file']):
            missing.append(evaluator['ann_file'])
    if missing:
        missing = list(dict.fromkeys(missing))
        raise UserError(
            f"the detector's data is not where {cfg.filename or 'the config'} expects it; absent "
            f'or empty: {", ".join(missing[:6])}{", ..." if len(missing) > 6 else ""} (from '
            f'{os.getcwd()}): put the data or a link there, or set the paths with --cfg-options '
            f'(train_dataloader.dataset.data_root=DIR/ and so on).')


def _datasets(dataset: dict):
    """The datasets proper, from inside ConcatDataset, RepeatDataset and their like."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if dataset.get('dataset') else [])
    if not inner and dataset:
        yield dataset
    for part in inner:
        yield from _datasets(part)


def _expected(dataset: dict):
    root = dataset.get('data_root') or ''
    if dataset.get('ann_file'):
        yield _join(root, dataset['ann_file'])
    voc = dataset.get('type', '').rpartition('.')[2] in ('VOCDataset', 'XMLDataset')
    for prefix in (dataset.get('data_prefix') or {}).values():
        folder = _join(root, prefix)
        if voc:
            yield os.path.join(folder, dataset.get('img_subdir', 'JPEGImages'))
            yield os.path.join(folder, dataset.get('ann_subdir', 'Annotations'))
        else:
            yield folder


def _join(root: str, path: str) -> str:
    return path if '://' in path else os.path.join(root, path)


def _exists(path: str) -> bool:
    if '://' in path:
        return True  # a storage that mmengine reads; only reading would tell
    if not os.path.isdir(path):
        return os.path.isfile(path) and os.path.getsize(path) > 0
    with os.scandir(path) as entries:
        return next(entries, None) is not None


def _check_classes(cfg: Config, dataset: dict) -> None:
    classes = (dataset.get('metainfo') or {}).get('classes')
    head = (cfg.model.get('roi_head') or {}).get('bbox_head') or {}
    expected = head.get('num_classes') if isinstance(head, dict) else None
    if classes and expected and len(classes) != expected:
        raise UserError(f'the detector has num_classes={expected}, and the dataset in '
                        f'{dataset.get("data_root", ".")} names {len(classes)} classes '
                        f'({", ".join(classes[:3])}, ...): set '
                        f'model.roi_head.bbox_head.num_classes={len(classes)}, or correct '
                        f'metainfo.classes.')
