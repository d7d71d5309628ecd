"""Fine-tunes a detector from every backbone of a bench.

A bench file that names a detector goes on to it from its table::

    detector = dict(config='detector.py', seeds=[0, 1, 2])

``config``, a detection config, is looked for beside the file. ``folder`` and ``title`` are for a second bench file on
the same pretraining, with another detector: where in the work directory its runs go, by default ``detectors``, and the
heading of its report. Every row of the bench becomes a start of the detector,
and so does ``random``. Where the bench has one seed, all detectors of a row start from that pretraining; where it has
several, the detector of a seed starts from the pretraining of the same seed, so that the spread of a row covers both.
The comparison is that of :class:`~.detector_list.DetectorList`, as in ``tools/transfer_det.py``.
"""

import os
from collections.abc import Sequence

from hsakd_mm.checkpoints.export import networks_in
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.source import RANDOM, export_start
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.reports.comparison import FailedRun
from hsakd_mm.reports.weak_teachers import weak_teachers
from hsakd_mm.transfer.data_files import check_data
from hsakd_mm.transfer.mended import inner_datasets

from .bench import Bench, smoke_options
from .detector_list import DetectorList
from .detector_run import NEEDS, DetectorRun
from .run_cost import cost
from .run_record import annotations_of, folder_sha256


def check_detector(bench: Bench, seeds: Sequence[int] = ()) -> None:
    """Check the detector before the hours of pretraining: its package, config and data.

    Args:
        bench (Bench): With a detector.
        seeds (Sequence[int]): Of the detector; the file's by default.

    Raises:
        UserError: The detector's config, its package or its data are not there, or there is no pretraining for a seed.
    """
    detector_seeds(bench, seeds)
    random = DetectorRun(RANDOM, detector_config(bench), seed=0)
    random.check_fit()
    check_data(random.cfg)


def plan_detectors(bench: Bench, seeds: Sequence[int] = (), only: Sequence[str] = ()) -> DetectorList:
    """The detectors of a bench: of ``random``, and of every row whose runs are done.

    Args:
        bench (Bench): With a detector.
        seeds (Sequence[int]): Of the detector; the file's by default.
        only (Sequence[str]): Rows, or ``random``, that have to be among them; by default any row.

    Raises:
        UserError: There is no pretraining for a seed, or a row of ``only``, or any at all, is not done.
    """
    config = detector_config(bench)
    seeds = detector_seeds(bench, seeds)
    rows = {
        run.name: {seed: bench.run_of(run.name, pretraining_seed(bench, seed)) for seed in seeds}
        for run in bench.runs
        if run.row
    }
    done = {name: {seed: run for seed, run in runs.items() if run.is_done()} for name, runs in rows.items()}
    missing = {name: [seed for seed in seeds if seed not in done[name]] for name in rows}
    absent = [name for name in only if name != RANDOM and missing[name]]
    done = {name: runs for name, runs in done.items() if runs}
    of_seeds = f' with seed {", ".join(map(str, seeds))}' if len(bench.seeds) > 1 else ''
    if absent or not (done or only):
        raise UserError(
            f'a finished pretraining of {", ".join(absent) or "any row"}{of_seeds} was expected in {bench.work_dir}, '
            f'and none matches the current configs: leave out --no-pretraining, or choose other --seeds or another '
            f'--work-dir.'
        )
    if left_out := [f'{name} (seed {", ".join(map(str, of))})' for name, of in missing.items() if of]:
        print(f'Not compared, as their pretraining is not finished: {"; ".join(left_out)}', flush=True)
    folder = detector_folder(bench)
    starts = {
        name: {seed: backbone_file(run.checkpoint, folder) for seed, run in runs.items()} for name, runs in done.items()
    }
    made = DetectorList(
        {RANDOM: dict.fromkeys(seeds, RANDOM), **starts},
        config,
        seeds,
        work_dir=folder,
        options=_smoke(config) if bench.smoke else None,
    )
    made.title, made.bench = bench.detector.get('title', bench.title), bench.file
    made.baseline, made.pairs = bench.baseline, bench.pairs
    next(run for run in made.runs if run.name == RANDOM).records_losses = True
    made.notes += [*bench.notes, *_data_notes(bench, made)]
    for run in made.runs:
        if run.name not in done:
            continue
        start = done[run.name][run.seed]
        run.cost = cost(start)
        if start.metric.startswith('accuracy/'):  # not agreement with a teacher
            run.top1 = start.top1()
    looked_at = {run.title: run for runs in done.values() for run in runs.values()}
    looked_at.update((run.title, run) for run in bench.runs if not run.row and run.is_done())  # teachers
    made.warnings = weak_teachers(
        [
            dict(name=run.name, metric=run.metric, curve=run.validations(), taught_by=run.taught_by)
            for run in looked_at.values()
        ]
    )
    return made


def _smoke(config: str) -> dict:
    """As of a pretraining, with two images a step."""
    few = {f'{part}_dataloader.batch_size': 2 for part in ('train', 'val')}
    return {**few, **smoke_options(load_config(config, few, needs=NEEDS))}


def without_pretraining(bench: Bench, failed: Sequence, seeds: Sequence[int] = ()) -> list[FailedRun]:
    """The starts of the detector that are missing as their pretraining failed; ``failed`` as of ``run_all``."""
    reasons = {(step.name, step.seed): error.reason for step, error in failed}
    return [
        FailedRun(name, seed, f'its pretraining failed: {reasons[name, pretraining_seed(bench, seed)]}')
        for seed in detector_seeds(bench, seeds)
        for name, entry in bench.entries.items()
        if entry.get('row', True) and (name, pretraining_seed(bench, seed)) in reasons
    ]


def detector_seeds(bench: Bench, seeds: Sequence[int] = ()) -> list:
    """The seeds of the detector: these, or the file's for the detector, or the bench's.

    Raises:
        UserError: The bench has several seeds, and not these.
    """
    seeds = list(seeds or bench.detector.get('seeds') or bench.seeds)[: 1 if bench.smoke else None]
    absent = [str(seed) for seed in seeds if seed not in bench.seeds]
    if absent and len(bench.seeds) > 1:
        raise UserError(
            f'each detector of {bench.file} starts from the pretraining of its seed, '
            f'{", ".join(map(str, bench.seeds))}, and seed {", ".join(absent)} was '
            f'wanted: add it to the seeds there, or choose of these.'
        )
    return seeds


def pretraining_seed(bench: Bench, seed: int) -> int:
    """The seed of the pretraining that the detector of this seed starts from."""
    return seed if len(bench.seeds) > 1 else bench.seeds[0]


def detector_folder(bench: Bench) -> str:
    """The work directory of the detectors."""
    return os.path.join(bench.work_dir, bench.detector.get('folder', 'detectors'))


def detector_config(bench: Bench) -> str:
    """The path of the detector's config."""
    return os.path.join(os.path.dirname(bench.file), bench.detector['config'])


def backbone_file(checkpoint: str, keep_in: str) -> str:
    """The file that the detector starts from: the checkpoint, or of an online pair the export of the first network."""
    networks = networks_in(load_checkpoint(checkpoint)['state_dict'])
    if len(networks) < 2:
        return checkpoint
    return export_start(checkpoint, keep_in, prefix='net1')


def _data_notes(bench: Bench, made: DetectorList) -> list:
    """SHA-256 of the data as they are now. That of the annotations of its time is in each run's row."""
    detector = made.runs[0].cfg
    root = bench.runs[0].cfg.train_dataloader.dataset.get('data_root')
    folders = [os.path.join(root, part) for part in ('train', 'val')] if root else []
    for loader in filter(None, (detector.train_dataloader, detector.get('val_dataloader'))):
        for dataset in inner_datasets(loader.dataset):
            root = dataset.get('data_root') or ''
            folders += [os.path.join(root, prefix) for prefix in (dataset.get('data_prefix') or {}).values()]
    paths = dict.fromkeys(os.path.normpath(path) for path in folders)
    sums = [f'`{path}` {folder_sha256(path)}' for path in paths if os.path.isdir(path)]
    sums += [f'`{path}` {digest}' for path, digest in annotations_of(detector).items()]
    when = 'when this report was written, of folders by names and contents'
    return [f'SHA-256 of the data {when}: {", ".join(sums)}.'] if sums else []
