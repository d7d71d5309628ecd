"""Find the checkpoint of a work directory."""

import glob
import os
import re
from contextlib import suppress

from hsakd_mm.checkpoints.fetching import is_fetched
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.files import name_aside
from hsakd_mm.processes import ranks

STEPS = ('epoch_*.pth', 'iter_*.pth')  # checkpoints that can be resumed
OWN = ('epoch_', 'iter_', 'best_', 'last_checkpoint')  # how the names of a run's checkpoints begin


IN_A_RUN = (
    'train it first, or name a file with --cfg-options (of a teacher default_hooks.distillation.checkpoint=FILE, of a '
    'frozen backbone model.checkpoint=FILE, of a backbone to start from model.load_backbone_from=FILE).'
)


def find_checkpoint(path: str, cure: str = IN_A_RUN) -> str:
    """The file itself, or the best, else the last checkpoint of a work directory.

    Names and addresses (:func:`~.fetching.is_fetched`), which are downloaded later, are returned unchanged.

    Args:
        path (str): The file or folder.
        cure (str): What to do where there is none, for the message.

    Raises:
        UserError: There is no such file and no checkpoint in such a folder.
    """
    if not isinstance(path, str | os.PathLike):
        there = 'name one (of a teacher as default_hooks.distillation.checkpoint).' if cure == IN_A_RUN else cure
        raise UserError(f'a checkpoint, as a file or a work directory, was expected, and it is {path!r}: {there}')
    if os.path.isfile(path) or is_fetched(path):
        return path
    best = glob.glob(os.path.join(glob.escape(path), 'best_*.pth'))
    best = sorted((each for each in best if not each.endswith('_backbone.pth')), key=os.path.getmtime)  # an export's
    found = best[-1] if best else last_checkpoint(path)
    if found is None:
        raise UserError(f'a checkpoint was expected at {path}, and there is none: {cure}')
    return found


def last_checkpoint(work_dir: str) -> str | None:
    """The checkpoint named in ``last_checkpoint`` of a work directory, which may have been moved.

    A killed run can leave that file empty, or naming a checkpoint that cannot be read; it may be missing
    where checkpoints were copied. Then the newest readable checkpoint is returned, and a line is printed.

    Returns:
        str | None: None if the folder has no checkpoint and no file ``last_checkpoint``.

    Raises:
        UserError: It has one of them, and no checkpoint can be read.
    """
    pointer, path = os.path.join(work_dir, 'last_checkpoint'), ''
    there = os.path.isfile(pointer)
    if there:
        with open(pointer) as file:
            path = file.read().strip()
        moved = os.path.join(work_dir, os.path.basename(path))
        if os.path.isfile(moved) or not os.path.isfile(path):
            path = moved
        if _readable(path):
            return path
    others = [
        other for pattern in STEPS for other in glob.glob(os.path.join(glob.escape(work_dir), pattern)) if other != path
    ]
    if not there and not others:
        return None
    lacking = f'names {os.path.basename(path) or "nothing"}, which cannot be read' if there else 'is missing'
    for other in sorted(others, key=_age, reverse=True):
        if _readable(other):
            if ranks()[0] == 0:
                print(f'{pointer} {lacking}: taking {os.path.basename(other)}, the newest that can.', flush=True)
            return other
    raise UserError(
        f'{pointer} {lacking}, and none of the {len(others)} other checkpoints in {work_dir} can be read: name one '
        f'with --resume FILE, or start from the beginning with --overwrite, which moves the old files aside.'
    )


def run_files(work_dir: str) -> list[str]:
    """The names of an earlier run's checkpoints in a work directory, with ``last_checkpoint``."""
    patterns = (*STEPS, 'best_*.pth', 'last_checkpoint')
    found = [glob.glob(os.path.join(glob.escape(work_dir), pattern)) for pattern in patterns]
    return sorted(os.path.basename(path) for each in found for path in each)


def require_unused(work_dir: str) -> None:
    """Check that no run left checkpoints in the work directory of a run that starts.

    Raises:
        UserError: It has some, which the new run would overwrite and remove.
    """
    files = run_files(work_dir)
    if files:
        raise UserError(
            f'a work directory without checkpoints was expected, as this run starts from the beginning, and {work_dir} '
            f'has {len(files)} files of another ({", ".join(files[:3])}{", ..." if len(files) > 3 else ""}): go on '
            f'with that run by --resume, choose another --work-dir, or add --overwrite, which moves its files aside.'
        )


def move_run_aside(work_dir: str) -> str | None:
    """Move an earlier run's checkpoints and logs into ``<work_dir>.old<N>``; nothing is deleted.

    What else is in the folder stays: a lock, a config, the output of whatever started this run.

    Returns:
        str | None: That folder; None if there was nothing to move.

    Raises:
        UserError: The files cannot be moved.
    """
    if not run_files(work_dir):
        return None
    root = os.path.abspath(work_dir)
    aside = name_aside(root)
    try:
        os.makedirs(aside, exist_ok=True)
        for name in sorted(os.listdir(root)):
            logs = os.path.isdir(os.path.join(root, name)) and re.fullmatch(r'\d{8}_\d{6}.*', name)
            if logs or name.startswith(OWN):
                with suppress(FileNotFoundError):  # another node that shares the folder moved it
                    os.rename(os.path.join(root, name), os.path.join(aside, name))
    except OSError as error:
        raise UserError(
            f'the files of the earlier run in {work_dir} were to be moved to {aside}, and that failed '
            f'({error.strerror or error}): choose another --work-dir.'
        ) from error
    print(f'The earlier run in {work_dir} was moved to {aside}.', flush=True)
    return aside


def _readable(path: str) -> bool:
    try:
        return os.path.isfile(path) and bool(load_checkpoint(path))
    except UserError:
        return False


def _age(path: str) -> tuple:
    # Copied files can have the same time; then the number in the name decides.
    return os.path.getmtime(path), int((re.findall(r'\d+', os.path.basename(path)) or [0])[-1])
