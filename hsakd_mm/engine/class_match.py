"""Numbers the classes of a loaded model as the data does."""

from collections.abc import Mapping

from torch import nn

from hsakd_mm.checkpoints.class_names import class_names, class_order
from hsakd_mm.datasets.same_classes import classes_of, folder_of
from hsakd_mm.errors import UserError
from hsakd_mm.models.unwrapped import unwrapped


def match_classes(model: nn.Module, content: Mapping, dataset, source: str, switch: str) -> str | None:
    """Compare the names of the classes in a checkpoint with those of a dataset; renumber the model's if need be.

    Labels are positions in a list of names: with the same names in another order, or one folder renamed, a model
    predicts other classes than the labels say, and only some of them.

    Args:
        model (nn.Module): With the weights of the checkpoint.
        content (Mapping): The result of :func:`~hsakd_mm.checkpoints.loading.load_checkpoint`.
        dataset (Dataset): Compared if both name their classes, in equal numbers.
        source (str): The checkpoint's file.
        switch (str): What leaves the comparison out, for the error.

    Returns:
        str | None: What was changed, a sentence.

    Raises:
        UserError: The names differ, or the classes of this model cannot be renumbered.
    """
    model = unwrapped(model)
    theirs, ours = class_names(content), classes_of(dataset)
    if not theirs or not ours or len(theirs) != len(ours):  # other numbers of classes do not fit together anyway
        return None
    order = class_order(theirs, ours, source, folder_of(dataset), switch)
    if order is None:
        return None
    if not hasattr(model, 'reorder_classes'):
        raise UserError(
            f'the classes of the data were expected in the order of {source}, and they have another: set '
            f'metainfo.classes of the dataset to {theirs}, or {switch}.'
        )
    model.reorder_classes(order)
    return f'The classes in {source} have another order than those of the data in {folder_of(dataset)}: renumbered.'
