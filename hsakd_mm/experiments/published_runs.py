"""Whether the runs of published reports are still those of the repository: their configs and their first losses.

A report whose JSON has the key ``outdated`` is left out; what else cannot be compared is said, with the reason.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from mmengine.config import Config

from hsakd_mm.checkpoints.source import RANDOM
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.files import read_json
from hsakd_mm.reports.published import REPORTS, Difference, how_to_renew, is_comparison, pages_with, paths_of
from hsakd_mm.transfer.mended import inner_datasets

from .bench import Bench
from .bench_detectors import detector_config
from .detector_run import NEEDS, DetectorRun
from .first_losses import first_losses
from .provenance import hash_of_config

TOLERANCE = 1e-3  # of a loss, relative to itself where it is above 1


@dataclass
class Checked:
    """What a check found.

    Args:
        differences (list[Difference]): Runs that are no longer the repository's.
        skipped (list[str]): Sentences on what could not be compared.
    """

    differences: list = field(default_factory=list)
    skipped: list = field(default_factory=list)


def check_runs(root: str, losses: bool = True) -> Checked:
    """Compare the runs of all published reports with the configs, and their first losses with those of today's code.

    Args:
        root (str): The repository, or a copy of its docs and configs.
        losses (bool): Compare losses too, which takes seconds a run.
    """
    root, checked = os.path.abspath(root), Checked()
    with contextlib.ExitStack() as stack:
        folders: dict = {}  # with the data of each bench
        for path in paths_of(root, REPORTS):
            content = read_json(root, path)
            if reason := _why_not(content):
                checked.skipped.append(f'{path}: its runs are not compared, as {reason}.')
                continue
            report = _Report(root, path, content, checked)
            try:
                with inside(root):
                    same = report.compare_configs(Bench(os.path.join(root, content['bench'])))
            except UserError as error:
                report.differs(f'its bench, {content["bench"]}, cannot be read: {error}')
                continue
            for title, cfg, run in same if losses else ():
                if content['bench'] not in folders:
                    folders[content['bench']] = stack.enter_context(_with_data(root, report.bench))
                with inside(folders[content['bench']]):
                    report.compare_losses(title, cfg, run)
    return checked


def _why_not(content: dict) -> str:
    if content.get('outdated'):
        return 'it is marked as outdated'
    return '' if content.get('bench') else 'no bench made them'


class _Report:
    """A published report: the path of its JSON below ``root``, and what that holds."""

    def __init__(self, root: str, path: str, content: dict, checked: Checked) -> None:
        self.path, self.content, self.checked = path, content, checked
        self.command = how_to_renew(content, os.path.dirname(path))
        self.shown = pages_with(root, path)

    def differs(self, found: str) -> None:
        also = f' (its table is in {", ".join(self.shown)} too)' if self.shown else ''
        page = f'{os.path.splitext(self.path)[0]}.md'
        self.checked.differences.append(Difference(page, self.content['title'], f'{found}{also}', self.command))

    def skip(self, title: str, reason: str) -> None:
        self.checked.skipped.append(f'{self.path}: the first losses of {title} are not compared, as {reason}.')

    def compare_configs(self, bench: Bench) -> list[tuple[str, Config, dict]]:
        """Of the runs whose config is the same: title, config, and what the report holds of it."""
        self.bench = bench
        detectors = is_comparison(self.content)
        return list(self._detectors(bench) if detectors else self._pretrainings(bench))

    def _pretrainings(self, bench: Bench) -> Iterator[tuple[str, Config, dict]]:
        differ: set = set()
        for run in self.content['runs']:
            name, seed = run['name'], run['seed']
            try:
                own = bench.run_of(name, seed) if name in bench.entries else None
            except UserError:  # the seed is not among its own
                own = None
            if own is None:
                self.differs(f'{name} (seed {seed}) is no longer a run of {self.content["bench"]}')
            elif own.config_sha256() == run.get('config_sha256'):
                if 'first_losses' in run:
                    yield f'{name} (seed {seed})', own.with_checkpoints(), run
            elif name not in differ:
                self.differs(f'the config of {name}, {own.config}, or of what it needs, is no longer that of its run')
                differ.add(name)
        names = dict.fromkeys(run['name'] for run in self.content['runs'])
        stored = {run['name'] for run in self.content['runs'] if 'first_losses' in run}
        for name in names:
            if name not in stored | differ:
                self.skip(name, 'its run stored none')

    def _detectors(self, bench: Bench) -> Iterator[tuple[str, Config, dict]]:
        if not bench.detector:
            self.differs(f'{self.content["bench"]} no longer names a detector')
            return
        config = detector_config(bench)
        today = hash_of_config(load_config(config, needs=NEEDS))
        if changed := [run['name'] for run in self.content['runs'] if run.get('detector_config_sha256') != today]:
            names = ', '.join(dict.fromkeys(changed))
            self.differs(f'the config of the detectors, {bench.detector["config"]}, is no longer that of {names}')
            return
        for run in self.content['runs']:
            if 'first_losses' in run:
                title = f'the detector of {run["name"]} (seed {run["seed"]})'
                yield title, DetectorRun(RANDOM, config, seed=run['seed']).cfg, run
        if not any('first_losses' in run for run in self.content['runs']):
            self.skip('the detectors', 'no run stored any')

    def compare_losses(self, title: str, cfg: Config, run: dict) -> None:
        roots = [each.get('data_root') for each in inner_datasets(cfg.train_dataloader.dataset)]
        if missing := [each for each in roots if each and not os.path.exists(each)]:
            self.skip(title, f'there is no {missing[0]}')
            return
        stored = run['first_losses']
        try:
            today = first_losses(cfg, run['seed'])
        except Exception as error:  # broken code is a difference too
            self.differs(f'the first steps of {title} cannot be taken ({type(error).__name__}: {error})')
            return
        if len(today) != len(stored) or any(
            not abs(new - old) <= TOLERANCE * max(1, abs(old)) for new, old in zip(today, stored)
        ):
            self.differs(f'the first losses of {title} were {_text(stored)}, and are {_text(today)} today')


def _text(losses: list) -> str:
    return ', '.join(f'{loss:.5g}' for loss in losses)


@contextlib.contextmanager
def _with_data(root: str, bench: Bench) -> Iterator[str]:
    """A folder in which the bench finds its data: a new one, if the bench makes its data itself, else ``root``."""
    if not bench.prepare:
        yield root
        return
    with tempfile.TemporaryDirectory() as folder:
        tool, *args = bench.prepare.command  # its path counts from root
        command = [sys.executable, os.path.join(root, tool), *args]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f'the data of {bench.file} cannot be made: {" ".join(done.stderr.split())[-500:]}')
        yield folder


@contextlib.contextmanager
def inside(folder: str) -> Iterator[None]:
    """With another current folder."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
