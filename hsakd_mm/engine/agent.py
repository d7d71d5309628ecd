"""torchrun's agent on one node, for runs that are pre-empted, lose a worker or lose a node.

torch's own agent kills workers 30 s after a signal however long their checkpoint takes, starts a run again
that asked to be stopped, and knows nothing of the other nodes when the rendezvous is static.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerState
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent

from hsakd_mm.engine.other_nodes import OtherNodes
from hsakd_mm.processes import REQUEUE

SAVE = (signal.SIGTERM, signal.SIGUSR1)
INTERRUPT = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# Starting again does not help: asked to stop, a user's mistake, Ctrl-C.
FINAL = {REQUEUE, 2, 130}
SECONDS_TO_INTERRUPT = 30


class Agent(LocalElasticAgent):
    """Starts the workers of this node, and ends only when all of them have ended.

    - SIGTERM and SIGUSR1 go to the workers (not to their DataLoader's workers), which save and end with
      status :data:`~hsakd_mm.processes.REQUEUE`. They have ``grace`` seconds for that.
    - Ctrl-C goes to them as well; they have 30 s. A second SIGTERM or Ctrl-C kills them at once.
    - When a worker fails, the others, which cannot go on without it, are killed with all they started. Then
      all are started again if restarts are left, except after a user's mistake or a request to stop.
    - The same happens on all nodes; see :class:`~hsakd_mm.engine.other_nodes.OtherNodes`.

    Args:
        spec (WorkerSpec): What to run.
        grace (float): Seconds from a request to stop to SIGKILL.
        options: LocalElasticAgent's.
    """

    def __init__(self, spec, grace: float, **options) -> None:
        super().__init__(spec, **options)
        self._remaining_restarts: int = spec.max_restarts
        self._grace, self._deadline = grace, float('inf')
        self._told: list = []  # the signals so far
        self._cause: tuple | None = None  # (rank, exit status) of the worker that failed first
        self._codes: set = set()
        self._others = OtherNodes()
        # The thread that handles signals must not send one to a pid that is just being given back.
        self._lock = threading.Lock()

    # ---------------------------------------------------------------- signals

    def on_signal(self, number: int) -> None:
        """What a signal does; called in a thread of its own, as the main thread may wait for another node."""
        with self._lock:
            running = [proc for proc in self._procs().values() if exit_status(proc) is None]
            if not running:
                done = self._worker_group.state == WorkerState.SUCCEEDED  # and waits for the other nodes
                os._exit(0 if done else REQUEUE if number in SAVE else 128 + number)
            # Slurm's SIGUSR1 comes before its SIGTERM: that is not yet a second request.
            again = number != signal.SIGUSR1 and any(told != signal.SIGUSR1 for told in self._told)
            if again:
                for proc in running:
                    _kill(proc.pid)
                say(f'stopped at once by a second {signal.Signals(number).name}.')
                os._exit(128 + number)
            if not self._told or number in INTERRUPT:
                self._deadline = time.monotonic() + (self._grace if number in SAVE else SECONDS_TO_INTERRUPT)
            self._told.append(number)
            for proc in running:
                os.kill(proc.pid, number)

    def _procs(self) -> dict:
        """This node's workers: global rank → process."""
        if self._pcontext is None:
            return {}
        workers = self._worker_group.workers
        return {workers[local].global_rank: each.proc for local, each in self._pcontext.subprocess_handlers.items()}

    # ---------------------------------------------------------------- torchrun's loop

    def _rendezvous(self, worker_group: WorkerGroup) -> None:
        super()._rendezvous(worker_group)
        self._others.meet(worker_group.store, worker_group.group_rank, worker_group.group_world_size)

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        with self._lock:
            return self._look(worker_group)

    def _look(self, worker_group: WorkerGroup) -> RunResult:
        procs = self._procs()
        codes = {rank: exit_status(proc) for rank, proc in procs.items()}
        failed = {rank: code for rank, code in codes.items() if code not in (None, 0, REQUEUE)}
        asked = bool(self._told) or REQUEUE in codes.values()
        if asked and self._deadline == float('inf'):
            self._deadline = time.monotonic() + self._grace
        late = time.monotonic() >= self._deadline
        elsewhere = self._others.listen(asked)
        if not failed and not late and not elsewhere and None in codes.values():
            return RunResult(state=WorkerState.HEALTHY)
        self._codes = {code for code in codes.values() if code}
        if failed:  # a signal explains what the others report of it
            self._cause = min(failed.items(), key=lambda item: (item[1] > 0, item))
        for rank, proc in procs.items():
            # A worker that failed may have left processes of its own; it is not reaped yet, so its group is its own.
            if codes[rank] is None or rank in failed:
                _kill(proc.pid)
        result = super()._monitor_workers(worker_group)
        while result.state == WorkerState.HEALTHY:
            time.sleep(0.05)
            result = super()._monitor_workers(worker_group)
        if result.is_failed() and self._remaining_restarts and (asked or late or not self._may_restart(elsewhere)):
            self._remaining_restarts = 0
        return result

    def _may_restart(self, elsewhere: bool) -> bool:
        if elsewhere and not self._cause:
            return self._others.restarts
        return not self._codes & FINAL

    def _restart_workers(self, worker_group: WorkerGroup) -> None:
        count, all_ = worker_group.spec.max_restarts - self._remaining_restarts, worker_group.spec.max_restarts
        again = f'all are started again and go on from the last checkpoint (restart {count} of {all_}).'
        if self._cause:
            explain(self._cause, again)
        self._others.restart(count)
        self._cause, self._codes = None, set()
        super()._restart_workers(worker_group)

    # ---------------------------------------------------------------- the end

    def end(self, result: RunResult) -> int:
        """Tell the other nodes; returns the launcher's exit status and prints why, unless a worker has said it."""
        status = self._status(result)
        if status:
            self._others.end(status)
        return status

    def _status(self, result: RunResult) -> int:
        if not result.is_failed():
            return 0
        if self._told and self._told[-1] in INTERRUPT:
            return 128 + self._told[-1]
        if time.monotonic() >= self._deadline and not self._cause and self._codes <= {REQUEUE}:
            running_late = any(failure.exitcode == -signal.SIGKILL for failure in result.failures.values())
            if running_late:
                say(
                    f'the processes had not saved and ended {self._grace:g} s after they were asked to stop, and were '
                    f'killed: give them more time with HSAKD_MM_GRACE={2 * self._grace:g} (seconds).'
                )
                return 128 + (self._told[0] if self._told else signal.SIGTERM)
        # A worker that had not finished starting is ended by the signal itself; it had nothing to save.
        if self._codes and self._codes <= {REQUEUE, *(-number for number in self._told)}:
            return REQUEUE
        if self._cause:
            return explain(self._cause, 'the others were stopped.')
        say(f'{self._others.ended}; the processes of this node were stopped.')
        return self._others.status


def exit_status(proc) -> int | None:
    """A child's exit status, negative for a signal, without reaping it; None while it runs."""
    if proc.returncode is not None:
        return proc.returncode
    ended = os.waitid(os.P_PID, proc.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _kill(pid: int) -> None:
    """SIGKILL for a worker and for what it started; each worker leads a process group."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def explain(cause: tuple, then: str) -> int:
    """Print why a worker ended, if it could not do so itself; its exit status as a shell has it."""
    rank, code = cause
    if code >= 0:
        if 'again' in then:
            print(f'rank {rank} failed: {then}', file=sys.stderr, flush=True)
        return code
    name = signal.Signals(-code).name
    hint = {
        'SIGKILL': ', as when memory runs out',
        'SIGABRT': ', as by NCCL when another process does not answer within env_cfg.dist_cfg.timeout',
    }.get(name, '')
    text = f'rank {rank} was ended by {name}{hint}; {then}'
    if 'again' in then:
        print(text, file=sys.stderr, flush=True)
    else:
        say(text)
    return 128 - code


def say(sentence: str) -> None:
    print(f'error: {sentence}', file=sys.stderr, flush=True)


def in_thread(handle: Callable) -> None:
    """Have ``handle(number)`` called in a thread for each signal that this process does not ignore.

    A handler in the main thread would wait until torch's store, in which launchers wait for each other, returns.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (*SAVE, *INTERRUPT):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a shell's background job
            signal.signal(number, lambda *_: None)

    def listen() -> None:
        while True:
            for number in os.read(reader, 64):
                if number in (*SAVE, *INTERRUPT):
                    handle(number)

    threading.Thread(target=listen, daemon=True).start()
