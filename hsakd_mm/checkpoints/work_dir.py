"""Find the checkpoint of a work directory."""

import glob
import os
import re

from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.processes import ranks


def find_checkpoint(path: str) -> str:
    """The file itself, or the best, else the last checkpoint of a work directory.

    Names with ``://``, which are downloaded later, are returned unchanged.

    Raises:
        UserError: There is no such file and no checkpoint in such a folder.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(
            f'a checkpoint, as a file or a work directory, was expected, and it is {path!r}: name one (of a teacher as '
            f'default_hooks.distillation.checkpoint).'
        )
    if os.path.isfile(path) or '://' in str(path):
        return path
    best = sorted(glob.glob(os.path.join(path, 'best_*.pth')), key=os.path.getmtime)
    found = best[-1] if best else last_checkpoint(path)
    if found is None:
        raise UserError(
            f'a checkpoint was expected at {path}, and there is none: train it first, '
            f'or name a file with --cfg-options (of a teacher '
            f'default_hooks.distillation.checkpoint=FILE, of a frozen backbone '
            f'model.checkpoint=FILE).'
        )
    return found


def last_checkpoint(work_dir: str) -> str | None:
    """The checkpoint named in ``last_checkpoint`` of a work directory, which may have been moved.

    A killed run can leave that file empty, or naming a checkpoint that cannot be read. Then the
    newest readable checkpoint is returned, and a line is printed.

    Returns:
        str | None: None if the folder has no file ``last_checkpoint``.

    Raises:
        UserError: It has one, and no checkpoint can be read.
    """
    pointer = os.path.join(work_dir, 'last_checkpoint')
    if not os.path.isfile(pointer):
        return None
    with open(pointer) as file:
        path = file.read().strip()
    moved = os.path.join(work_dir, os.path.basename(path))
    if os.path.isfile(moved) or not os.path.isfile(path):
        path = moved
    if _readable(path):
        return path
    named = os.path.basename(path) or 'nothing'
    others = [
        other
        for pattern in ('epoch_*.pth', 'iter_*.pth')
        for other in glob.glob(os.path.join(work_dir, pattern))
        if other != path
    ]
    for other in sorted(others, key=_age, reverse=True):
        if _readable(other):
            if ranks()[0] == 0:
                print(
                    f'{pointer} names {named}, which cannot be read: taking '
                    f'{os.path.basename(other)}, the newest that can.'
                )
            return other
    raise UserError(
        f'{pointer} names {named}, and neither that nor another checkpoint in '
        f'{work_dir} can be read: name one with --resume FILE, or remove {pointer} to '
        f'start from the beginning.'
    )


def _readable(path: str) -> bool:
    try:
        return os.path.isfile(path) and bool(load_checkpoint(path))
    except UserError:
        return False


def _age(path: str) -> tuple:
    # Copied files can have the same time; then the number in the name decides.
    return os.path.getmtime(path), int((re.findall(r'\d+', os.path.basename(path)) or [0])[-1])
