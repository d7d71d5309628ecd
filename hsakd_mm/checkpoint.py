"""Reading checkpoints, and loading them so that nothing is silently left out.

One loader for teachers, tests and transfer: a weight that was meant to be loaded and was not is an
error, never a log line.
"""
import difflib
import hashlib
import os
from collections.abc import Mapping

import timm
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.runner.checkpoint import get_torchvision_models
from torch import Tensor, nn
from torch.hub import get_dir, load_state_dict_from_url

from hsakd_mm.errors import UserError

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
        raise UserError(f'a checkpoint was expected at {path}, and there is no such file: check '
                        f'the path.')
    else:
        content = _read(path)
    if isinstance(content, Mapping) and 'state_dict' not in content:
        content = dict(state_dict=content)
    state_dict = content.get('state_dict') if isinstance(content, Mapping) else None
    if not isinstance(state_dict, Mapping) or not state_dict or not all(
            isinstance(value, Tensor) for value in state_dict.values()):
        raise UserError(f'a checkpoint was expected at {path}, and the file holds no state dict: '
                        f'name a .pth or .safetensors file of weights.')
    return dict(content)


def _fetch(name: str):
    """Weights by name or address, kept in torch's or timm's cache; rank 0 first."""
    scheme, _, model = name.partition('://')
    fetch, place = _from_url, name
    if scheme == 'torchvision':
        known = get_torchvision_models()
        if model not in known:
            raise _unknown(model, 'torchvision', known)
        place = known[model]
    elif scheme == 'timm':
        if not timm.models.is_model_pretrained(model):
            raise _unknown(model, 'timm', timm.list_pretrained())
        fetch, place = _from_timm, model
    try:
        if is_main_process():
            fetch(place)
        barrier()
        return fetch(place)
    except (OSError, RuntimeError) as error:  # no network, as on most compute nodes, or no address
        raise UserError(f'the weights {name} were to be fetched from {place}, and that failed '
                        f'({error}): fetch the file elsewhere and name it instead, or put it into '
                        f'{os.path.join(get_dir(), "checkpoints")}.') from error


def _unknown(model: str, where: str, known) -> UserError:
    near = ' or '.join(difflib.get_close_matches(model, known, n=2)) or 'resnet34'
    return UserError(f'{where} has no weights named {model!r}: did you mean {near}?')


def _from_url(url: str) -> Mapping:
    return load_state_dict_from_url(url, map_location='cpu', weights_only=True)


def _from_timm(name: str) -> Mapping:
    return timm.create_model(name, pretrained=True).state_dict()


def _read(path: str):
    try:
        if path.endswith('.safetensors'):
            from safetensors.torch import load_file
            return load_file(path)
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # each format has its own ways to say "not mine"
        reason = str(error).strip().splitlines()
        raise UserError(f'a checkpoint was expected at {path}, and the file cannot be read as one '
                        f'({reason[0][:160] if reason else type(error).__name__}): it may be '
                        f'truncated or of another kind; copy it again or name another.') from error


def load_backbone_weights(path: str) -> dict:
    """A backbone's state dict from a file of its own or from a training checkpoint's.

    From a training checkpoint the keys under ``backbone.`` are taken, without that prefix.
    """
    state_dict = load_checkpoint(path)['state_dict']
    own = {key.removeprefix('backbone.'): value for key, value in state_dict.items()
           if key.startswith('backbone.')}
    return own or state_dict


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
    odd = [f'{key} (here {list(own[key].shape)}, in the file {list(value.shape)})'
           for key, value in state_dict.items() if key in own and own[key].shape != value.shape]
    # Files older than torch 0.4.1 count no batches; torch fills that in by itself.
    missing = [key for key in own
               if key not in state_dict and not key.endswith('num_batches_tracked')]
    left = [key for key in state_dict if key not in own]
    if missing or left or odd:
        kinds = ((missing, 'missing'), (left, 'left over'), (odd, 'of another shape'))
        found = '; '.join(f'{len(keys)} {kind}: {", ".join(keys[:_SHOWN])}'
                          f'{", ..." if len(keys) > _SHOWN else ""}'
                          for keys, kind in kinds if keys)
        raise UserError(f'the {what} has {len(own)} tensors and {source} does not hold exactly '
                        f'these ({found}): use the checkpoint of the same architecture, or the '
                        f'config that this one was trained with.')
    module.load_state_dict({**own, **state_dict})
    return len(own)
