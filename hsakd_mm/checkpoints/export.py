"""Export the backbone of a training checkpoint."""

import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from hsakd_mm.checkpoints.class_names import class_names
from hsakd_mm.checkpoints.fitting import require_finite
from hsakd_mm.checkpoints.loading import load_checkpoint, sha256
from hsakd_mm.checkpoints.normalisation import configured_normalisation, trained_normalisation
from hsakd_mm.checkpoints.readings import state_dicts
from hsakd_mm.checkpoints.training_config import training_config
from hsakd_mm.errors import UserError

from .backbone_file import FORMAT_VERSION, FORMATS, is_head, plain_tensor, write_backbone


@dataclass
class Export:
    """The two files that :func:`export_backbone` wrote, and their SHA-256."""

    pth: str
    safetensors: str
    pth_sha256: str
    safetensors_sha256: str
    tensors: int
    metadata: dict


def networks_in(state_dict: Mapping) -> list[str]:
    """Prefixes of the backbones in a training checkpoint.

    ``['backbone.']``; ``['net1.backbone.', 'net2.backbone.']`` for two networks of online
    distillation; ``[]`` for a file that is not a training checkpoint.
    """
    found = (re.match(r'(module\.)?(net\d+\.)?backbone\.', key) for key in state_dict)  # DataParallel's `module.`
    return sorted({match[0] for match in found if match})


def export_all(checkpoint: str, out: str | None = None, with_head: bool = False) -> list[Export]:
    """Export every network of a checkpoint; the file names of several end in ``_net1``, ``_net2``, …"""
    prefixes = networks_in(load_checkpoint(checkpoint)['state_dict'])
    if len(prefixes) < 2:
        return [export_backbone(checkpoint, out, with_head)]
    return [
        export_backbone(checkpoint, out and f'{_stem(out)}_{prefix.split(".")[0]}', with_head, prefix)
        for prefix in prefixes
    ]


def export_backbone(
    checkpoint: str, out: str | None = None, with_head: bool = False, prefix: str = 'backbone.'
) -> Export:
    """Write the backbone of a training checkpoint as ``.pth`` and ``.safetensors``.

    Args:
        checkpoint, with_head, prefix: As in :func:`trained_backbone`.
        out (str): Name of either file, with or without its extension;
            ``<checkpoint>_backbone`` by default.

    Raises:
        UserError: As :func:`trained_backbone`, or ``out`` cannot be written; existing files are then unchanged.
    """
    backbone, metadata = trained_backbone(checkpoint, with_head, prefix)
    return write_export(backbone, metadata, checkpoint, out)


def trained_backbone(
    checkpoint: str, with_head: bool = False, prefix: str = 'backbone.'
) -> tuple[OrderedDict[str, Tensor], dict]:
    """The backbone in a training checkpoint, and its metadata.

    Keys are those of the backbone without ``prefix``; for a ResNet they are torchvision's. Tensors
    are contiguous float32 on the CPU (counters stay integers). The metadata contain
    ``normalisation`` (``mean``, ``std`` in units of 0..255, in the ``channel_order`` that the first
    layer expects, ``'RGB'`` or ``'BGR'``), ``backbone_type``, ``model_name``, ``model_kwargs``,
    ``method``, ``classes`` (their names in order, or None), ``epoch``, ``source_sha256``, ``with_head`` and
    ``format_version``.

    Args:
        checkpoint (str): A checkpoint of tools/train.py, or of MMPretrain or MMDetection.
        with_head (bool): Keep the classifier (``fc.*``).
        prefix (str): Prefix of the backbone's keys in the checkpoint, such as ``net2.backbone.``
            or in short ``net2``.

    Raises:
        UserError: The file is not a training checkpoint, or has no backbone under ``prefix``.
    """
    return backbone_in(load_checkpoint(checkpoint), checkpoint, with_head, prefix)


def export_content(
    content: dict, checkpoint: str, out: str | None = None, with_head: bool = False, prefix: str = 'backbone.'
) -> Export:
    """:func:`export_backbone` of a checkpoint that is in memory; ``checkpoint`` names it."""
    backbone, metadata = backbone_in(content, checkpoint, with_head, prefix)
    return write_export(backbone, metadata, checkpoint, out)


def backbone_in(
    content: dict, checkpoint: str, with_head: bool = False, prefix: str = 'backbone.'
) -> tuple[OrderedDict[str, Tensor], dict]:
    """:func:`trained_backbone` of a checkpoint that is in memory."""
    if (content.get('meta') or {}).get('iter', 1) == 0:
        raise UserError(
            f'a trained network was expected in {checkpoint}, and it was saved before the first step: for random '
            f'weights use the word random instead of a file.'
        )
    weights = content['state_dict']
    known = networks_in(weights)
    prefix = next(
        (
            each
            for each in known
            for short in (each, each.removeprefix('module.'))
            if prefix.rstrip('.') in (short.removesuffix('.'), short.removesuffix('.backbone.'))
        ),
        prefix,
    )
    if known and prefix not in known:
        raise UserError(
            f'{checkpoint} has no backbone under {prefix!r}, but it has '
            f'{" and ".join(map(repr, known))}: give one of these as --prefix.'
        )
    backbone = OrderedDict(
        (key.removeprefix(prefix), plain_tensor(value))
        for key, value in weights.items()
        if key.startswith(prefix) and (with_head or not is_head(key.removeprefix(prefix)))
    )
    if not backbone:
        already = 'conv1.weight' in weights or any(map(is_head, weights))
        raise UserError(
            f'a training checkpoint was expected, and {checkpoint} has no key under '
            f'{prefix!r} (its first key is {next(iter(weights))!r}): '
            + (
                'it looks like a backbone already, which can be transferred as it is.'
                if already
                else 'a backbone of another project can be transferred as it is, and --key and --prefix '
                'write a part of it as a file.'
            )
        )
    require_finite(backbone, backbone, checkpoint, 'backbone')
    _keep_layer_versions(backbone, weights, prefix)
    return backbone, _metadata(content, checkpoint, with_head, prefix)


def extract_backbone(
    checkpoint: str, key: str = '', prefix: str = '', out: str | None = None, with_head: bool = False
) -> Export:
    """Write a part of another project's checkpoint, as :func:`export_backbone` does for ours.

    The metadata have ``normalisation`` only if the checkpoint has it.

    Args:
        checkpoint (str): The file.
        key (str): Key of the state dict in it, with dots where it is nested; the usual one if empty.
        prefix (str): Prefix of the names, which is stripped.
        out (str): As in :func:`export_backbone`.
        with_head (bool): Keep the classifier.

    Raises:
        UserError: There is nothing under this key and prefix.
    """
    content = load_checkpoint(checkpoint)
    places = state_dicts(content)
    prefix = prefix.rstrip('.') + '.' if prefix else ''
    weights = places.get(key or 'state_dict', {})
    part = OrderedDict(
        (name.removeprefix(prefix), plain_tensor(value))
        for name, value in weights.items()
        if name.startswith(prefix) and (with_head or not is_head(name.removeprefix(prefix)))
    )
    if not part:
        first = f', and the first name there is {next(iter(weights))!r}' if weights else ''
        raise UserError(
            f'tensors under --key {key or "state_dict"!r} --prefix {prefix!r} were expected in {checkpoint}, and there '
            f'are none: it has the keys {", ".join(map(repr, places))}{first}.'
        )
    metadata = dict(
        format_version=FORMAT_VERSION,
        method='file',
        source=os.path.basename(checkpoint),
        source_sha256=sha256(checkpoint),
        with_head=with_head,
    )
    if normalisation := trained_normalisation(content, checkpoint):
        metadata['normalisation'] = _plain(normalisation)
    require_finite(part, part, checkpoint, 'backbone')
    _keep_layer_versions(part, weights, prefix)
    return write_export(part, metadata, checkpoint, out)


def _keep_layer_versions(backbone: OrderedDict, weights: Mapping, prefix: str) -> None:
    """Keep what torch itself stores with a state dict: the format version of each layer."""
    backbone._metadata = OrderedDict(  # type: ignore[attr-defined]
        (key.removeprefix(prefix), value)
        for key, value in (getattr(weights, '_metadata', None) or {}).items()
        if key.startswith(prefix)
    )


def stem_beside(checkpoint: str, metadata: dict) -> str:
    """The path of an export beside its checkpoint, without the extension."""
    net = f'_{metadata["network"]}' if metadata.get('network') else ''
    return f'{os.path.splitext(checkpoint)[0]}{net}_backbone'


def write_export(backbone: OrderedDict, metadata: dict, checkpoint: str, out: str | None = None) -> Export:
    """Write what :func:`trained_backbone` gave as both files; arguments as of :func:`export_backbone`."""
    stem = _stem(out) if out else stem_beside(checkpoint, metadata)
    pth, safetensors = (stem + ending for ending in FORMATS)
    if os.path.abspath(checkpoint) in map(os.path.abspath, (pth, safetensors)):
        raise UserError(f'the export would overwrite its own checkpoint {checkpoint}: give --out another name.')
    for file in (pth, safetensors):
        write_backbone(backbone, metadata, file)
    return Export(pth, safetensors, sha256(pth), sha256(safetensors), len(backbone), metadata)


def _metadata(content: dict, source: str, with_head: bool, prefix: str) -> dict:
    config = training_config(content, source)
    model = config.get('model') or {}
    normalisation = configured_normalisation(config)
    if not normalisation:
        raise UserError(
            f'the input normalisation was expected in {source}, and its config has '
            f'no model.data_preprocessor with mean and std: train with ImagePreprocessor, so '
            f'that a detector can normalise its images in the same way.'
        )
    number = re.match(r'net(\d+)\.', prefix)
    owner = (model.get('nets') or [])[int(number[1]) - 1] if number else model
    network = dict(owner.get('backbone') or {})
    kind = network.pop('type', '').rpartition('.')[2]
    return dict(
        format_version=FORMAT_VERSION,
        method=model.get('type', '').rpartition('.')[2],
        network=prefix.split('.')[0] if number else '',
        backbone_type=kind,
        model_name=network.pop('model_name', None),
        model_kwargs=_plain(network),
        normalisation=_plain(normalisation),
        classes=_plain(class_names(content)),
        epoch=(content.get('meta') or {}).get('epoch'),
        source=os.path.basename(source),
        source_sha256=sha256(source) if os.path.isfile(source) else None,
        with_head=with_head,
    )


def _plain(value):
    """The value as lists, dicts and scalars, which JSON and torch's safe unpickler return unchanged."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _stem(out: str) -> str:
    root, ending = os.path.splitext(out)
    return root if ending in FORMATS else out
