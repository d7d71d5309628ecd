"""A network that a command line names: timm's, with timm's weights or with a file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import timm
import torch
from torch import nn

from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.normalisation import trained_normalisation
from hsakd_mm.errors import UserError
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS


@dataclass
class Network:
    """A network of timm, the weights that it has, and how its images are normalised.

    Attributes:
        config (dict): For ``backbone``.
        weights (str | None): A file or a name; None for a student, which starts from random weights.
        normalisation (dict): ``mean`` and ``std`` in units of 0..255; empty if nothing says.
        has_classifier (bool): Its weights have one.
        is_convolutional (bool): It has BatchNorm, and is trained with SGD as such networks are.
        channels (tuple[int]), strides (tuple[int]): Of its taps.
    """

    config: dict
    weights: str | None
    normalisation: dict
    has_classifier: bool
    is_convolutional: bool
    channels: tuple
    strides: tuple


def describe(word: str, size: int, weights: bool) -> Network:
    """The network that a word of the command line names.

    Args:
        word (str): ``regnety_032.ra_in1k``, or ``regnety_032=FILE`` with weights of one's own.
        size (int): Height and width of the images that it gets in pretraining.
        weights (bool): It is a teacher, and needs some.

    Raises:
        UserError: timm does not know the name, or has no weights of it; or the file is not there.
    """
    name, _, file = word.partition('=')
    if not weights and file:
        raise UserError(
            f'a student is pretrained from random weights, and {word!r} names a file: write {name!r}, or set '
            f'model.load_backbone_from in the config of its run.'
        )
    config = dict(type='TimmBackbone', model_name=name.partition('.')[0], num_classes=1000)
    with isolated_rng('own_images'):
        net, config = _that_takes(config, size)
    published = timm.models.get_pretrained_cfg(name) if timm.models.is_model(name) else None
    norm, classes = {}, 1000
    if published is not None:
        norm = {key: [round(255 * value, 3) for value in getattr(published, key)] for key in ('mean', 'std')}
        # Of CLIP's and DINO's the last layer, if there is one, projects: its outputs are no classes.
        classes = published.num_classes if timm.data.infer_imagenet_subset(published) else 0
    if file:
        content = load_checkpoint(file)
        norm = trained_normalisation(content, file) or norm
        classes = _classes_in(content['state_dict'], net)
    elif weights and not timm.models.is_model_pretrained(name):
        raise UserError(
            f'a teacher needs trained weights, and timm has none under {name!r}: name a tag of it, as '
            f'resnet50.a1_in1k, or a file, {name}=FILE.'
        )
    source = None if not weights else os.path.abspath(file) if file else f'timm://{name}'
    norm = {key: list(norm[key]) for key in ('mean', 'std') if key in norm}
    convolutional = any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    return Network(
        dict(config, num_classes=classes or 1000), source, norm, bool(classes), convolutional, net.channels, net.strides
    )


def _classes_in(weights: Mapping, net: nn.Module) -> int:
    """The rows of a file's classifier, wherever in the file it is; 0 without one."""
    last = [list(_linear(head))[-1] for head in net.classifiers()]
    names = [f'{name}.weight' for name, module in net.named_modules() if module in last]
    return next((len(value) for key, value in weights.items() if key.endswith(tuple(names))), 0)


def _linear(head: nn.Module) -> list:
    return [layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def _that_takes(config: dict, size: int) -> tuple:
    """The network, built for images of this size where it has to be, and its config."""
    choices: tuple[dict, ...] = ({}, dict(img_size=size))
    for more in choices:
        net = MODELS.build(dict(config, **more)).eval()
        try:
            with torch.no_grad():
                net.forward_taps(torch.zeros(1, 3, size, size))
        except (RuntimeError, UserError, ValueError):
            continue
        return net, dict(config, **more)
    raise UserError(
        f'{config["model_name"]!r} was expected to take images of {size} pixels, and does not: choose another --size.'
    )
