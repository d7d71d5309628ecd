"""Read checkpoints and load them strictly: a weight that is not loaded is an error, never a log line."""

import re
from collections.abc import Collection, Mapping

from mmengine.logging import print_log
from torch import Tensor, nn

from hsakd_mm.checkpoints.fetching import fetch, is_fetched
from hsakd_mm.checkpoints.fitting import Reading, compare, misfit, require_finite
from hsakd_mm.checkpoints.reading_files import read_file
from hsakd_mm.checkpoints.readings import find_reading, state_dicts
from hsakd_mm.checkpoints.same_network import check_same_network
from hsakd_mm.errors import UserError
from hsakd_mm.files import sha256 as sha256  # where the rest of the package looks for it


def load_checkpoint(path: str) -> dict:
    """Read the checkpoint at ``path`` as ``dict(state_dict=..., meta=..., ...)``, on the CPU.

    Accepts mmengine's checkpoints, plain state dicts, state dicts under any other key, and
    ``.safetensors``. Names such as ``torchvision://resnet34``, ``timm://resnet34.a1_in1k``,
    ``hf-hub:OWNER/NAME`` and ``https://...`` are downloaded first. Only tensors and plain values are unpickled.

    Returns:
        dict: The file's content. ``state_dict`` is the first state dict in it;
        :func:`~hsakd_mm.checkpoints.readings.find_reading` looks at all of them.

    Raises:
        UserError: No such file, or not a checkpoint.
    """
    content = fetch(path) if is_fetched(path) else read_file(path)
    found = state_dicts(content) if isinstance(content, Mapping) else {}
    if not found:
        there = f'its keys are {", ".join(map(str, list(content)[:6]))}' if isinstance(content, Mapping) else ''
        there = there or f'it holds one {type(content).__name__}'
        raise UserError(
            f'a checkpoint was expected at {path}, and the file holds no state dict ({there}): '
            f'name a .pth or .safetensors file of weights.'
        )
    if '' in found:  # the names of the tensors are the keys of the file
        others = {key: value for key, value in content.items() if not isinstance(value, Tensor)}
        return {**others, 'state_dict': found['state_dict' if 'state_dict' in found else '']}
    first = 'state_dict' if 'state_dict' in found else next(iter(found))
    return {**content, 'state_dict': found[first]}


def backbone_weights(state_dict: Mapping, source: str) -> Mapping:
    """A backbone's state dict: of a training checkpoint the keys under ``backbone.``, else all keys.

    Raises:
        UserError: The checkpoint has several backbones.
    """
    refuse_several(state_dict, source)
    own = {key.removeprefix('backbone.'): value for key, value in state_dict.items() if key.startswith('backbone.')}
    return own or state_dict


def refuse_several(state_dict: Mapping, source: str) -> None:
    """Raise UserError for a checkpoint of networks that taught each other, where one is expected."""
    several = any(re.match(r'net\d+\.backbone\.', key) for key in state_dict)
    if several and not any(key.startswith('backbone.') for key in state_dict):
        raise UserError(
            f'one backbone was expected in {source}, and it holds several that taught '
            f'each other: export them with hsakd-mm export {source}, '
            f'and name one of the files.'
        )


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
        UserError: Keys are missing or left over, shapes differ, or a number is NaN or infinite. The
            module is then unchanged.
    """
    own = module.state_dict()
    found = compare(own, state_dict)
    if not found.fits:
        raise UserError(misfit(own, found, source, what))
    require_finite(own, state_dict, source, what)
    module.load_state_dict({**own, **state_dict})
    return len(own)


def load_fitting(
    module: nn.Module, content: Mapping, source: str, what: str, skip: Collection[str] = (), **search
) -> Reading:
    """Load the one reading of a file that fits a module; see :func:`~.readings.find_reading`.

    Args:
        module (nn.Module): The module to load into.
        content (Mapping): The result of :func:`load_checkpoint`.
        source (str): Its file, for the message.
        what (str): What the module is, for the message.
        skip (Collection[str]): Names of the module that keep their values; in the file they are left over.
        **search: Passed to :func:`~.readings.find_reading`.

    Returns:
        Reading: What was loaded. A prefix or key that is not our own is logged.

    Raises:
        UserError: No reading or several fit, or the one that fits is of another network
            (:func:`~.same_network.check_same_network`). The module is then unchanged.
    """
    own = module.state_dict()
    wanted = {name: value for name, value in own.items() if name not in skip}
    reading = find_reading(wanted, content, source, what, **search)
    check_same_network(getattr(module, 'backbone', module), content, source)
    kept = {name: own[name] for name in (*skip, *search.get('may_lack', ())) if name not in reading.weights}
    load_strict(module, {**kept, **reading.weights}, source, what)
    if reading.place and (reading.key, reading.prefix) != ('state_dict', 'backbone.'):
        print_log(f'The weights of the {what} were found{reading.place} of {source}.', 'current')
    return reading
