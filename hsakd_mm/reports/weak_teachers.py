"""A warning, in words, where a teacher is not better than the student that it teaches."""

import statistics
from collections.abc import Sequence

METRIC = 'accuracy/top1'  # the one that tells how good a network is by itself


def weak_teachers(results: Sequence[dict]) -> list[str]:
    """A sentence for each teacher that is not better than all of its students.

    Both are judged by their last validation, means over seeds: teachers are not measured on a test set.

    Args:
        results (list[dict]): Of each finished run ``name``, ``metric``, ``curve`` ``[(epoch, top1), ...]`` in percent
            and ``taught_by``, the names of the runs that teach it.
    """
    top1: dict = {}
    taught_by: dict = {}
    for result in results:
        if result.get('metric', METRIC) == METRIC and result['curve']:
            top1.setdefault(result['name'], []).append(result['curve'][-1][1])
            taught_by.setdefault(result['name'], result.get('taught_by', ()))
    means = {name: statistics.mean(values) for name, values in top1.items()}
    students: dict = {}
    for student, teachers in taught_by.items():
        for teacher in teachers:
            if teacher in means and means[teacher] <= means[student]:
                students.setdefault(teacher, []).append(f'{student} ({means[student]:.1f})')
    return [
        f'Warning: the teacher {teacher!r} ({means[teacher]:.1f}) is not better than its student{"s" * (len(of) > 1)} '
        f'{", ".join(of)}, by top-1 on validation images: such a row does not show what its method does with a good '
        f'teacher. Train the teacher longer, or take a better one.'
        for teacher, of in students.items()
    ]
