"""Runs the steps of an experiment, some at a time: skips those that are done, and goes on after one that fails."""

import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from hsakd_mm.errors import UserError

from .child import RunFailed
from .workers import Workers

NAMED = 3  # names of which a line tells that their time is not known; of more, their number


class Step(Protocol):
    """What :func:`run_all` runs.

    Attributes:
        name (str): Steps of one name take about the same time.
        title (str): What the terminal calls it.
        needs (Sequence[Step]): Steps whose outcome it uses; they come before it.
        seconds (float): Duration so far.
    """

    name: str
    title: str
    needs: Sequence
    seconds: float

    def is_done(self) -> bool: ...

    def run(self) -> None: ...


def run_all(steps: Sequence, after: Callable | None = None, same_duration: bool = False, jobs: int = 1) -> list:
    """Run the steps that are not done.

    Args:
        steps (Sequence[Step]): In order.
        after (Callable): Called with the number (from 1) of each step that has just been run.
        same_duration (bool): All names take about the same time, so that one gives an estimate for the others.
        jobs (int): Steps at a time. A step waits for those that it needs.

    Returns:
        list[tuple[Step, RunFailed]]: The steps that failed, or whose needs did, in order.

    Raises:
        SystemExit: This process or a child was told to stop; nothing more is started.
        KeyboardInterrupt: Ctrl-C.
    """
    failed: dict = {}
    ran: list = []
    done = [step.is_done() for step in steps]  # looking takes a while: it reads configs and checkpoints
    waiting = list(range(len(steps)))

    def start(workers: Workers) -> None:
        """Start what can be started, in order."""
        for place in list(waiting):
            step = steps[place]
            if workers.full or _uses(step, [steps[other] for other in (*waiting, *workers.running)]):
                continue
            waiting.remove(place)
            position = f'[{place + 1}/{len(steps)}] {step.title}'
            # Looked at again: a repeated need outdates it, and another process may have finished it meanwhile.
            done[place] = step.is_done() if _uses(step, ran) or not done[place] else True
            if done[place]:
                print(f'{position}: done before, in {step.seconds:.0f} s', flush=True)
                continue
            left = time_left(steps, done, 0 if jobs > 1 else place, same_duration, jobs)
            print(f'{position}{f" ({left})" if left else ""}', flush=True)
            if absent := _uses(step, [steps[other] for other in failed]):
                reason = f'it needs {", ".join(need.title for need in absent)}, which failed'
                fail(place, RunFailed(reason))
                continue
            ran.append(step)
            workers.start(place, step.run)

    def fail(place: int, error: Exception) -> None:
        failure = error if isinstance(error, RunFailed) else RunFailed(str(error))
        if failure.status == 130:
            raise SystemExit(130) from None  # Ctrl-C reached the child only
        failed[place] = failure
        where = f' (log: {failure.log})' if failure.log else ''
        title = steps[place].title
        print(f'error: {title} failed with status {failure.status}{where}: {failure.reason}', file=sys.stderr)

    with Workers(jobs) as workers:
        start(workers)
        while workers.running:
            for place, error in workers.finished():
                if isinstance(error, RunFailed | UserError):
                    fail(place, error)
                    continue
                if error is not None:
                    raise error
                done[place] = True
                title = f'{steps[place].title}: ' if jobs > 1 else ''
                print(f'  {title}done in {steps[place].seconds:.0f} s', flush=True)
                if after is not None:
                    after(place + 1)
            start(workers)
    return [(steps[place], failed[place]) for place in sorted(failed)]


def _uses(step: Step, others: Sequence) -> list:
    """The needs of a step that are among the others."""
    return [need for need in step.needs if any(need is other for other in others)]


def time_left(steps: Sequence, done: Sequence[bool], start: int = 0, same_duration: bool = False, jobs: int = 1) -> str:
    """Estimate the time of the steps from ``start`` that are not done, from finished steps of the same name."""
    took: dict = {}
    left = [step for step, finished in zip(steps[start:], done[start:]) if not finished]
    for step, finished in zip(steps, done):
        if finished:
            took.setdefault(step.name, []).append(step.seconds)
    if same_duration and took:
        others = [seconds for of_name in took.values() for seconds in of_name]
        took = {**{step.name: others for step in left}, **took}
    known = [max(0.0, statistics.mean(took[step.name]) - step.seconds) for step in left if step.name in took]
    unknown = list(dict.fromkeys(step.name for step in left if step.name not in took))
    if not known:
        return ''
    some = ', '.join(unknown) if len(unknown) <= NAMED else f'{len(unknown)} of the rows'
    rest = f'; not yet known for {some}' if unknown else ''
    return f'about {sum(known) / jobs / 60:.0f} min left in all{rest}'


def exit_if_failed(failed: Sequence) -> None:
    """Exit with the status of the first failure, if there is one."""
    if failed:
        raise SystemExit(failed[0][1].status)
