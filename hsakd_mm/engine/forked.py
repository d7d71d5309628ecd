"""What forked children do with the signals that ask a run to stop.

Their parent only notes such a signal, and a child inherits that. A pool's worker would then never end, which is told to
by SIGTERM (MMDetection's VOC metric has such a pool); while the workers that load images must not end by a SIGTERM
which, as Slurm's, goes to every process of the job: the step could not be finished without them.
"""

import os
import signal
import threading
from collections.abc import Collection
from functools import cache

_kept = threading.local()  # the mask of a thread that forks
_loads_images: list[bool] = [False]


def starts_image_workers(yes: bool) -> None:
    """Whether what is forked from now on loads images."""
    _loads_images[0] = yes


@cache
def prepare_children(signals: Collection[int]) -> None:
    """Have all children that are forked from now on end by these signals, as usual.

    Those that load images end by their parent's alone. All have a process group of their own, so that a signal to
    ours, as a shell sends it, is not for them.

    Args:
        signals (tuple[int]): That this process has handlers for.
    """

    def before() -> None:  # a signal between the fork and in_child would be noted, and lost
        _kept.mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _kept.mask)

    def in_child() -> None:
        os.setpgrp()
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        if _loads_images[0]:
            threading.Thread(target=_end_with, args=(os.getppid(), signals), daemon=True).start()
        else:
            signal.pthread_sigmask(signal.SIG_SETMASK, _kept.mask)

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def _end_with(parent: int, signals: Collection[int]) -> None:
    """Take the signals of this process, which are blocked; end by the one that torch sends to a worker."""
    while True:
        found = signal.sigwaitinfo(signals)
        if found.si_signo == signal.SIGTERM and found.si_pid == parent:
            os._exit(0)
