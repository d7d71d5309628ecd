"""Runs a bench: its data, its pretrainings, their table, then a detector from each row and the comparison of these."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import torch

from hsakd_mm.checkpoints.source import RANDOM
from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError
from hsakd_mm.files import read_json
from hsakd_mm.reports.methods import print_method_report, write_method_report
from hsakd_mm.threads import available_cores

from .bench import Bench
from .bench_detectors import check_detector, detector_seeds, plan_detectors, pretraining_seed, without_pretraining
from .pretraining import collect
from .schedule import exit_if_failed, run_all

LONG = ('files', 'split')  # keys of a manifest that are left out of a report


def run_bench(
    bench: Bench,
    command: str,
    only: Sequence[str] = (),
    seeds: Sequence[int] = (),
    pretrain: bool = True,
    jobs: int | None = None,
) -> None:
    """Run the unfinished steps; write and print the reports.

    They are written after each run, so that an interrupted bench still has a report of its finished runs, and cover
    all finished runs, also those that ``only`` and ``seeds`` leave out.

    Args:
        bench (Bench): What to do.
        command (str): As the user typed it, for the report.
        only (Sequence[str]): Names of runs, or ``random`` for a detector without pretraining. What they need is done
            too.
        seeds (Sequence[int]): Some of the seeds: the detector's, where there is one.
        pretrain (bool): False: all pretraining is done, start with the detectors.
        jobs (int, optional): Runs at a time. By default the bench's.

    Raises:
        UserError: Names or seeds that the bench does not have, or the detector's data or weights do not fit.
        SystemExit: Some runs failed. The others are done and reported; the status is that of the first failure.
    """
    names = [*bench.entries, *([RANDOM] if bench.detector else [])]
    for name in only:
        if name not in names:
            raise UserError(
                f'--only takes names of runs of {bench.file} ({", ".join(names)}), and {name!r} is '
                f'none{nearest(name, names)}.'
            )
    if bench.prepare:
        exit_if_failed(run_all([bench.prepare]))
    jobs = jobs or bench.jobs or _default_jobs(bench.threads)
    with _threads(bench.threads or (available_cores() // jobs if jobs > 1 else None)):
        _run(bench, command, only, seeds, pretrain, jobs)


def _run(bench: Bench, command: str, only: Sequence[str], seeds: Sequence[int], pretrain: bool, jobs: int) -> None:
    failed: list = []
    if pretrain:
        failed = _pretrain(bench, command, only, seeds, jobs)
    rows = [name for name in only if name == RANDOM or bench.entries[name].get('row', True)]
    if failed and not any(run.row and run.is_done() for run in bench.runs):
        exit_if_failed(failed)
    if bench.detector and (rows or not only):
        detectors = plan_detectors(bench, seeds, [] if failed else rows)
        detectors.check()
        try:
            detectors.run(rows, without_pretraining(bench, failed, seeds), jobs)
        except SystemExit as ended:
            if ended.code != 130:
                exit_if_failed(failed)  # what failed first
            raise
    exit_if_failed(failed)


def _default_jobs(threads: int | None) -> int:
    """One, as training on a GPU or with all cores fills the machine; more where a bench says how little a run takes."""
    return 1 if threads is None or torch.cuda.is_available() else max(1, available_cores() // threads)


@contextlib.contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Threads of the runs and of this process, which counts its own in the record; a user's setting is replaced."""
    if number is None:
        yield
        return
    before, own = os.environ.get('OMP_NUM_THREADS'), torch.get_num_threads()
    os.environ['OMP_NUM_THREADS'] = str(max(1, number))
    torch.set_num_threads(max(1, number))
    try:
        yield
    finally:
        torch.set_num_threads(own)
        os.environ.pop('OMP_NUM_THREADS')
        if before is not None:
            os.environ['OMP_NUM_THREADS'] = before


def _pretrain(bench: Bench, command: str, only: Sequence[str], seeds: Sequence[int], jobs: int) -> list:
    if bench.detector:
        check_detector(bench, seeds)
        seeds = [pretraining_seed(bench, seed) for seed in detector_seeds(bench, seeds)] if seeds else []
    names = [name for name in only if name != RANDOM]
    if only and not names:
        return []
    runs = bench.selected(names, seeds)
    for run in runs:
        run.command = command
    failed = run_all(runs, lambda number: _write_report(bench, collect(bench.runs)), jobs=jobs)
    results = collect(bench.runs)
    files = _write_report(bench, results)
    print_method_report(results, bench.baseline, len(bench.runs) - len(results), len(bench.runs), files)
    return failed


def _write_report(bench: Bench, results: Sequence[dict]) -> dict:
    top1_of = 'last epoch, on ' + ('the test set' if bench.measure == 'test' else 'validation images')
    return write_method_report(
        results, bench.work_dir, bench.title, bench.baseline, bench.notes, bench.file, _data(bench), top1_of
    )


def _data(bench: Bench) -> list:
    """The manifests of the data folders that have one; they hold a hash of the content."""
    roots = [run.cfg.train_dataloader.dataset.get('data_root') for run in bench.runs]
    if bench.prepare:
        roots.append(os.path.dirname(bench.prepare.produces))
    found = []
    for root in filter(None, dict.fromkeys(roots)):
        if manifest := read_json(root, 'manifest.json'):
            # The list of files is long, and its hash is in the manifest too.
            found.append(dict({key: value for key, value in manifest.items() if key not in LONG}, data_root=root))
    return found
