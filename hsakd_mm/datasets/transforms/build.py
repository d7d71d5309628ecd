"""Builds pipelines from configs, with clear errors for unknown names and arguments."""

import difflib
from collections.abc import Callable, Sequence

from hsakd_mm.errors import UserError
from hsakd_mm.registry import TRANSFORMS


def build_transforms(pipeline: Sequence[dict | Callable]) -> list[Callable]:
    """Build the transforms of a pipeline.

    Raises:
        UserError: The type is unknown (the nearest names are given) or does not take the arguments.
    """
    return [_build(each) if isinstance(each, dict) else each for each in pipeline]


def _usable(name: str) -> bool:
    found = TRANSFORMS.get(name)
    # Once mmcv is imported, mmengine's root registry has its transforms too: `Resize`, for BGR arrays.
    return found is not None and not found.__module__.startswith('mmcv.')


def _build(config: dict) -> Callable:
    name = config.get('type')
    if isinstance(name, str) and not _usable(name):
        known = TRANSFORMS.module_dict
        near = (
            difflib.get_close_matches(name, known, n=3)
            or [each for each in known if each.rpartition('/')[2] == name]
            or ['LoadImage']
        )
        raise UserError(f'there is no transform {name!r}: did you mean {" or ".join(map(repr, near))}?')
    try:
        return TRANSFORMS.build(config)
    except (TypeError, ValueError) as error:
        raise UserError(
            f'the transform {name!r} cannot be built with the arguments given ({error}): correct them in the pipeline.'
        ) from error
