"""Compares the network that weights were trained in with the one that they fit, where names and shapes do not tell.

* Bottlenecks of Caffe's ResNets have their stride in the first convolution (``style='caffe'``), all others in the
  3x3 one.
* Some networks of timm have the same weights and other layers: ``tf_efficientnet_b0`` pads as TensorFlow does and
  has another epsilon in BatchNorm than ``efficientnet_b0``.
"""

import re
from collections.abc import Mapping

import timm
import torch
from mmengine.logging import print_log
from torch import nn

from hsakd_mm.checkpoints.hf_hub import is_hub_name
from hsakd_mm.checkpoints.reading_files import exported_metadata
from hsakd_mm.checkpoints.training_config import has_config, training_config
from hsakd_mm.errors import UserError

OF_TIMM = ('timm', 'TimmBackbone', 'TimmDetBackbone', 'TIMMBackbone')  # the last is MMPretrain's
CAFFE, PYTORCH = 'caffe', 'pytorch'
# Of what a layer prints: told by the shapes of its weights, or without effect.
WIDTHS = ('in_features', 'out_features', 'groups', 'inplace')
BOTTLENECKS = 50  # from this depth on a ResNet has them


def check_same_network(backbone: nn.Module, content: Mapping, source: str) -> None:
    """Compare a backbone with the network that a file's weights were trained in; the weights fit both.

    Args:
        backbone (nn.Module): Of ours, of timm or of MMDetection; others are not compared.
        content (Mapping): The result of :func:`~.loading.load_checkpoint`; if it does not say what the network
            was, nothing is compared.
        source (str): Its file, for the message.

    Raises:
        UserError: They compute other things from the same weights.
    """
    trained = trained_network(content, source)
    _check_style(backbone, trained, source)
    ours, theirs = _timm_name(backbone), str(trained.get('model_name') or '').split('.')[0]
    if ours and theirs and ours != theirs and trained.get('backbone_type') in OF_TIMM:
        _check_layers(ours, theirs, source)


def trained_network(content: Mapping, source: str) -> dict:
    """``backbone_type``, ``model_name`` and ``model_kwargs``, as an export's metadata have them; empty if not known."""
    scheme, _, name = source.partition('://')
    if scheme in ('timm', 'torchvision') and not is_hub_name(source):
        return dict(backbone_type=scheme, model_name=name)
    if exported := exported_metadata(content):
        return exported
    try:
        model = training_config(content, source).get('model') if has_config(content) else None
    except UserError:  # a config that is more than values: the weights can be used without it
        model = None
    network = model.get('backbone') if isinstance(model, Mapping) else None
    if not isinstance(network, Mapping):
        return {}
    kind = str(network.get('type') or '').rpartition('.')[2]
    return dict(backbone_type=kind, model_name=network.get('model_name'), model_kwargs=network)


def _check_style(backbone: nn.Module, trained: Mapping, source: str) -> None:
    theirs, ours = _trained_style(trained), _own_style(backbone)
    if theirs and ours and theirs != ours:
        advice = (
            f'set model.backbone.style={theirs}'
            if hasattr(backbone, 'style')
            else f"load them into MMDetection's ResNet with style={theirs!r}"
        )
        raise UserError(
            f'the weights in {source} were trained with style={theirs!r}, and the ResNet that they are loaded into has '
            f'{ours!r}, in which other convolutions have the stride: {advice}, or use other weights.'
        )


def _trained_style(trained: Mapping) -> str:
    """Where a ResNet's bottlenecks had their stride; '' if that is not known, or if it has none."""
    kind, arguments = trained.get('backbone_type'), trained.get('model_kwargs') or {}
    depth = arguments.get('depth')
    if kind == 'ResNet' and isinstance(depth, int) and depth >= BOTTLENECKS:
        return arguments.get('style') or PYTORCH
    return PYTORCH if kind in ('torchvision', *OF_TIMM) else ''


def _own_style(backbone: nn.Module) -> str:
    depth = getattr(backbone, 'depth', 0)  # MMDetection's ResNets have both
    if isinstance(depth, int) and depth >= BOTTLENECKS:
        return getattr(backbone, 'style', '')
    return PYTORCH if _timm_name(backbone) else ''


def _timm_name(backbone: nn.Module) -> str:
    """The name of timm's network in a backbone, without the tag of its weights; '' if there is none."""
    config = getattr(getattr(backbone, 'timm', None), 'pretrained_cfg', None) or {}
    return config.get('architecture') or ''


def _check_layers(ours: str, theirs: str, source: str) -> None:
    """Compare two networks of timm: the same one may have several names, as DeiT and ViT."""
    if not timm.is_model(theirs):
        print_log(f'{source} was trained in {theirs!r}, which timm {timm.__version__} lacks: not compared.', 'current')
        return
    try:
        here, there = _layers(ours), _layers(theirs)
    except (RuntimeError, NotImplementedError) as error:  # timm 1.0's oldest cannot build all without memory
        print_log(f'{source} was trained in {theirs!r}, which could not be compared: {error}', 'current')
        return
    places = [place for place, layer in here.items() if place in there and _kind(layer) != _kind(there[place])]
    if places:
        raise UserError(
            f"weights of timm's {ours!r} were expected, and {source} was trained in {theirs!r}, whose weights have the "
            f'same names and shapes and whose layers differ ({len(places)} of them, first {places[0]}: '
            f'{_short(there[places[0]])} there, {_short(here[places[0]])} here): set model_name={theirs!r}, or use '
            f'other weights.'
        )


def _layers(name: str) -> dict[str, nn.Module]:
    """The layers of timm's network by their place, without dropout."""
    with torch.device('meta'):  # no memory, no random numbers
        net = timm.create_model(name, num_classes=1)
    return {
        place: layer
        for place, layer in net.named_modules()
        if (not list(layer.children()) or list(layer.parameters(recurse=False)))
        and not isinstance(layer, nn.Identity)
        and 'Drop' not in type(layer).__name__
    }


def _kind(layer: nn.Module) -> tuple:
    """A layer's class and options (stride, padding, eps ...) without its widths, which arguments may have changed."""
    options = dict(re.findall(r'(\w+)=(\([^)]*\)|[^,)]+)', layer.extra_repr()))
    return type(layer), *sorted(option for option in options.items() if option[0] not in WIDTHS)


def _short(layer: nn.Module) -> str:
    """As torch prints it, without what is inside it."""
    return f'{type(layer).__name__}({layer.extra_repr()})'
