"""Makes a detector's config start from a backbone file, and says what of it fits and is frozen."""

import copy
import os

from mmengine.config import Config
from mmengine.model import initialize
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hsakd_mm.checkpoints.backbone_file import is_head
from hsakd_mm.checkpoints.source import IMAGENET, Source
from hsakd_mm.errors import UserError

STRICT = 'hsakd_mm.StrictPretrained'
ARRIVED = 'hsakd_mm.BackboneArrivedHook'
RECORDS = 'hsakd_mm.DetectionRecords'


def start_from(cfg: Config, source: Source) -> list:
    """Set the backbone's initializer and the input normalisation in ``cfg``.

    Other parts of the model that ask for StrictPretrained (the last stage of a C4 detector, which
    is in its head) start from the same file.

    Random weights in frozen layers, or behind frozen BatchNorm statistics, could not learn: for
    ``random`` nothing is frozen.

    Returns:
        list[str]: What was set, in sentences.
    """
    backbone = cfg.model.backbone
    parts = [backbone, *(part for part in _strict_parts(cfg.model) if part is not backbone)]
    if source.backbone is None:
        named = [
            key
            for key, value in (
                ('load_from', cfg.get('load_from')),
                ('model.backbone.pretrained', backbone.get('pretrained')),
            )
            if value
        ]
        if named:
            raise UserError(
                f'"random" starts from no weights, and the config names some in '
                f'{" and ".join(named)}: remove that, or name the file instead of '
                f'random.'
            )
        for part in parts:
            part.init_cfg = None
        notes = ['No pretraining: the backbone starts from random weights.']
        if any(part.get('frozen_stages', -1) >= 0 or part.get('norm_eval') for part in parts):
            for part in parts:
                part.update(
                    {
                        key: value
                        for key, value in (('frozen_stages', -1), ('norm_eval', False))
                        if key in part or part is backbone
                    }
                )
            notes.append('Random weights cannot stay frozen: frozen_stages=-1, norm_eval=False.')
        return notes
    path = os.path.abspath(source.backbone.path)
    for part in parts:
        init_cfg = part.get('init_cfg') or {}
        kept = init_cfg if _is_strict(init_cfg) else {}
        part.init_cfg = dict(kept, type=STRICT, checkpoint=path)
    hooks = cfg.get('custom_hooks') or []
    arrived = next((hook for hook in hooks if hook['type'] == ARRIVED), {})
    cfg.custom_hooks = [*(hook for hook in hooks if hook is not arrived), dict(arrived, type=ARRIVED, checkpoint=path)]
    normalisation = source.backbone.normalisation
    tensors = sum(not is_head(key) for key in source.backbone.state_dict)
    notes = [f'The backbone starts from {source.backbone.path}, SHA-256 {source.backbone.sha256}, {tensors} tensors.']
    said = 'as the file says'
    if not normalisation:
        normalisation, said = IMAGENET, "ImageNet's as torchvision has it: the file does not say"
    mean, std = list(normalisation['mean']), list(normalisation['std'])
    cfg.model.data_preprocessor.update(mean=mean, std=std, bgr_to_rgb=True, rgb_to_bgr=False)
    notes.append(f'Input: RGB 0..255, mean {mean}, std {std} ({said}).')
    return notes


def check_fit(cfg: Config, source: Source, images: int) -> tuple:
    """Build the detector's backbone and initialise it, as training will.

    Args:
        cfg (Config): The detector's, after :func:`start_from`.
        source (Source): What it starts from.
        images (int): Images a step, over all processes.

    Returns:
        tuple[int, str]: Its number of parameters, and a sentence on what of it is not trained.

    Raises:
        UserError: mmdet is absent, or the weights do not fit.
    """
    try:
        import mmdet.models  # noqa: F401  registers what configs name
        from mmdet.registry import MODELS
    except ImportError as error:
        raise UserError(
            f'detection needs mmdet and mmcv, and they cannot be imported ({error}): '
            f"run pip install 'hsakd_mm[det]', or bash tools/setup_env.sh."
        ) from error
    with DefaultScope.overwrite_default_scope('mmdet'):
        backbone = MODELS.build(cfg.model.backbone)
        built = [
            (part, backbone if part is cfg.model.backbone else MODELS.build(part)) for part in _strict_parts(cfg.model)
        ]
        try:
            for part, module in built:
                initialize(module, part.init_cfg)
        except UserError as error:
            raise _named(error, cfg, source) from None  # one sentence, not two
    return (
        sum(parameter.numel() for parameter in backbone.parameters()),
        f'{_frozen(backbone)} {_learning_rate(cfg, images)}',
    )


def measured_by(cfg: Config) -> str:
    """Which part of the config gives the AP: ``val``, else ``test``, else none (``''``)."""
    return next(
        (part for part in ('val', 'test') if cfg.get(f'{part}_dataloader') and cfg.get(f'{part}_evaluator')), ''
    )


def record_detections(cfg: Config, out_file: str) -> None:
    """Have what is found in each image written to ``out_file``, beside the AP.

    A record that the config already asks for gives way: in a config that another run has written
    it is that run's.
    """
    key = f'{measured_by(cfg)}_evaluator'
    metrics = cfg[key] if isinstance(cfg[key], list | tuple) else [cfg[key]]
    others = [metric for metric in metrics if metric['type'].rpartition('.')[2] != 'DetectionRecords']
    cfg[key] = [*others, dict(type=RECORDS, out_file=out_file)]


def to_measure(cfg: Config) -> Config:
    """A copy for ``tools/test.py``, whose test set is what gives the AP."""
    measured = copy.deepcopy(cfg)
    for part in ('dataloader', 'evaluator'):
        measured[f'test_{part}'] = cfg[f'{measured_by(cfg)}_{part}']
    measured.test_cfg = cfg.get('test_cfg') or dict(type='TestLoop')
    return measured


def _is_strict(init_cfg) -> bool:
    return isinstance(init_cfg, dict) and init_cfg.get('type', '').endswith('StrictPretrained')


def _strict_parts(config) -> list:
    """The configs of modules, inside ``config``, whose weights StrictPretrained gives."""
    if isinstance(config, list | tuple):
        return [part for item in config for part in _strict_parts(item)]
    if not isinstance(config, dict):
        return []
    here = [config] if _is_strict(config.get('init_cfg')) else []
    return here + [part for item in config.values() for part in _strict_parts(item)]


def _named(error: UserError, cfg: Config, source: Source) -> UserError:
    """The loader's sentence, after the names of both networks where the file tells its own."""
    said = source.backbone.metadata if source.backbone else {}
    if source.backbone is None or not said.get('backbone_type'):
        return error
    own = dict(cfg.model.backbone)
    kind = own.pop('type')
    shown = ('depth', 'model_name', 'base_channels', 'num_stages')
    theirs = {'model_name': said.get('model_name'), **(said.get('model_kwargs') or {})}
    return UserError(
        f'{source.backbone.path} holds {_call(said["backbone_type"], theirs)}, and the '
        f"detector's backbone is {_call(kind, {key: own[key] for key in shown if key in own})}: "
        f'{error}'
    )


def _call(name: str, kwargs: dict) -> str:
    return f'{name}({", ".join(f"{k}={v!r}" for k, v in kwargs.items() if v is not None)})'


def _frozen(backbone: nn.Module) -> str:
    """Seen on the module in training mode: whatever the config calls it."""
    backbone.train()
    every = list(backbone.named_parameters())
    fixed = {name for name, parameter in every if not parameter.requires_grad}
    count = sum(parameter.numel() for name, parameter in every if name in fixed)
    total = sum(parameter.numel() for _, parameter in every)
    whole = [
        child
        for child, module in backbone.named_children()
        if any(True for _ in module.parameters())
        and all(f'{child}.{name}' in fixed for name, _ in module.named_parameters())
    ]
    said = f' ({", ".join(whole)})' if whole else ''
    frozen = (
        f'Frozen: {count:,} of {total:,} parameters of the backbone{said}'
        if fixed
        else f'Frozen: none of {total:,} parameters of the backbone'
    )
    norms = [module for module in backbone.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return f'{frozen}; it has no BatchNorm.'
    still = sum(not norm.training for norm in norms)
    synced = any(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    return (
        f'{frozen}; the running statistics of {still} of {len(norms)} '
        f'{"SyncBatchNorm" if synced else "BatchNorm"} layers stay as they are.'
    )


def _learning_rate(cfg: Config, images: int) -> str:
    rate = ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('lr')
    scale = cfg.get('auto_scale_lr') or {}
    base = scale.get('base_batch_size')
    if rate is None:
        return ''
    if scale.get('enable') and base and base != images:
        return f'Learning rate {rate * images / base:g} for {images} images a step ({rate:g} for {base}, scaled).'
    return f'Learning rate {rate:g} for {images} images a step.'
