"""Downloads an archive on the main rank, with progress and checksum, while the other ranks wait."""

import os
from collections.abc import Callable
from multiprocessing.pool import ThreadPool

from mmengine.dist import all_gather_object, is_main_process
from mmengine.logging import print_log
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from hsakd_mm.errors import UserError
from hsakd_mm.processes import on_all_ranks

_ROUND = 20.0  # seconds between two collectives, well below any timeout of theirs


def on_main_rank(function: Callable, *args) -> None:
    """Run a slow function on the main rank. All ranks return when it is done, or raise its UserError."""
    with ThreadPool(1) as pool:
        job = pool.apply_async(function, args) if is_main_process() else None
        done = False
        while not done:
            if job is not None:
                job.wait(_ROUND)
            done = any(all_gather_object(job is not None and job.ready()))
        on_all_ranks(job.get if job is not None else lambda: None)


def first_bad_file(folder: str, files: list) -> tuple[str, str] | None:
    """``(path, problem)`` of the first missing or changed file of ``(name, md5 or None)``."""
    for name, md5 in files:
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            return path, 'is missing'
        if not check_integrity(path, md5):
            return path, 'is not the original file (its MD5 differs)'
    return None


def fetch_archive(url: str, root: str, filename: str, md5: str) -> None:
    """Download an archive to ``root``, check its MD5, and unpack it there.

    torchvision does the work: it shows a progress bar and does not download a complete archive again.

    Raises:
        UserError: The download failed, the checksum differs, or the archive cannot be written.
    """
    print_log(f'downloading {url} to {root}', 'current')
    try:
        download_and_extract_archive(url, root, filename=filename, md5=md5)
    except Exception as error:  # urllib, tarfile, the disk and torchvision each have their own
        raise UserError(
            f'the download of {url} to {root} failed '
            f'({" ".join(str(error).split())[:200] or type(error).__name__}): run the command again, '
            f'or download the file elsewhere and put it into {root} as {filename}.'
        ) from error
