"""Checks of a machine: versions, operators, GPUs, shared memory, open files, disk, the work directory.

Each check returns one line: what was found, whether a run would fail by it, and what mends it.
"""

import os
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

import torch
from torch import distributed as dist

OK, WARNING, MISSING = 'ok', 'warning', 'missing'
# The oldest that may work, then what the tests were run with (requirements/constraints*.txt, docs/stacks.md).
KNOWN = dict(
    torch=('2.6', '2.11.0', '2.14.1'),
    torchvision=('0.21', '0.26.0', '0.29.1'),
    timm=('1.0', '1.0.31'),
    mmengine=('0.10', '0.10.7', '0.10.12'),
    safetensors=('0.4', '0.8.0'),
)
OPTIONAL = dict(mmdet=('3.3', '3.3.0', '3.5.1'), pycocotools=('2.0', '2.0.11'))
# Other distributions that are imported by the same name.
NAMES = dict(mmengine=('onedl-mmengine',), mmdet=('onedl-mmdetection',), mmcv=('mmcv-lite', 'onedl-mmcv'))
_IN_CHECKOUT = os.path.exists(os.path.join(os.path.dirname(__file__), '../../tools/setup_env.sh'))
SETUP = 'run bash tools/setup_env.sh' if _IN_CHECKOUT else 'install a tested version of it by pip'
SHARED, FILES, FREE = 1 << 30, 4096, 5 << 30  # bytes of /dev/shm, open files, bytes of free disk that seldom lack


@dataclass
class Check:
    """One line of the report; ``cure`` says what to do unless ``status`` is ``'ok'``."""

    name: str
    status: str
    found: str
    cure: str = ''

    def __str__(self) -> str:
        return f'{self.status:8}{self.name:16}{self.found}' + (f': {self.cure}' if self.cure else '')


def check_machine(work_dir: str = 'work_dirs') -> Iterator[Check]:
    """All checks that need no config."""
    yield from check_versions()
    yield check_operators()
    yield check_gpus()
    yield check_backend()
    yield check_shared_memory()
    yield check_open_files()
    yield check_work_dir(work_dir)
    yield check_free_disk(work_dir)


def check_versions() -> Iterator[Check]:
    new_enough = sys.version_info >= (3, 10)
    yield Check(
        'python', OK if new_enough else MISSING, platform.python_version(), '' if new_enough else 'use 3.10 to 3.14'
    )
    for name, (oldest, *tested) in {**KNOWN, **OPTIONAL}.items():
        known = ' and '.join(tested)
        found = _version(name)
        if found is None:
            needed = name in KNOWN
            what = SETUP if needed else f'needed for detectors only; {SETUP}'
            yield Check(name, MISSING if needed else WARNING, 'not installed', what)
        elif _numbers(found) < _numbers(oldest):
            yield Check(name, MISSING, f'{found}, and {oldest} or newer is needed', SETUP)
        elif _numbers(found)[:2] not in [_numbers(version)[:2] for version in tested]:
            yield Check(name, WARNING, f'{found}, tested with {known}', 'if something fails, install that one')
        else:
            yield Check(name, OK, f'{found} (tested with {known})')


def _version(package: str) -> str | None:
    for name in (package, *NAMES.get(package, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split('+')[0].split('.') if part.isdecimal()]


def check_operators() -> Check:
    """Whose operators a detector uses (:mod:`hsakd_mm.transfer.operators`)."""
    name = 'operators'
    if _version('mmcv') is None:
        return Check(name, WARNING, 'no mmcv', f'needed for detectors only; {SETUP}')
    if type(sys.modules.get('mmcv._ext')).__name__ == 'StandIn':
        return Check(
            name, OK, "torchvision's, as mmcv has none that are compiled: enough for Faster R-CNN and RetinaNet"
        )
    try:
        __import__('mmcv._ext')
    except ImportError as error:
        return Check(name, MISSING, f"mmcv's compiled ones cannot be loaded ({error})", 'build mmcv for this torch')
    return Check(name, OK, "mmcv's, compiled")


def check_gpus() -> Check:
    if not torch.cuda.is_available():
        built = f'CUDA {torch.version.cuda}' if torch.version.cuda else 'the CPU'
        return Check('GPUs', WARNING, f'none (torch is built for {built})', 'training runs on the CPU, slowly')
    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    found = ', '.join(f'{card.name} ({card.total_memory / 2**30:.0f} GiB)' for card in cards)
    try:
        torch.ones(8, device='cuda').sum().item()
    except RuntimeError as error:
        return Check(
            'GPUs', MISSING, f'{found}, which cannot compute ({str(error).splitlines()[0]})', 'mend its driver'
        )
    return Check('GPUs', OK, found)


def check_backend() -> Check:
    if not torch.cuda.is_available():
        return Check('NCCL', OK, 'not needed without GPUs; several processes talk by gloo')
    if not dist.is_nccl_available():
        return Check('NCCL', MISSING, 'this torch has none', 'several GPUs need it: install a torch that has it')
    return Check('NCCL', OK, '.'.join(map(str, torch.cuda.nccl.version())))


def check_shared_memory(folder: str = '/dev/shm') -> Check:
    cure = 'enlarge it (in Docker --shm-size=16g or --ipc=host), or set train_dataloader.num_workers=0'
    if not os.path.isdir(folder):
        return Check('shared memory', MISSING, f'there is no {folder}', cure)
    free = shutil.disk_usage(folder).free
    return Check(
        'shared memory',
        *((OK, _size(free)) if free >= SHARED else (WARNING, f'{_size(free)} are free in {folder}', cure)),
    )


def check_open_files() -> Check:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    enough = limit == resource.RLIM_INFINITY or limit >= FILES
    found = 'unlimited' if limit == resource.RLIM_INFINITY else str(limit)
    return Check('open files', *((OK, found) if enough else (WARNING, found, f'run ulimit -n {FILES} first')))


def check_work_dir(folder: str) -> Check:
    """Whether files can be written where the run would write, without leaving anything there."""
    there = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b'0' * 4096)
    except OSError as error:
        return Check('work directory', MISSING, f'{folder} cannot be written ({error.strerror})', 'choose --work-dir')
    return Check('work directory', OK, folder)


def check_free_disk(folder: str) -> Check:
    free = shutil.disk_usage(_existing(folder)).free
    found = f'{_size(free)} are free for {folder}'
    return Check('disk', *((OK, found) if free >= FREE else (WARNING, found, 'free some space, or choose --work-dir')))


def _existing(folder: str) -> str:
    """The folder, or the nearest one above it that exists."""
    folder = os.path.abspath(folder)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return folder


def _size(count: float) -> str:
    return f'{count / 2**30:.1f} GiB'
