"""Moves the folder of an outdated run aside, unless that run is in progress."""

import os
import shutil

from hsakd_mm.engine.work_dir_lock import refuse_if_used
from hsakd_mm.files import move_aside, name_aside


def move_outdated_aside(folder: str, needed: str = '') -> None:
    """Rename an outdated work directory to ``<folder>.old<N>``; nothing is deleted.

    Args:
        folder (str): Exists.
        needed (str): A file that the next run reads; if it was in the folder, a copy is there again.

    Raises:
        UserError: A run is in progress there, which would end without its lock.
    """
    refuse_if_used(folder)
    folder = os.path.normpath(folder)  # without a slash at its end
    inside = os.path.relpath(os.path.realpath(needed), os.path.realpath(folder))
    aside = name_aside(folder)
    move_aside(folder)
    if needed and not os.path.exists(needed):
        os.makedirs(os.path.dirname(needed), exist_ok=True)
        shutil.copyfile(os.path.join(aside, inside), needed)
