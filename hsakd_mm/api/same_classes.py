"""Names of classes: a label is a position in a list of them, so teacher and data need the same list."""

from collections.abc import Iterable, Mapping
from itertools import zip_longest

from hsakd_mm.datasets.same_classes import classes_of
from hsakd_mm.errors import UserError

from .images import ImageModule


def check_class_names(teacher: ImageModule, student: ImageModule, loader) -> None:
    """Compare the names of the teacher's classes with those of the data, or, without, with those of the student.

    Args:
        teacher (ImageModule): Its :attr:`classes` are None where its file has none.
        student (ImageModule): As the teacher.
        loader (Iterable | None): Its data set may have ``classes``, as torchvision's, or mmengine's ``metainfo``. None
            where its labels are not read.

    Raises:
        UserError: Both are known, and they differ.
    """
    if not teacher.classes:
        return
    of_data = _classes(getattr(loader, 'dataset', None))
    known, whose = (of_data, 'data') if of_data else (student.classes, 'student')
    if not known:
        return
    theirs, ours = (list(map(str, names)) for names in (teacher.classes, known))
    if theirs == ours:
        return
    pairs = enumerate(zip_longest(theirs, ours))
    number, (their, our) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
    if sorted(theirs) == sorted(ours):
        cure = (
            f'with those of the {whose} as names, call '
            f'teacher.model.reorder_classes([teacher.classes.index(name) for name in names]), and set '
            f'teacher.classes = names.'
        )
    else:
        cure = 'take a teacher of the same classes, or, if the names mean the same, set teacher.classes=None.'
    raise UserError(
        f'teacher and {whose} were expected to have the same classes in one order, and class {number} is {their!r} '
        f'of the teacher and {our!r} of the {whose}: {cure}'
    )


def _classes(dataset) -> list | None:
    """Of a data set, or of the one that a ``Subset`` takes from; None unless each class has one name."""
    while dataset is not None:
        # torchvision's ImageNet has synonyms for classes, and the names of its folders beside them.
        named = classes_of(dataset) or getattr(dataset, 'wnids', None)
        named = getattr(dataset, 'classes', None) if named is None else named
        if isinstance(named, Iterable) and not isinstance(named, str | Mapping):
            names = named.tolist() if hasattr(named, 'tolist') else list(named)
            return names if all(isinstance(name, str | int) for name in names) else None
        dataset = getattr(dataset, 'dataset', None)
    return None
