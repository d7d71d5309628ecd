"""Images that two sets share: a detector that is measured on them is measured on what it has seen."""

import functools
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

CONTENT = 50_000  # in sets of more images together, only paths are compared
_HEAD = 16_384  # bytes


def shared_images(train: Sequence, val: Sequence) -> list:
    """The images of ``val`` that are in ``train`` too.

    Two paths to one file are one image (links to folders are followed). So are two files of equal
    bytes, whatever their names: files of one size are compared by their first 16 KiB, and those
    that agree in them by all their bytes. Equal file names in different folders mean nothing. An
    image that was saved anew, with other bytes, is not recognised.

    Args:
        train (Sequence[str]): Paths of images; those that cannot be read are compared by path.
        val (Sequence[str]): The same.

    Returns:
        list[tuple[str, str]]: The path in ``val`` and a path in ``train``, in the order of ``val``.
    """
    resolved = functools.cache(os.path.realpath)  # of folders: few, where files are many
    known = {_resolve(path, resolved): path for path in train}
    found = {path: known[_resolve(path, resolved)] for path in val if _resolve(path, resolved) in known}
    if len(train) + len(val) <= CONTENT:
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
