"""Checks every image file of a dataset before training starts; all ranks share the work.

Datasets of up to 20,000 files are decoded in full. In larger ones only the header and the end
marker of a JPEG or PNG file are read, and files without the marker are decoded. The work is done in
rounds: a failure on one rank is raised on all ranks at the end of the round, and no rank waits at a
collective for longer than a round takes.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import BinaryIO

from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.logging import print_log
from PIL import Image

from hsakd_mm.errors import UserError
from hsakd_mm.processes import on_all_ranks

from .images import FORMATS, check_kind, read_rgb, unreadable

DECODE_UP_TO = 20_000  # files; larger datasets are checked by header and end marker
STAMP_FROM = 5_000  # files; for smaller datasets a new check is quicker than the lookup
_ROUND = 20_000  # files per rank between two collectives
_LOG_EVERY = 5.0  # seconds

_END_MARKS = dict(JPEG=b'\xff\xd9', MPO=b'\xff\xd9', PNG=b'IEND\xaeB`\x82')


def verify_images(paths: Sequence[str], non_rgb: str) -> None:
    """Check that every file is an image that the pipeline can use.

    For datasets of 5,000 files and more the result is cached in ``$XDG_CACHE_HOME/hsakd_mm`` under
    the paths, sizes and modification times of the files, and they are not checked again.

    Args:
        paths (Sequence[str]): The files, the same on every rank.
        non_rgb (str): 'error' or 'convert', see :func:`~hsakd_mm.datasets.images.read_rgb`.

    Raises:
        UserError: A file cannot be used. It is raised on every rank and names the file.
    """
    stamp = on_all_ranks(_stamp, paths, non_rgb) if len(paths) >= STAMP_FROM else None
    if any(all_gather_object(stamp is not None and os.path.exists(stamp))):
        return
    check = partial(read_rgb if len(paths) <= DECODE_UP_TO else check_ends, non_rgb=non_rgb)
    step = _ROUND * get_world_size()
    began = time.monotonic()
    for start in range(0, len(paths), step):
        share = paths[start : start + step][get_rank() :: get_world_size()]
        on_all_ranks(_check_share, share, check, start, len(paths), began)
    if stamp:
        _write_stamp(stamp, len(paths))


def check_ends(path: str, non_rgb: str) -> None:
    """Check a file by its header and end marker; decode it if it has no end marker."""
    try:
        with open(path, 'rb') as file, Image.open(file, formats=FORMATS) as image:
            check_kind(image, path, non_rgb)
            complete = has_end_mark(file, image.format)
    except UserError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error
    if not complete:  # bytes after the end marker are harmless and not rare: the decoder decides
        read_rgb(path, non_rgb)


def has_end_mark(file: BinaryIO, kind: str | None) -> bool:
    """Whether a file of this format, such as 'JPEG', ends with the format's end marker."""
    mark = _END_MARKS.get(kind or '')
    file.seek(-16, os.SEEK_END)
    return mark is not None and file.read().endswith(mark)


def _check_share(paths: Sequence[str], check: Callable, done: int, total: int, began: float) -> None:
    def failure_of(path: str) -> UserError | None:
        try:
            check(path)
        except UserError as error:
            return error
        return None

    logged = time.monotonic()
    with ThreadPool(min(16, 4 * (os.cpu_count() or 1))) as pool:
        for failure in pool.imap(failure_of, paths, chunksize=16):
            if failure is not None:
                raise failure
            done += get_world_size()
            now = time.monotonic()
            if is_main_process() and now - logged > _LOG_EVERY:
                logged = now
                left = (now - began) / done * (total - done)
                print_log(f'checking images: {done}/{total}, {left:.0f} s left', 'current')


def _stamp(paths: Sequence[str], non_rgb: str) -> str | None:
    """Path of the cache entry of these files; on the main rank only."""
    if not is_main_process():
        return None

    def state_of(path: str) -> str:
        try:
            state = os.stat(path)
        except OSError as error:
            raise unreadable(path, error) from error
        return f'{os.path.abspath(path)}\0{state.st_size}\0{state.st_mtime_ns}\0'

    digest = hashlib.sha256(non_rgb.encode())
    with ThreadPool(16) as pool:
        for line in pool.imap(state_of, paths, chunksize=256):
            digest.update(line.encode(errors='surrogateescape'))
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    return os.path.join(cache, 'hsakd_mm', 'verified', digest.hexdigest())


def _write_stamp(stamp: str, files: int) -> None:
    try:
        os.makedirs(os.path.dirname(stamp), exist_ok=True)
        with open(stamp, 'w') as file:
            file.write(f'{files} image files were checked\n')
    except OSError as error:  # not a reason to stop a run: the files are checked again next time
        print_log(f'the result of the image check could not be cached at {stamp} ({error.strerror})', 'current')
