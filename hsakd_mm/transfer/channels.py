"""The neck's ``in_channels``: checked against the backbone's feature maps, or filled in for ``'auto'``.

The channels are those of the feature maps of a small image. They are found when a transfer prepares
its config, and for all other tools (tools/train.py, MMDetection's own, ``init_detector``) when the
detector is built.
"""

import copy
from collections.abc import Callable, Mapping
from functools import partial

import torch
from mmengine.registry import MODELS

from hsakd_mm.errors import UserError
from hsakd_mm.randomness import isolated_rng

from .strides import check_levels, match_in_stride

AUTO = 'auto'
PIXELS = 128  # side of the image: 4 x 4 pixels are left at stride 32


def match_channels(model: dict, build: Callable) -> None:
    """Replace ``neck.in_channels='auto'`` by the channels of the backbone's maps, or check the numbers.

    Args:
        model (dict): A detector's config. Without a neck (C4) there is nothing to do.
        build (Callable): Builds a module from its config.

    Raises:
        UserError: The neck does not take these maps; the sentence names the right numbers. Or a timm network's levels
            have other strides than the detector's head expects.
    """
    key, neck = _first_neck(model)
    given = neck.get('in_channels')
    if not given or not model.get('backbone'):
        return
    with isolated_rng(), torch.no_grad():
        try:
            net = build(model['backbone'])
            maps = _run(net, torch.zeros(1, 3, PIXELS, PIXELS))
            channels = [features.shape[1] for features in maps]
        except UserError:
            raise
        except Exception as error:
            if given != AUTO:
                return  # cannot be checked
            raise UserError(
                f"{key}.in_channels='auto' asks for the channels of the backbone's feature maps, and "
                f'{model["backbone"].get("type")} gave none for an image of {PIXELS} x {PIXELS} pixels '
                f'({type(error).__name__}: {error}): set the numbers.'
            ) from error
        is_timm = str(model['backbone'].get('type', '')).endswith('TimmDetBackbone')
        if is_timm:
            match_in_stride(key, neck, net.strides)
        if given == AUTO:
            neck['in_channels'] = channels
        elif given == channels and not is_timm:
            return
        try:
            levels = _run(build(neck), maps)
        except Exception as error:
            if 'unexpected keyword argument' in str(error):
                raise UserError(
                    f'{neck["type"]} does not take what {key} gives it ({error}): correct that name.'
                ) from error
            if given == AUTO:
                raise UserError(
                    f"{key}.in_channels='auto' fills in {channels}, and {neck['type']} does not take these "
                    f'({type(error).__name__}: {error}): set the numbers that it expects.'
                ) from error
            raise UserError(
                f'the neck takes feature maps of {given} channels, and those of the backbone '
                f"({name_backbone(model['backbone'])}) have {channels}: set {key}.in_channels={channels}, or 'auto'."
            ) from error
        if is_timm and key == 'model.neck':
            check_levels(model, levels, PIXELS, build)


def provide_auto_channels() -> None:
    """Let every model registry build detectors with ``neck.in_channels='auto'``; imports no mmdet.

    A Runner and MMDetection's tools build a detector with the ``build_func`` of a registry.
    Registries that are created later inherit that of mmengine's.
    """
    for registry in (MODELS, *MODELS.children.values()):
        registry.build_func = partial(_build, registry.build_func)


def name_network(kind: str, arguments: Mapping) -> str:
    """``ResNet(depth=18, base_channels=32)``, for messages."""
    return f'{kind}({", ".join(f"{name}={value!r}" for name, value in arguments.items() if value is not None)})'


def name_backbone(backbone: Mapping) -> str:
    """A detector's backbone: its type and the arguments that decide its widths, for messages."""
    shown = ('depth', 'model_name', 'base_channels', 'num_stages')
    return name_network(backbone['type'], {name: backbone[name] for name in shown if name in backbone})


def has_auto_channels(model: Mapping) -> bool:
    return _first_neck(model)[1].get('in_channels') == AUTO


def _first_neck(model: Mapping) -> tuple:
    """Key and config of the module that takes the backbone's maps; an empty config without a neck."""
    neck = model.get('neck') or {}
    return ('model.neck', neck) if isinstance(neck, dict) else ('model.neck.0', neck[0])


def _build(usual: Callable, cfg, *args, registry, **kwargs):
    # Numbers are checked only for backbones that start from a file; other detectors are left alone.
    if isinstance(cfg, dict) and 'neck' in cfg and (has_auto_channels(cfg) or _is_strict(cfg.get('backbone'))):
        cfg = copy.deepcopy(cfg)
        match_channels(cfg, partial(usual, registry=registry))
    return usual(cfg, *args, registry=registry, **kwargs)


def _is_strict(backbone) -> bool:
    init_cfg = backbone.get('init_cfg') if isinstance(backbone, dict) else None
    return isinstance(init_cfg, dict) and init_cfg.get('type') == 'hsakd_mm.StrictPretrained'


def _run(module: torch.nn.Module, features):
    module.eval()  # that of mmdet's ResNet returns nothing
    return module(features)
