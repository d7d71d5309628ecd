"""Prepare a detector's config: start from a backbone file, check that it fits, record detections."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import Config
from mmengine.model import initialize
from mmengine.registry import DefaultScope, Registry
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hsakd_mm.checkpoints.backbone_file import is_head
from hsakd_mm.checkpoints.source import IMAGENET, BackboneSource
from hsakd_mm.errors import UserError

from .channels import has_auto_channels, match_channels, name_backbone, name_network
from .evaluators import evaluators_of, is_kind, is_wrapper
from .initializer import is_strict

STRICT = 'hsakd_mm.StrictPretrained'
BACKBONE_CHECK = 'hsakd_mm.BackboneCheckHook'
RECORDS = 'hsakd_mm.DetectionRecords'
SHOWN = 8  # frozen submodules that are named


def start_from(cfg: Config, source: BackboneSource) -> list:
    """Set the backbone's initializer and the input normalisation in ``cfg``.

    Other modules initialised with StrictPretrained (the last stage of a C4 detector, which is part
    of its head) are loaded from the same file. For ``random`` nothing is frozen, because frozen
    layers would keep their random weights.

    Returns:
        list[str]: Sentences that say what was set.

    Raises:
        UserError: ``random``, and the config names weights.
    """
    backbone = cfg.model.backbone
    parts = [backbone, *(part for part in _strict_parts(cfg.model) if part is not backbone)]
    if source.backbone is None:
        return _start_random(cfg, parts)
    path = os.path.abspath(source.backbone.path)
    for part in parts:
        init_cfg = part.get('init_cfg') or {}
        kept = init_cfg if is_strict(init_cfg) else {}
        part.init_cfg = dict(kept, type=STRICT, checkpoint=path)
    hooks = cfg.get('custom_hooks') or []
    arrived = next((hook for hook in hooks if hook['type'] == BACKBONE_CHECK), {})
    cfg.custom_hooks = [
        *(hook for hook in hooks if hook is not arrived),
        dict(arrived, type=BACKBONE_CHECK, checkpoint=path),
    ]
    normalisation = source.backbone.normalisation
    tensors = sum(not is_head(key) for key in source.backbone.state_dict)
    notes = [f'The backbone starts from {source.backbone.path}, SHA-256 {source.backbone.sha256}, {tensors} tensors.']
    origin = 'from the file'
    if not normalisation:
        normalisation, origin = IMAGENET, "torchvision's for ImageNet: the file has none"
    mean, std = list(normalisation['mean']), list(normalisation['std'])
    order = normalisation.get('channel_order') or 'RGB'
    # The images are loaded as BGR.
    _preprocessor(cfg).update(mean=mean, std=std, bgr_to_rgb=order == 'RGB', rgb_to_bgr=False)
    notes.append(f'Input: {order} 0..255, mean {mean}, std {std} ({origin}).')
    return notes


def _preprocessor(cfg: Config) -> dict:
    """The config of the data preprocessor; Runner takes that of the model, else the one beside it."""
    owner = cfg if cfg.get('data_preprocessor') and not cfg.model.get('data_preprocessor') else cfg.model
    if not owner.get('data_preprocessor'):
        owner.data_preprocessor = dict(type='DetDataPreprocessor', pad_size_divisor=32)
    return owner.data_preprocessor


def _start_random(cfg: Config, parts: list) -> list:
    backbone = cfg.model.backbone
    loaded = {'load_from': cfg.get('load_from'), 'model.backbone.pretrained': backbone.get('pretrained')}
    if named := [key for key, value in loaded.items() if value]:
        raise UserError(
            f'"random" means random weights, and the config loads weights with '
            f'{" and ".join(named)}: remove that, or name the file instead of random.'
        )
    notes = ['No pretraining: the backbone starts from random weights.']
    if any(part.get('frozen_stages', -1) >= 0 or part.get('norm_eval') for part in parts):
        notes.append('Random weights are not frozen: frozen_stages=-1, norm_eval=False.')
        for part in parts:
            trained = dict(frozen_stages=-1, norm_eval=False)
            part.update({key: value for key, value in trained.items() if key in part or part is backbone})
    for part in parts:
        part.init_cfg = None
    if cfg.get('custom_hooks'):
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] != BACKBONE_CHECK]
    return notes


def check_fit(cfg: Config, source: BackboneSource, images: int) -> tuple:
    """Build and initialise the detector's backbone as training will, and run it through the neck.

    Args:
        cfg (Config): The detector's, after :func:`start_from`.
        source (BackboneSource): The backbone's weights.
        images (int): Images per step, over all processes.

    Returns:
        tuple[int, str]: Number of parameters of the backbone, and what is frozen and the learning
        rate in sentences.

    Raises:
        UserError: mmdet is absent, the weights do not fit or are of another network, or the neck does not take the
            feature maps.
    """
    with mmdet_models() as models:
        backbone = models.build(cfg.model.backbone)
        built = [
            (part, backbone if part is cfg.model.backbone else models.build(part)) for part in _strict_parts(cfg.model)
        ]
        try:
            for part, module in built:
                initialize(module, part.init_cfg)
        except UserError as error:
            raise _named(error, cfg, source) from None  # one sentence, not two
        match_channels(cfg.model, models.build)
    return (
        sum(parameter.numel() for parameter in backbone.parameters()),
        f'{_frozen(backbone)} {_learning_rate(cfg, images)}',
    )


def fill_channels(cfg: Config) -> None:
    """Replace ``neck.in_channels='auto'`` by the channels of the backbone's feature maps.

    Raises:
        UserError: mmdet is absent, or the channels cannot be found out.
    """
    if has_auto_channels(cfg.model):
        check_channels(cfg)


def check_channels(cfg: Config) -> None:
    """Check ``neck.in_channels`` by the backbone's feature maps; replace ``'auto'``.

    Raises:
        UserError: They do not fit (the right numbers are named), or mmdet is absent.
    """
    with mmdet_models() as models:
        match_channels(cfg.model, models.build)


@contextmanager
def mmdet_models() -> Iterator[Registry]:
    """MMDetection's registry of models, in its scope.

    Raises:
        UserError: mmdet is absent.
    """
    try:
        import mmdet.models  # noqa: F401  registers what configs name
        from mmdet.registry import MODELS
    except ImportError as error:
        raise UserError(
            f'detection needs mmdet and mmcv, and they cannot be imported ({error}): '
            f"run pip install 'hsakd_mm[det]' (in a checkout pip install -e '.[det]', or bash tools/setup_env.sh)."
        ) from error
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield MODELS


def evaluated_split(cfg: Config) -> str:
    """The split on which the AP is measured: ``val``, else ``test``; ``''`` if the config has neither."""
    return next(
        (part for part in ('val', 'test') if cfg.get(f'{part}_dataloader') and cfg.get(f'{part}_evaluator')), ''
    )


def record_detections(cfg: Config, out_file: str) -> None:
    """Add DetectionRecords, which writes every image's detections to ``out_file``, to the evaluators.

    It replaces a DetectionRecords that the config already has (a config that another run wrote has
    one that writes into that run's folder).

    Raises:
        UserError: The evaluator takes no further metric.
    """
    part = evaluated_split(cfg)
    key = f'{part}_evaluator'
    if is_wrapper(cfg[key]) and is_kind(cfg[key], 'MultiDatasetsEvaluator'):
        raise UserError(
            f'a transfer ends in one AP, and the MultiDatasetsEvaluator of {key} gives one for each dataset: write one '
            f'annotation file of all their images, and name it in {key}=dict(type="CocoMetric", ann_file=FILE).'
        )
    others = [metric for metric in evaluators_of(cfg, part) if not is_kind(metric, 'DetectionRecords')]
    metrics = [*others, dict(type=RECORDS, out_file=out_file)]
    cfg[key] = dict(cfg[key], metrics=metrics) if is_wrapper(cfg[key]) else metrics


def as_test_config(cfg: Config) -> Config:
    """A copy of ``cfg`` for ``tools/test.py``, with the split that gives the AP as its test set."""
    measured = copy.deepcopy(cfg)
    for part in ('dataloader', 'evaluator'):
        measured[f'test_{part}'] = cfg[f'{evaluated_split(cfg)}_{part}']
    measured.test_cfg = cfg.get('test_cfg') or dict(type='TestLoop')
    return measured


def _strict_parts(config) -> list:
    """All configs inside ``config`` of modules that StrictPretrained initialises."""
    if isinstance(config, list | tuple):
        return [part for item in config for part in _strict_parts(item)]
    if not isinstance(config, dict):
        return []
    here = [config] if is_strict(config.get('init_cfg')) else []
    return here + [part for item in config.values() for part in _strict_parts(item)]


def _named(error: UserError, cfg: Config, source: BackboneSource) -> UserError:
    """The loader's sentence, preceded by the names of both networks if the file names its own."""
    metadata = source.backbone.metadata if source.backbone else {}
    if source.backbone is None or not metadata.get('backbone_type'):
        return error
    arguments = {'model_name': metadata.get('model_name'), **(metadata.get('model_kwargs') or {})}
    return UserError(
        f'{source.backbone.path} holds {name_network(metadata["backbone_type"], arguments)}, and the '
        f"detector's backbone is {name_backbone(cfg.model.backbone)}: {error}"
    )


def _frozen_parts(module: nn.Module, path: str = '') -> Iterator[str]:
    """Names of the largest submodules that are frozen as a whole, and of single frozen parameters."""
    for name, parameter in module.named_parameters(recurse=False):
        if not parameter.requires_grad:
            yield path + name
    for name, child in module.named_children():
        parameters = list(child.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            yield path + name
        else:
            yield from _frozen_parts(child, f'{path}{name}.')


def _frozen(backbone: nn.Module) -> str:
    """What is frozen, read from the module in training mode, whichever config keys froze it."""
    backbone.train()
    every = list(backbone.parameters())
    total = sum(parameter.numel() for parameter in every)
    count = sum(parameter.numel() for parameter in every if not parameter.requires_grad)
    parts = list(_frozen_parts(backbone))
    names = ', '.join(parts[:SHOWN]) + (f' and {len(parts) - SHOWN} more' if len(parts) > SHOWN else '')
    frozen = (
        f'Frozen: {count:,} of {total:,} parameters of the backbone ({names})'
        if parts
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
