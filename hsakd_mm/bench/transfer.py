"""What the pretraining of a bench is worth to a detector.

A bench file that has ``transfer`` goes on from its table::

    transfer = dict(config='detector.py', seeds=[0, 1, 2])   # of the detector

``config``, a detection config, is looked for beside the file. Every row of the bench becomes a
start of the detector, and so does ``random``; what compares them is
:class:`~hsakd_mm.transfer.experiment.Experiment`, as in ``tools/transfer_det.py``.
"""
import hashlib
import os
from collections.abc import Sequence

from hsakd_mm.checkpoint import load_checkpoint, sha256
from hsakd_mm.engine.mistakes import nearest
from hsakd_mm.errors import UserError
from hsakd_mm.transfer.data_files import check_data
from hsakd_mm.transfer.experiment import Experiment
from hsakd_mm.transfer.export import export_backbone, networks_in
from hsakd_mm.transfer.run import TransferRun
from hsakd_mm.transfer.source import RANDOM

from .plan import Bench
from .results import collect


def check_transfer(bench: Bench) -> None:
    """What can be known to go wrong with the detectors before the hours of pretraining.

    Raises:
        UserError: The file has no ``transfer`` or several seeds, or the detector's config, its
            package or its data are not there.
    """
    random = TransferRun(RANDOM, _config(bench), seed=0)
    random.check_fit()
    check_data(random.cfg)


def plan_transfer(bench: Bench, seeds: Sequence[int] = (), only: Sequence[str] = ()) -> Experiment:
    """The detectors of a bench: of ``random``, and of every row whose run is done.

    Args:
        bench (Bench): With ``transfer``, and one seed.
        seeds (Sequence[int]): Of the detector; the file's by default.
        only (Sequence[str]): Rows that have to be among them; any by default.

    Raises:
        UserError: The file has no ``transfer`` or several seeds, or a row of ``only`` is not done.
    """
    config = _config(bench)
    results = {result['name']: result for result in collect(bench)}
    done = [run for run in bench.runs if run.row and run.name in results]
    absent = [name for name in only if name not in {RANDOM, *results}]
    if absent:
        raise UserError(f'a finished pretraining of {", ".join(absent)} was expected in '
                        f'{bench.work_dir}, and there is none by the configs as they are: leave '
                        f'out --no-pretraining, or name another --work-dir.')
    starts = [RANDOM, *(f'{run.name}={backbone_file(run.checkpoint)}' for run in done)]
    made = Experiment(
        starts, config, seeds or bench.transfer.get('seeds') or (),
        work_dir=os.path.join(bench.work_dir, 'detectors'),
        baseline=bench.baseline if bench.baseline in {run.name for run in done} else None)
    made.title = bench.title
    made.notes += [*bench.notes, *_data_notes(bench, made)]
    for run in made.runs:
        run.top1 = results[run.name]['top1'] if run.name in results else None
    return made


def _config(bench: Bench) -> str:
    if not bench.transfer or not bench.transfer.get('config'):
        raise UserError(f'{bench.file} is expected to say in transfer=dict(config=...) which '
                        f'detector its backbones are for, and does not: add it, or take '
                        f'tools/benchmark_methods.py.')
    if len(bench.seeds) > 1:
        raise UserError(f'the detectors of {bench.file} start from one pretraining of each name, '
                        f'and its seeds are {bench.seeds}: choose one.')
    return os.path.join(os.path.dirname(bench.file), bench.transfer['config'])


def backbone_file(checkpoint: str) -> str:
    """What of a run's checkpoint is handed on: of networks that taught each other the first."""
    networks = networks_in(load_checkpoint(checkpoint)['state_dict'])
    if len(networks) < 2:
        return checkpoint
    return export_backbone(checkpoint, prefix='net1').pth


def folder_sha256(folder: str) -> str:
    """Of the names and contents of all files below ``folder``."""
    digest = hashlib.sha256()
    for root, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(root, name)
            digest.update(f'{os.path.relpath(path, folder)} {sha256(path)}\n'.encode())
    return digest.hexdigest()


def _data_notes(bench: Bench, made: Experiment) -> list:
    """Which data these were: those that the first run has, all of whose share them."""
    detector = made.runs[0].cfg
    roots = [bench.runs[0].cfg.train_dataloader.dataset.data_root,
             detector.train_dataloader.dataset.get('data_root', '')]
    folders = [os.path.join(root, part) for root in roots for part in ('train', 'val')]
    boxes = [os.path.join(roots[1], loader.dataset.get('ann_file', ''))
             for loader in (detector.train_dataloader, detector.get('val_dataloader')) if loader]
    sums = [f'`{folder}` {folder_sha256(folder)}' for folder in folders if os.path.isdir(folder)]
    sums += [f'`{file}` {sha256(file)}' for file in boxes if os.path.isfile(file)]
    return [f'SHA-256 of the data, of folders by names and contents: {", ".join(sums)}.'] * bool(sums)


def check_names(bench: Bench, names: Sequence[str]) -> None:
    """Each is a row of the bench or ``random``.

    Raises:
        UserError: One is not.
    """
    rows = [RANDOM, *dict.fromkeys(run.name for run in bench.runs if run.row)]
    for name in names:
        if name not in rows:
            raise UserError(f'--only takes rows of {bench.file} ({", ".join(rows)}), and {name!r} '
                            f'is none{nearest(name, rows)}.')
