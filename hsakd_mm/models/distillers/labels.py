"""The sentence for images without labels, given to a method that learns from them."""

from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS


def no_labels(model: nn.Module, where: str = 'the batch') -> UserError:
    """The error for ``model``, whose images in ``where`` have no labels."""
    method = type(model)
    ours = getattr(method, 'without_labels', None)
    others = sorted(
        {
            f'{each.__name__}{f" with {switches}" if switches else ""}'
            for each in MODELS.module_dict.values()
            if each is not method and (switches := getattr(each, 'without_labels', None)) is not None
        }
    )
    cure = f'set {ours}, or ' if ours else ''
    return UserError(
        f'images with labels were expected, from which {method.__name__} learns, and {where} has none: {cure}use a '
        f'method that learns without ({", ".join(others)}), or data with labels, such as an ImageFolder.'
    )
