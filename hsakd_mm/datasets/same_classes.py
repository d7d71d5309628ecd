"""Checks that splits have the same classes: a label is an index into the split's own list."""

import os
from collections.abc import Iterable, Mapping

from hsakd_mm.errors import UserError


def check_same_classes(splits: dict) -> None:
    """Compare the classes of every split with those of the first.

    Args:
        splits (dict[str, Dataset]): Datasets by name, such as 'training'. Datasets without
            ``metainfo['classes']`` are skipped.

    Raises:
        UserError: Classes are missing, additional or in another order; names them and both folders.
    """
    known = [(name, dataset, classes) for name, dataset in splits.items() if (classes := classes_of(dataset))]
    for name, dataset, found in known[1:]:
        first, reference, expected = known[0]
        if found == expected:
            continue
        missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
        wrong = [f'lacks {_names(missing)}'] * bool(missing) + [f'also has {_names(extra)}'] * bool(extra)
        raise UserError(
            f'the {first} data in {folder_of(reference)} and the {name} data in {folder_of(dataset)} must have the '
            f'same classes in the same order, and the {name} data '
            f'{" and ".join(wrong) or "has them in another order"}: '
            + (
                'add or remove these class folders, or list the classes that both have in '
                'metainfo=dict(classes=[...]) of both datasets.'
                if wrong
                else 'give metainfo.classes of both datasets in one order.'
            )
        )


def classes_of(dataset) -> tuple | None:
    """The names of the classes in the order of their labels, or None if the dataset has none."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return None if classes is None else tuple(classes)


def labelled_parts(dataset) -> set[bool]:
    """Whether the images of a dataset have labels; of a wrapper such as ``ConcatDataset``, what its parts say."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner[0] is not None:
        return set().union(*map(labelled_parts, inner))
    return {getattr(dataset, 'labelled', True)}  # of UnlabelledImages alone it is False


def chosen_classes(metainfo: Mapping) -> tuple[str, ...] | None:
    """The names that a user chose with ``metainfo['classes']``, or None.

    Raises:
        UserError: It is one string, empty, or names a class twice.
    """
    chosen = metainfo.get('classes')
    if chosen is None:
        return None
    if isinstance(chosen, str) or not isinstance(chosen, Iterable):
        raise UserError(
            f'metainfo.classes is expected to be a list of names, or a text file with one name a line, and it is '
            f'{chosen!r}: write [{chosen!r}], or correct the path.'
        )
    names = tuple(map(str, chosen))  # the folder 0 is often chosen as a number
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise UserError(
            f'metainfo.classes is expected to name every class once, and it '
            f'{f"has {twice[0]!r} twice" if twice else "is empty"}: correct the list.'
        )
    return names


def check_data_root(data_root) -> None:
    """Raise UserError unless ``data_root`` is a path."""
    if not isinstance(data_root, str | os.PathLike):
        raise UserError(f'data_root is expected to be a folder, and it is {data_root!r}: set it to where the data is.')


def folder_of(dataset) -> str | None:
    """The folder that holds the images of a split."""
    return getattr(dataset, 'folder', None) or getattr(dataset, 'data_root', None)


def _names(classes: list) -> str:
    if len(classes) == 1:
        return f'the class {classes[0]!r}'
    return f'{len(classes)} classes ({", ".join(map(repr, classes[:5]))}{", ..." if len(classes) > 5 else ""})'
