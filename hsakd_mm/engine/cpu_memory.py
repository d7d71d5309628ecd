"""Keeps memory that a training step on a CPU frees for the next step, instead of giving it back to the kernel.

glibc gives freed memory back as soon as enough of it lies at the end of the heap, and each step then asks for it
again: the kernel clears it and maps it page by page. Of a step of ResNet-34 -> ResNet-18 at 64 pixels that was 70,000
page faults, all in the backward pass, where gradients take the place of those that the last step freed.
"""

import ctypes
import os

from torch import nn

# glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Bytes from which on free memory is given back, and a block gets a mapping of its own.
NEVER = (-1, 2**31 - 1)  # -1: at no size; the other has no such value, and takes no larger one
USUAL = (64 * 2**20, 32 * 2**20)  # where glibc's own rule ends up after blocks of 32 MiB: malloc.c, "dynamic"
_SETTINGS = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_')


def keep_freed_memory(model: nn.Module) -> bool:
    """Keep it from now on, if ``model`` is on the CPU; of a user's own settings in the environment nothing is changed.

    Returns:
        bool: Whether it was done; not on a GPU, and not where the C library is another than glibc. Old versions of
        glibc still give back blocks of more than 32 MiB.
    """
    on_cpu = all(parameter.device.type == 'cpu' for parameter in model.parameters())
    theirs = any(name in os.environ for name in _SETTINGS) or 'glibc.malloc' in os.environ.get('GLIBC_TUNABLES', '')
    if not on_cpu or theirs:
        return False
    return set_thresholds(*NEVER) or set_thresholds(NEVER[0], USUAL[1])  # older versions take no more than 32 MiB


def set_thresholds(trim: int, mmap: int) -> bool:
    """Set glibc's two thresholds; False where the C library is another one."""
    library = ctypes.CDLL(None)
    if not hasattr(library, 'gnu_get_libc_version'):
        return False
    # The second alone would freeze the first where it is small.
    return library.mallopt(_MMAP_THRESHOLD, mmap) == 1 and library.mallopt(_TRIM_THRESHOLD, trim) == 1
