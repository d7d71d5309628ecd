"""Settings as a checkpoint can hold them: it is read as values, and nothing in it is executed."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from hsakd_mm.errors import UserError


def plain_settings(settings: Mapping) -> dict:
    """Settings as numbers, strings, None, and lists, tuples and dicts of these.

    Numbers and arrays of NumPy and torch become Python's, ranges lists, paths strings.

    Raises:
        UserError: One is something else, such as a class or a module.
    """
    return {name: _plain(value, name) for name, value in settings.items()}


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, np.generic | np.ndarray | Tensor):
        value = value.tolist()
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif isinstance(value, range):
        value = list(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {_plain(key, f'a key of {name}'): _plain(each, f'{name}.{key}') for key, each in value.items()}
    if isinstance(value, list | tuple):
        found = [_plain(each, f'{name}[{index}]') for index, each in enumerate(value)]
        return found if isinstance(value, list) else tuple(found)
    what = f'the class {value.__name__}' if isinstance(value, type) else f'a {type(value).__name__}'
    raise UserError(
        f'a number, a string, None, or a list or dict of these was expected, which a checkpoint can hold, and {name} '
        f"is {what}: leave it out, or name it by a string where that is taken, as timm's act_layer='silu'."
    )
