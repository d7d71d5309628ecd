"""Reading checkpoints, and loading them so that nothing is silently left out.

One loader for teachers, tests and transfer: a weight that was meant to be loaded and was not is an
error, never a log line.
"""

import difflib
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping

import timm
import torch
from mmengine.dist import is_main_process
from mmengine.runner.checkpoint import get_torchvision_models
from torch import Tensor, nn
from torch.hub import get_dir, load_state_dict_from_url

from hsakd_mm.checkpoints.training_config import has_config, training_config
from hsakd_mm.errors import UserError
from hsakd_mm.processes import on_all_ranks

METADATA = 'hsakd_mm'  # where an exported backbone keeps what its weights do not say
_SHOWN = 6  # keys of each kind that an error lists


def sha256(path: str) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def load_checkpoint(path: str) -> dict:
    """The checkpoint at ``path`` as ``dict(state_dict=..., meta=..., ...)``, on the CPU.

    Takes what mmengine writes, a plain state dict, and ``.safetensors``. Names such as
    ``torchvision://resnet34``, ``timm://resnet34.a1_in1k`` and ``https://...`` are fetched first.
    Only tensors and plain values are unpickled (``weights_only``).

    Raises:
        UserError: No such file, or not a checkpoint.
    """
    if '://' in path:
        content = _fetch(path)
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


def _fetch(name: str):
    """Weights by name or address, kept in torch's or timm's cache; rank 0 first."""
    scheme, _, model = name.partition('://')
    fetch: Callable = _from_url
    place = name
    if scheme == 'torchvision':
        known = get_torchvision_models()
        if model not in known:
            raise _unknown(model, 'torchvision', known)
        place = known[model]
    elif scheme == 'timm':
        if not timm.models.is_model_pretrained(model):
            raise _unknown(model, 'timm', timm.list_pretrained())
        fetch, place = _from_timm, model

    def attempt():
        try:
            return fetch(place)
        except (OSError, RuntimeError) as error:  # no network, as on most compute nodes
            raise UserError(
                f'the weights {name} were to be fetched from {place}, and that failed ({error}): '
                f'fetch the file elsewhere and name it instead, or put it into '
                f'{os.path.join(get_dir(), "checkpoints")}.'
            ) from error

    on_all_ranks(attempt if is_main_process() else lambda: None)  # one downloads, then all read
    return attempt()


def _unknown(model: str, where: str, known) -> UserError:
    near = ' or '.join(difflib.get_close_matches(model, known, n=2)) or 'resnet34'
    return UserError(f'{where} has no weights named {model!r}: did you mean {near}?')


def _from_url(url: str) -> Mapping:
    return load_state_dict_from_url(url, map_location='cpu', weights_only=True)


def _from_timm(name: str) -> dict:
    net = timm.create_model(name, pretrained=True)
    normalisation = {key: [255 * value for value in net.pretrained_cfg[key]] for key in ('mean', 'std')}
    return dict(state_dict=net.state_dict(), meta=dict(normalisation=normalisation))


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

    Told by the config in a training checkpoint, the metadata of a backbone that was exported, or
    the library that weights were fetched from.

    Args:
        content (Mapping): What :func:`load_checkpoint` returned.
        source (str): Its file, for the error.

    Returns:
        dict[str, list]: Empty where the file does not tell.

    Raises:
        UserError: As :func:`~hsakd_mm.checkpoints.training_config.training_config`.
    """
    meta = content.get('meta') or {}
    if has_config(content):
        told = (training_config(content, source).get('model') or {}).get('data_preprocessor') or {}
    else:
        inside = getattr(content['state_dict'], '_metadata', None) or {}
        told = (
            meta.get('normalisation') or (meta.get(METADATA) or inside.get(METADATA) or {}).get('normalisation') or {}
        )
    return {name: list(told[name]) for name in ('mean', 'std') if told.get(name) is not None}


def backbone_weights(state_dict: Mapping, source: str) -> Mapping:
    """A backbone's state dict: the whole, or of a training checkpoint what is under ``backbone.``.

    Raises:
        UserError: There are several backbones in it.
    """
    own = {key.removeprefix('backbone.'): value for key, value in state_dict.items() if key.startswith('backbone.')}
    if not own and any(re.match(r'net\d+\.backbone\.', key) for key in state_dict):
        raise UserError(
            f'one backbone was expected in {source}, and it holds several that taught '
            f'each other: write each with python tools/export_backbone.py {source}, '
            f'and name the file of one.'
        )
    return own or state_dict


def load_backbone_weights(path: str) -> Mapping:
    """:func:`backbone_weights` of a file."""
    return backbone_weights(load_checkpoint(path)['state_dict'], path)


def load_strict(module: nn.Module, state_dict: Mapping, source: str, what: str) -> int:
    """Load every weight of ``module``, and use every weight of ``state_dict``.

    Args:
        module (nn.Module): Takes the weights.
        state_dict (Mapping[str, Tensor]): Gives them.
        source (str): Where they came from, for the message.
        what (str): What the module is ("teacher", "backbone"), for the message.

    Returns:
        int: Tensors loaded.

    Raises:
        UserError: Keys are missing, left over, or of another shape. The module is unchanged.
    """
    own = module.state_dict()
    odd = [
        f'{key} (here {list(own[key].shape)}, in the file {list(value.shape)})'
        for key, value in state_dict.items()
        if key in own and own[key].shape != value.shape
    ]
    # Files older than torch 0.4.1 count no batches; torch fills that in by itself.
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
            f'these ({found}): use the checkpoint of the same architecture, or the '
            f'config that this one was trained with.'
        )
    module.load_state_dict({**own, **state_dict})
    return len(own)
