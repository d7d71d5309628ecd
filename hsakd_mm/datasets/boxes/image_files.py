"""Checks image files by decoding them as MMDetection will."""

import os
from collections.abc import Sequence
from functools import cache
from multiprocessing.pool import ThreadPool

import numpy as np

from .checks import MISSING, UNREADABLE, WRONG_SIZE, Findings, is_complete
from .coco_json import progress


def check_files(files: Sequence, what: str, turned: bool = True) -> Findings:
    """Check that image files exist, are complete, decode, and have the sizes that their annotations say.

    Args:
        files (Sequence[tuple[str, tuple | None]]): Paths, and width and height as annotated, if known.
        what (str): Name in the progress messages.
        turned (bool): The loader turns images as their EXIF block says, as OpenCV does by default.
    """
    findings = Findings()

    def look(file: tuple) -> tuple | None:
        path, said = file
        return _problem(path, said, turned)

    with ThreadPool(min(16, 4 * (os.cpu_count() or 1))) as pool:  # a file system may be far away
        for problem in progress(pool.imap(look, files, chunksize=8), len(files), f'images of {what}'):
            if problem:
                findings.image(*problem)
    return findings


def absent_files(paths: Sequence) -> list:
    """The paths that do not exist; folders are listed, which is quicker than to ask for each file."""
    listed = cache(_listing)
    absent = []
    for path in paths:
        folder, name = os.path.split(path)
        if name not in listed(folder) and not os.path.isfile(path):
            absent.append(path)
    return absent


def _problem(path: str, said: tuple | None, turned: bool) -> tuple | None:
    """``(reason, place)`` of what is wrong with a file; None if nothing is."""
    if not os.path.isfile(path):
        return MISSING, path
    size = _decoded_size(path, turned) if is_complete(path) else None
    if size is None:
        return UNREADABLE, path
    if said is not None and tuple(said) != size:
        return WRONG_SIZE, '{}: {:g}x{:g} is annotated, the image is loaded with {}x{}'.format(path, *said, *size)
    return None


def _decoded_size(path: str, turned: bool) -> tuple | None:
    """Width and height of the image as OpenCV decodes it; None if it cannot be decoded."""
    import cv2

    flags = cv2.IMREAD_COLOR if turned else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), flags)
    except (cv2.error, OSError):
        return None
    return None if pixels is None else (pixels.shape[1], pixels.shape[0])


def _listing(folder: str) -> frozenset:
    try:
        return frozenset(os.listdir(folder or '.'))
    except OSError:
        return frozenset()
