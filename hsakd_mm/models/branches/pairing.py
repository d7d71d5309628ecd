"""Pairs the branches of a student with those of a teacher."""

import math
from collections.abc import Sequence
from functools import partial

from hsakd_mm.errors import UserError


def pair_by_stride(student: Sequence[int], teacher: Sequence[int]) -> list[int]:
    """For each of the student's branches, the index of the teacher's branch that teaches it.

    With equal numbers of branches they are paired in order, as in the paper (its WRN-40-2 with strides
    1, 2, 4 teaches a ShuffleNet with 2, 4, 8). Otherwise each branch of the student gets the teacher's
    branch with the nearest stride, the deeper one of two; among several at one stride, as those of a plain ViT, the
    one at the nearest share of the depth. The paper has no such pair; giving every branch a target is our decision.

    Args:
        student, teacher (Sequence[int]): Strides of the taps that the branches read, ascending.

    Raises:
        UserError: The teacher has no branch.

    Example:
        >>> pair_by_stride((4, 8, 16, 32), (1, 2, 4))
        [2, 2, 2, 2]
        >>> pair_by_stride((1, 2, 4), (2, 4, 8, 16))
        [0, 0, 1]
        >>> pair_by_stride((8, 16, 32), (16, 16, 16, 16))
        [0, 2, 3]
    """
    if not teacher:
        raise UserError(
            'a teacher with branches was expected, and this one has none: use one that was trained as HSAKDTeacher.'
        )
    if len(student) == len(teacher):
        return list(range(len(student)))

    def distance(depth: int, index: int) -> tuple:
        apart = abs((index + 1) / len(teacher) - (depth + 1) / len(student))
        return abs(math.log2(teacher[index] / student[depth])), -teacher[index], apart, -index

    return [min(range(len(teacher)), key=partial(distance, depth)) for depth in range(len(student))]
