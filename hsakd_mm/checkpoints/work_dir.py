"""Which checkpoint of a run's folder is meant."""

import glob
import os
import re

from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.processes import ranks


def find_checkpoint(path: str) -> str:
    """The file itself, or the best (else the last) checkpoint of a work directory.

    Names with ``://``, which are fetched later, stay as they are.

    Raises:
        UserError: There is neither.
    """
    if os.path.isfile(path) or '://' in path:
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
    """What ``last_checkpoint`` of a work directory points to, also after it was moved.

    mmengine writes that file in place: a run that was killed can leave it empty, or pointing to
    what cannot be read. The newest readable checkpoint is taken then, and a line says so.

    Raises:
        UserError: There is such a file, and no checkpoint that can be read.
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
    # Copied files can share a time; the number in the name then decides.
    return os.path.getmtime(path), int((re.findall(r'\d+', os.path.basename(path)) or [0])[-1])
