"""Methods beside each other: one data set and budget, several seeds, one table.

A bench is a config file that lists runs (:mod:`.plan`); every run is one call of
``tools/train.py``. What the runs left behind (:mod:`.results`) becomes a table, a JSON file and a
picture (:mod:`.report`, :mod:`.picture`).
"""

import statistics
from collections.abc import Sequence

from .bench import Bench
from .bench_report import print_report, write_report
from .results import collect, is_done, is_measured, note_origin


def run(bench: Bench, command: str, only: Sequence[str] = (), seeds: Sequence[int] = ()) -> None:
    """Do every run that is not done yet, then write and print the table.

    The report is written after each run: who stops early has a table of what is done. It covers
    all runs of the bench that are done, also those that ``only`` and ``seeds`` leave out.

    Args:
        bench (Bench): What to do.
        command (str): As the user typed it, for the report.
        only (Sequence[str]): Names of runs; what they need is done too.
        seeds (Sequence[int]): Some of the bench's.
    """
    runs = bench.selected(only, seeds)
    for number, each in enumerate(runs, 1):
        each.stage.always = not is_measured(each)  # stopped between its last epoch and that's
        if each.stage.run(f'{number}/{len(runs)}'):
            note_origin(each, command)
            write_report(bench, collect(bench))
            if left := time_left(runs):
                print(f'  all runs: {left}', flush=True)
    results = collect(bench)
    files = write_report(bench, results)
    print_report(bench, results, files)


def time_left(runs: Sequence) -> str:
    """How long the undone runs will take, as far as others of their name tell."""
    took: dict = {}
    for each in runs:
        if is_done(each):
            took.setdefault(each.name, []).append(each.stage.seconds)
    left = [each.name for each in runs if not is_done(each)]
    seconds = sum(statistics.mean(took[name]) for name in left if name in took)
    unknown = [name for name in dict.fromkeys(left) if name not in took]
    if not left:
        return ''
    known = f'about {seconds / 60:.0f} min left' if seconds else ''
    new = f'not yet known for {", ".join(unknown)}' if unknown else ''
    return '; '.join(filter(None, [known, new]))
