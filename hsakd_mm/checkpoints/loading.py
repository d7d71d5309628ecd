"""Read checkpoints and load them strictly: a weight that is not loaded is an error, never a log line."""

import hashlib
import json
import os
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hsakd_mm.checkpoints.fetching import fetch
from hsakd_mm.checkpoints.training_config import has_config, training_config
from hsakd_mm.errors import UserError

METADATA = 'hsakd_mm'  # key of an exported backbone's metadata
_SHOWN = 6  # keys of each kind that an error lists


def sha256(path: str) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def load_checkpoint(path: str) -> dict:
    """Read the checkpoint at ``path`` as ``dict(state_dict=..., meta=..., ...)``, on the CPU.

    Accepts mmengine's checkpoints, plain state dicts and ``.safetensors``. Names such as
    ``torchvision://resnet34``, ``timm://resnet34.a1_in1k`` and ``https://...`` are downloaded
    first. Only tensors and plain values are unpickled (``weights_only``).

    Raises:
        UserError: No such file, or not a checkpoint.
    """
    if '://' in path:
        content = fetch(path)
    elif not os.path.isfile(path):
        raise UserError(f'a checkpoint was expected at {path}, and there is no such file: check the path.')
    else:
        content = _read(path)
    if isinstance(content, Mapping) and 'state_dict' not in content:
        content = dict(state_dict=content)
    state_dict = content.get('state_dict') if isinstance(content, Mapping) else None
    if (
        not isinstance(state_dict, Mapping)
        or not state_dict
        or not all(isinstance(value, Tensor) for value in state_dict.values())
    ):
        raise UserError(
            f'a checkpoint was expected at {path}, and the file holds no state dict: '
            f'name a .pth or .safetensors file of weights.'
        )
    return dict(content)


def _read(path: str):
    try:
        if path.endswith('.safetensors'):
            return _read_safetensors(path)
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # each format has its own ways to say "not mine"
        reason = str(error).strip().splitlines()
        raise UserError(
            f'a checkpoint was expected at {path}, and the file cannot be read as one '
            f'({reason[0][:160] if reason else type(error).__name__}): it may be '
            f'truncated or of another kind; copy it again or name another.'
        ) from error


def _read_safetensors(path: str) -> dict:
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, framework='pt') as file:
        header = json.loads((file.metadata() or {}).get(METADATA, '{}'))
    return dict(state_dict=load_file(path), meta={METADATA: header})


def trained_normalisation(content: Mapping, source: str) -> dict:
    """``mean`` and ``std``, RGB in units of 0..255, that the weights were trained with.

    They are read from the config in a training checkpoint, from the metadata of an exported
    backbone, or from timm for its weights.

    Args:
        content (Mapping): The result of :func:`load_checkpoint`.
        source (str): Its file, for the error.

    Returns:
        dict[str, list]: Empty if the checkpoint does not have them.

    Raises:
        UserError: As :func:`~hsakd_mm.checkpoints.training_config.training_config`.
    """
    meta = content.get('meta') or {}
    if has_config(content):
        norm = (training_config(content, source).get('model') or {}).get('data_preprocessor') or {}
    else:
        inside = getattr(content['state_dict'], '_metadata', None) or {}
        norm = (
            meta.get('normalisation') or (meta.get(METADATA) or inside.get(METADATA) or {}).get('normalisation') or {}
        )
    return {name: list(norm[name]) for name in ('mean', 'std') if norm.get(name) is not None}


def backbone_weights(state_dict: Mapping, source: str) -> Mapping:
    """A backbone's state dict: of a training checkpoint the keys under ``backbone.``, else all keys.

    Raises:
        UserError: The checkpoint has several backbones.
    """
    own = {key.removeprefix('backbone.'): value for key, value in state_dict.items() if key.startswith('backbone.')}
    if not own and any(re.match(r'net\d+\.backbone\.', key) for key in state_dict):
        raise UserError(
            f'one backbone was expected in {source}, and it holds several that taught '
            f'each other: export them with python tools/export_backbone.py {source}, '
            f'and name one of the files.'
        )
    return own or state_dict


def load_backbone_weights(path: str) -> Mapping:
    """:func:`backbone_weights` of a checkpoint file."""
    return backbone_weights(load_checkpoint(path)['state_dict'], path)


def load_strict(module: nn.Module, state_dict: Mapping, source: str, what: str) -> int:
    """Load a state dict that has exactly the tensors of ``module``.

    Args:
        module (nn.Module): The module to load into.
        state_dict (Mapping[str, Tensor]): The weights.
        source (str): Their file, for the message.
        what (str): What the module is ("teacher", "backbone"), for the message.

    Returns:
        int: Number of tensors loaded.

    Raises:
        UserError: Keys are missing or left over, or shapes differ. The module is then unchanged.
    """
    own = module.state_dict()
    odd = [
        f'{key} (here {list(own[key].shape)}, in the file {list(value.shape)})'
        for key, value in state_dict.items()
        if key in own and own[key].shape != value.shape
    ]
    # Files older than torch 0.4.1 have no num_batches_tracked; torch keeps the module's own then.
    missing = [key for key in own if key not in state_dict and not key.endswith('num_batches_tracked')]
    left = [key for key in state_dict if key not in own]
    if missing or left or odd:
        kinds = ((missing, 'missing'), (left, 'left over'), (odd, 'of another shape'))
        found = '; '.join(
            f'{len(keys)} {kind}: {", ".join(keys[:_SHOWN])}{", ..." if len(keys) > _SHOWN else ""}'
            for keys, kind in kinds
            if keys
        )
        raise UserError(
            f'the {what} has {len(own)} tensors and {source} does not hold exactly '
            f'these ({found}): use a checkpoint of the same architecture, or the '
            f'config that this one was trained with.'
        )
    module.load_state_dict({**own, **state_dict})
    return len(own)
