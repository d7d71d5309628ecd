"""Finds images that are in both of two datasets, such as training images in validation data."""

import functools
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

MAX_COMPARED = 50_000  # images of both; of more, only the paths are compared
_HEAD = 16_384  # bytes


def shared_images(train: Sequence, val: Sequence) -> list:
    """The images of ``val`` that are in ``train`` too.

    Two paths of the same file are the same image; links to folders are followed. Two files with
    the same bytes are the same image too: files of equal size are compared by their first 16 KiB,
    and if these are equal by their SHA-256. Equal file names in different folders do not count. A
    copy that was encoded again is not found.

    Args:
        train (Sequence[str]): Paths of images. Unreadable files are compared by path only.
        val (Sequence[str]): The same.

    Returns:
        list[tuple[str, str]]: Path in ``val`` and path in ``train``, in the order of ``val``.
    """
    resolved = functools.cache(os.path.realpath)  # folders are few, files are many
    known = {_resolve(path, resolved): path for path in train}
    found = {path: known[_resolve(path, resolved)] for path in val if _resolve(path, resolved) in known}
    if len(train) + len(val) <= MAX_COMPARED:
        groups = [(list(train), [path for path in val if path not in found])]
        for key in (os.path.getsize, _head, _digest):
            groups = [pair for group in groups for pair in _refine(*group, key)]
        found.update((path, ours[0]) for ours, theirs in groups for path in theirs)
    return [(path, found[path]) for path in dict.fromkeys(val) if path in found]


def _refine(train: Iterable, val: Iterable, key: Callable) -> list:
    ours, theirs = _group(train, key), _group(val, key)
    return [(ours[value], theirs[value]) for value in theirs if value in ours]


def _group(paths: Iterable, key: Callable) -> dict:
    groups = defaultdict(list)
    for path in paths:
        try:
            groups[key(path)].append(path)
        except OSError:
            continue
    return groups


def _resolve(path: str, resolved: Callable) -> str:
    folder, name = os.path.split(path)
    return os.path.join(resolved(folder), name)


def _head(path: str) -> bytes:
    with open(path, 'rb') as file:
        return file.read(_HEAD)


def _digest(path: str) -> str:
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read()).hexdigest()
