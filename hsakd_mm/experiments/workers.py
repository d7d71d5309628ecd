"""Steps at a time: each in a thread of its own, which works here in turn and waits for its child beside the others.

Only waiting for a child process overlaps. What a step does in this process (reading checkpoints, counting operations,
writing reports) uses registries and random numbers that threads share, and so is done by one thread at a time.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from . import child


class Workers:
    """Runs functions, ``jobs`` at a time; a context manager of the main thread. One at a time needs no thread.

    Ctrl-C, SIGTERM and SIGUSR1 reach all children, and are answered when all of them have ended.

    Args:
        jobs (int): Functions at a time.

    Attributes:
        running (dict[int, Future]): By the number that they were started with.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.running: dict[int, Future] = {}

    def __enter__(self) -> 'Workers':
        self._stack = contextlib.ExitStack()
        if self.jobs > 1:
            self._told = self._stack.enter_context(child.signals_to_all())
            self._pool = self._stack.enter_context(ThreadPoolExecutor(self.jobs, thread_name_prefix='step'))
            self._stack.enter_context(child.in_turn())
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self.running and kind is not None:  # Ctrl-C, or an error of ours: no child goes on alone
            with child.out_of_turn():
                if kind is not KeyboardInterrupt:
                    child.end_all(signal.SIGTERM)
                elif wait(self.running.values(), timeout=3).not_done:  # a terminal interrupts the children too
                    child.end_all(signal.SIGINT)
                wait(self.running.values())
        self._stack.__exit__(kind, error, trace)

    @property
    def full(self) -> bool:
        return len(self.running) >= self.jobs

    def start(self, number: int, function: Callable) -> None:
        """Start a function, or run it where there is one at a time; only if not :attr:`full`."""
        if self.jobs > 1:
            self.running[number] = self._pool.submit(self._in_turn, function)
            return
        future: Future = Future()
        try:
            future.set_result(function())
        except Exception as error:  # an exit or Ctrl-C ends this process
            future.set_exception(error)
        self.running[number] = future

    @staticmethod
    def _in_turn(function: Callable) -> None:
        with child.in_turn():
            function()

    def finished(self) -> Iterator[tuple[int, BaseException | None]]:
        """Wait for one of the running; gives the number and the error of each that has ended.

        Raises:
            SystemExit: This process was told to stop, and all children have ended.
        """
        with child.out_of_turn() if self.jobs > 1 else contextlib.nullcontext():
            while not wait(self.running.values(), timeout=0.5, return_when=FIRST_COMPLETED).done:
                pass
            if self.jobs > 1 and self._told:
                wait(self.running.values())
        if self.jobs > 1 and self._told:
            errors = [future.exception() for future in self.running.values()]
            self.running.clear()
            self._told.say()
            raise SystemExit(
                self._told.status([error.status for error in errors if isinstance(error, child.RunFailed)])
            )
        for number in [number for number, future in self.running.items() if future.done()]:
            yield number, self.running.pop(number).exception()
