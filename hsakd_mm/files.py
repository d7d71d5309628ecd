"""Reading JSON, writing files atomically, and moving folders aside without deleting anything."""

import hashlib
import json
import os
import platform
import re
from collections.abc import Callable

from hsakd_mm.errors import UserError


def write_atomically(path: str, write: Callable) -> None:
    """Replace ``path`` by a new file with the content that ``write(file)`` writes.

    It is written to a temporary file in the same folder first, so that ``path`` is never incomplete.

    Raises:
        UserError: The file cannot be written (no space, no permission).
    """
    temporary = temporary_name(path)
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(temporary, 'wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch.save raises a RuntimeError on a full disk
        raise UserError(
            f'{path} could not be written ({error}): free some space, or choose another '
            f'path; an existing file is unchanged.'
        ) from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def temporary_name(path: str) -> str:
    """Where this process writes what is to be the file ``path``."""
    return f'{path}.{platform.node()}.{os.getpid()}.tmp'  # several nodes may share a folder


def leftovers(folder: str) -> list[str]:
    """Files in this folder by :func:`temporary_name` that no other running process of this machine can be writing.

    This process is writing none; in a container that was started again it has the pid of the one that was killed.
    """
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = [
        (name, re.fullmatch(r'(?:last_checkpoint|.+\.(?:pth|json|txt))\.(.+)\.(\d+)\.tmp', name)) for name in names
    ]
    return [
        os.path.join(folder, name)
        for name, of in found
        if of and not (of[1] == platform.node() and int(of[2]) != os.getpid() and os.path.exists(f'/proc/{of[2]}'))
    ]


def sha256(path: str) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of(path: str) -> str | None:
    """:func:`sha256` of a file; None for weights that were fetched by a name."""
    return sha256(path) if os.path.isfile(path) else None


def write_json(path: str, content: dict) -> None:
    """Write ``content`` as indented JSON, atomically.

    Raises:
        UserError: The file cannot be written.
    """
    write_atomically(path, lambda file: file.write(json.dumps(content, indent=1).encode() + b'\n'))


def read_text(path: str) -> str:
    """The content of a text file in UTF-8, with or without a byte order mark, which is left out.

    Raises:
        OSError: The file cannot be read.
        UserError: Its bytes are not UTF-8.
    """
    with open(path, 'rb') as file:
        content = file.read()
    try:
        return content.decode('utf-8').removeprefix('\ufeff')
    except UnicodeDecodeError as error:
        raise UserError(
            f'text in UTF-8 was expected in {path}, and byte {error.start} (0x{content[error.start]:02x}) is not: '
            f'save the file as UTF-8.'
        ) from error


def read_json(*path: str) -> dict:
    """The content of a JSON file, given as parts of its path; an empty dict where there is none."""
    try:
        with open(os.path.join(*path)) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def name_aside(folder: str) -> str:
    """The first ``<folder>.old<N>`` that is free."""
    number = 1
    while os.path.exists(aside := f'{folder}.old{number}'):
        number += 1
    return aside


def move_aside(folder: str) -> None:
    """Rename an outdated folder to ``<folder>.old<N>``; nothing is deleted."""
    aside = name_aside(folder)
    os.rename(folder, aside)
    print(f'  {folder} was made from other settings: kept as {aside}', flush=True)


def folder_name(name: str) -> str:
    """``name`` with characters that are special to a shell or a glob replaced by ``_``."""
    return re.sub(r'[^\w.+-]+', '_', name.replace('*', '-star'))
