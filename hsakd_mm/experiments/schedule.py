"""Runs the steps of an experiment in order: skips those that are done, and goes on after one that fails."""

import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from hsakd_mm.errors import UserError

from .child import RunFailed


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


def run_all(steps: Sequence, after: Callable | None = None, same_duration: bool = False) -> list:
    """Run the steps that are not done.

    Args:
        steps (Sequence[Step]): In order.
        after (Callable): Called with the number (from 1) of each step that has just been run.
        same_duration (bool): All names take about the same time, so that one gives an estimate for the others.

    Returns:
        list[tuple[Step, RunFailed]]: The steps that failed, or whose needs did.

    Raises:
        SystemExit: This process or a child was told to stop; nothing more is started.
        KeyboardInterrupt: Ctrl-C.
    """
    failed: list = []
    ran: list = []
    done = [step.is_done() for step in steps]  # looking takes a while: it reads configs and checkpoints
    for number, step in enumerate(steps, 1):
        position = f'[{number}/{len(steps)}] {step.title}'
        if done[number - 1] and (not _uses(step, ran) or step.is_done()):  # a repeated need outdates it
            print(f'{position}: done before, in {step.seconds:.0f} s', flush=True)
            continue
        left = time_left(steps, done, number - 1, same_duration)
        print(f'{position}{f" ({left})" if left else ""}', flush=True)
        try:
            if absent := _uses(step, [other for other, _ in failed]):
                raise RunFailed(f'it needs {", ".join(need.title for need in absent)}, which failed')
            ran.append(step)
            step.run()
        except (RunFailed, UserError) as error:
            failure = error if isinstance(error, RunFailed) else RunFailed(str(error))
            if failure.status == 130:
                raise SystemExit(130) from None  # Ctrl-C reached the child only
            failed.append((step, failure))
            where = f' (log: {failure.log})' if failure.log else ''
            print(f'error: {step.title} failed with status {failure.status}{where}: {failure.reason}', file=sys.stderr)
            continue
        done[number - 1] = True
        print(f'  done in {step.seconds:.0f} s', flush=True)
        if after is not None:
            after(number)
    return failed


def _uses(step: Step, others: Sequence) -> list:
    """The needs of a step that are among the others."""
    return [need for need in step.needs if any(need is other for other in others)]


def time_left(steps: Sequence, done: Sequence[bool], start: int = 0, same_duration: bool = False) -> str:
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
    rest = f'; not yet known for {", ".join(unknown)}' if unknown else ''
    return f'about {sum(known) / 60:.0f} min left in all{rest}'


def exit_if_failed(failed: Sequence) -> None:
    """Exit with the status of the first failure, if there is one."""
    if failed:
        raise SystemExit(failed[0][1].status)
