"""The sentences for labels that a method cannot learn from: none, or those of mixed images."""

from torch import Tensor, nn

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


def check_labels(model: nn.Module, labels: Tensor | None) -> None:
    """Raise UserError if a batch's labels are none of those that ``model`` learns from."""
    if labels is None:
        if model.needs_labels:
            raise no_labels(model)
    elif labels.ndim != 1 and not model.takes_soft_labels:
        raise UserError(
            f'{type(model).__name__} learns from one class of each image, and the images are mixed: leave '
            f'model.data_preprocessor.batch_mix out.'
        )
    elif labels.ndim != 1 and labels.shape[1] != model.num_classes:
        raise UserError(
            f'labels of {model.num_classes} classes were expected, and those of the mixed images have '
            f'{labels.shape[1]}: set model.data_preprocessor.batch_mix.num_classes to {model.num_classes}.'
        )
