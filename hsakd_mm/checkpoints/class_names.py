"""The names of the classes that a checkpoint was trained on: equal numbers of classes may have another order."""

from collections.abc import Mapping, Sequence

from hsakd_mm.checkpoints.reading_files import exported_metadata
from hsakd_mm.errors import UserError

_SHOWN = 5


def class_names(content: Mapping) -> tuple | None:
    """The names in the order of the labels, or None where the file does not have them.

    mmengine stores them in ``meta['dataset_meta']``, older OpenMMLab projects in ``meta['CLASSES']``, and
    :func:`~.export.export_backbone` in its metadata.

    Args:
        content (Mapping): The result of :func:`~.loading.load_checkpoint`.
    """
    meta = content.get('meta') or {}
    named = [
        (meta.get('dataset_meta') or {}).get('classes'),
        (meta.get('dataset_meta') or {}).get('CLASSES'),
        meta.get('CLASSES'),
        exported_metadata(content).get('classes'),
    ]
    found = next((names for names in named if names and not isinstance(names, str)), None)
    return None if found is None else tuple(map(str, found))


def class_order(
    theirs: Sequence[str], ours: Sequence[str], source: str, folder: str | None, switch: str
) -> list | None:
    """For each of our classes its number in the checkpoint; None if the order is the same.

    Args:
        theirs (Sequence[str]): The checkpoint's names.
        ours (Sequence[str]): Those of the data.
        source (str): The checkpoint's file, for the error.
        folder (str | None): That of the data, for the error.
        switch (str): What leaves the comparison out, for the error.

    Raises:
        UserError: The names are not the same.
    """
    theirs, ours = [str(name) for name in theirs], [str(name) for name in ours]
    if theirs == ours:
        return None
    if sorted(theirs) == sorted(ours) and len(set(theirs)) == len(theirs):
        return [theirs.index(name) for name in ours]
    of_theirs, of_ours = [name for name in theirs if name not in ours], [name for name in ours if name not in theirs]
    raise UserError(
        f'the data in {folder or "the config"} was expected to have the classes that {source} was trained on, and '
        f'{_only(of_theirs, "the checkpoint")}, {_only(of_ours, "the data")}: rename the classes of the data, or, if '
        f'the labels have the same meaning under other names, {switch}.'
    )


def _only(names: Sequence[str], who: str) -> str:
    if not names:
        return f'{who} has no other'
    shown = ', '.join(map(repr, names[:_SHOWN])) + (', ...' if len(names) > _SHOWN else '')
    return f'only {who} has {shown}'
