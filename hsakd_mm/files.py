"""Files and folders that are there whole or not at all, and of which nothing is lost."""

import os
import platform
import re
from collections.abc import Callable

from hsakd_mm.errors import UserError


def replace(path: str, write: Callable) -> None:
    """``write(file)`` to a temporary neighbour of ``path``, then take its place.

    Raises:
        UserError: It cannot be written (no space, no permission).
    """
    temporary = f'{path}.{platform.node()}.{os.getpid()}.tmp'  # several nodes may share a folder
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(temporary, 'wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch.save says "no space" with a RuntimeError
        raise UserError(
            f'{path} could not be written ({error}): free some space, or name a place '
            f'that can be written to; what was there before is unchanged.'
        ) from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def move_aside(folder: str) -> None:
    """Rename a folder whose contents are outdated; nothing of it is deleted."""
    number = 1
    while os.path.exists(aside := f'{folder}.old{number}'):
        number += 1
    os.rename(folder, aside)
    print(f'  {folder} was made from other settings: kept as {aside}', flush=True)


def folder_name(name: str) -> str:
    """A name without what a shell or a search for files would take for something else."""
    return re.sub(r'[^\w.+-]+', '_', name.replace('*', '-star'))
