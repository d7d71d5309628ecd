"""From a training checkpoint to a backbone that anyone can load."""

import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from hsakd_mm.checkpoints.loading import load_checkpoint, sha256
from hsakd_mm.checkpoints.training_config import training_config
from hsakd_mm.errors import UserError

from .backbone_file import FORMAT_VERSION, FORMATS, is_head, plain_tensor, write_backbone


@dataclass
class Export:
    """What :func:`export_backbone` wrote: the same backbone twice, and the files' SHA-256."""

    pth: str
    safetensors: str
    pth_sha256: str
    safetensors_sha256: str
    tensors: int
    metadata: dict


def networks_in(state_dict: Mapping) -> list[str]:
    """Prefixes of the backbones in a training checkpoint.

    ``['backbone.']``, of two networks that taught each other ``['net1.backbone.',
    'net2.backbone.']``, and nothing where the file is not a training checkpoint.
    """
    found = (re.match(r'(net\d+\.)?backbone\.', key) for key in state_dict)
    return sorted({match[0] for match in found if match})


def export_all(checkpoint: str, out: str | None = None, with_head: bool = False) -> list[Export]:
    """Export each network in it; of several, ``_net1`` … becomes part of the files' names."""
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

    Keys are those of the backbone without ``prefix``: torchvision's, for a ResNet. Tensors are
    contiguous, on the CPU, float32 (counters stay integers). The metadata hold
    ``normalisation`` (``mean``, ``std``, ``channel_order``; RGB in units of 0..255),
    ``backbone_type``, ``model_name``, ``model_kwargs``, ``method``, ``epoch``, ``source_sha256``,
    ``with_head`` and ``format_version``.

    Args:
        checkpoint (str): What training wrote.
        out (str): One of the two files, or both names' common part;
            ``<checkpoint>_backbone`` by default.
        with_head (bool): Keep the classifier (``fc.*``).
        prefix (str): The backbone's in the checkpoint; of several networks ``net2.backbone.``, for
            which ``net2`` will do.

    Raises:
        UserError: Not a training checkpoint, none with such a backbone, or ``out`` cannot be
            written. Files that were there are then unchanged.
    """
    content = load_checkpoint(checkpoint)
    weights = content['state_dict']
    known = networks_in(weights)
    prefix = next(
        (each for each in known if prefix.rstrip('.') in (each.removesuffix('.'), each.removesuffix('.backbone.'))),
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
            f'{prefix!r} (its first is {next(iter(weights))!r}): '
            + (
                'it looks like a backbone already, which can be transferred as it is.'
                if already
                else 'name a checkpoint that tools/train.py wrote, or give --prefix.'
            )
        )
    metadata = _metadata(content, checkpoint, with_head, prefix)
    backbone._metadata = OrderedDict(  # type: ignore[attr-defined]
        (key.removeprefix(prefix), value)
        for key, value in (getattr(weights, '_metadata', None) or {}).items()
        if key.startswith(prefix)
    )  # torch's own: the version of each layer's format

    net = f'_{prefix.split(".")[0]}' if prefix.startswith('net') else ''
    stem = _stem(out) if out else f'{os.path.splitext(checkpoint)[0]}{net}_backbone'
    pth, safetensors = (stem + ending for ending in FORMATS)
    if os.path.abspath(checkpoint) in map(os.path.abspath, (pth, safetensors)):
        raise UserError(
            f'the export would replace the checkpoint it is made from, {checkpoint}: give --out another name.'
        )
    for file in (pth, safetensors):
        write_backbone(backbone, metadata, file)
    return Export(pth, safetensors, sha256(pth), sha256(safetensors), len(backbone), metadata)


def _metadata(content: dict, source: str, with_head: bool, prefix: str) -> dict:
    model = training_config(content, source).get('model') or {}
    preprocessor = model.get('data_preprocessor') or {}
    if not preprocessor.get('mean') or not preprocessor.get('std'):
        raise UserError(
            f'the input normalisation was expected in {source}, and its config has '
            f'no model.data_preprocessor with mean and std: a backbone without it '
            f'would be fed wrong images; train with ImagePreprocessor.'
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
        normalisation=dict(mean=_plain(preprocessor['mean']), std=_plain(preprocessor['std']), channel_order='RGB'),
        epoch=content['meta'].get('epoch'),
        source=os.path.basename(source),
        source_sha256=sha256(source),
        with_head=with_head,
    )


def _plain(value):
    """Lists, dicts and scalars only: what both JSON and torch's safe unpickler give back equal."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _stem(out: str) -> str:
    root, ending = os.path.splitext(out)
    return root if ending in FORMATS else out
