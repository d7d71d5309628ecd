"""Fine-tunes the same detector from several backbones, for several seeds, and compares them."""

import os
import re
from collections.abc import Mapping, Sequence

from hsakd_mm.checkpoints.source import resolve_source
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError
from hsakd_mm.files import folder_name
from hsakd_mm.reports.comparison import FailedRun, FinishedRun, print_comparison, write_comparison
from hsakd_mm.reports.page import escaped
from hsakd_mm.transfer.data_files import check_data
from hsakd_mm.transfer.detector import fill_channels

from .detector_run import NEEDS, DetectorRun
from .provenance import hash_of_config
from .schedule import exit_if_failed, run_all

SEED = '{seed}'  # in a checkpoint's path: the detector's seed


class DetectorList:
    """Checks every run before the first one trains, skips those that are done, and compares.

    All backbones are trained with the first seed, then with the next one, and so on, so that a list that is stopped
    early compares whole rounds.

    Args:
        checkpoints (list[str] | dict[str, dict[int, str]]): ``CHECKPOINT`` or ``NAME=CHECKPOINT``, in the table's
            order; in a path, which then needs a name, ``{seed}`` is the detector's seed. Or the checkpoint of each
            seed by name, where some may be missing.
        config (str): Detection config.
        seeds (list[int]): The config's one, else 0, by default.
        gpus (int): Processes on this machine.
        work_dir (str): ``work_dirs/transfer/<config>`` by default; each run has its
            ``<name>-seed<seed>`` there.
        options (dict): ``--cfg-options``.
        baseline (str): Name that the others are compared with.
        flags (list[str]): See :class:`DetectorRun`.

    Raises:
        UserError: As :class:`DetectorRun`; or two runs share a name, or ``baseline`` is not a name of the list.
    """

    def __init__(
        self,
        checkpoints: Sequence[str] | Mapping[str, Mapping[int, str]],
        config: str,
        seeds: Sequence[int] = (),
        gpus: int = 1,
        work_dir: str | None = None,
        options: dict | None = None,
        baseline: str | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        self.stem = os.path.splitext(os.path.basename(config))[0]
        self.work_dir = work_dir or os.path.join('work_dirs', 'transfer', self.stem)
        self.baseline = baseline
        cfg = load_config(config, options, needs=NEEDS)
        detector_config_sha256 = hash_of_config(cfg)
        fill_channels(cfg)  # here once, not in every run
        seeds = list(dict.fromkeys(seeds)) or [(cfg.get('randomness') or {}).get('seed') or 0]
        if min(seeds) < 0:
            raise UserError(f'--seeds takes numbers of 0 or more, and got {min(seeds)}.')
        if isinstance(checkpoints, Mapping):
            sources = {name: _sources(by_seed, self.work_dir) for name, by_seed in checkpoints.items()}
        else:
            sources = _named_sources(checkpoints, seeds, self.work_dir)
        if baseline is not None and baseline not in sources:
            raise UserError(
                f'--baseline takes one of the names {", ".join(sources)}, and '
                f'{baseline!r} is none{nearest(baseline, sources)}.'
            )
        self.names = list(sources)
        self.seeds = seeds
        self.runs = [
            DetectorRun(
                sources[name][seed],
                config,
                gpus=gpus,
                seed=seed,
                options=options,
                name=name,
                flags=flags,
                title=f'{name}, seed {seed}',
                cfg=cfg,
                work_dir=os.path.join(self.work_dir, f'{folder_name(name)}-seed{seed}'),
            )
            for seed in seeds
            for name in sources
            if seed in sources[name]
        ]
        for run in self.runs:
            run.detector_config_sha256 = detector_config_sha256  # before its channels were filled in
        self.title, self.bench = f'Transfer: {self.stem}', ''
        self.pairs: list = []
        self.notes: list = []
        self.warnings: list = []  # sentences, for the report and the terminal
        self.origins: dict = {}

    def check(self) -> None:
        """Check that the weights of every run fit, then that the data is there.

        Raises:
            UserError: They do not fit, or the data is not there.
        """
        for name in self.names:
            first: dict = {}  # run of each file
            for run in self.runs:
                if run.name != name:
                    continue
                if (file := id(run.source)) not in first:
                    run.check_fit()
                    first[file] = run
                run.parameters, run.frozen = first[file].parameters, first[file].frozen
                run.notes = first[file].notes
            said = list(dict.fromkeys(note for run in first.values() for note in run.notes))
            frozen = {run.frozen for run in first.values()}  # which the runs' rows have
            self.origins[name] = [note for note in said if note not in frozen]
            print('\n'.join(f'{name}: {note}' for note in said))
        data = check_data(*(run.cfg for run in self.runs), mended_in=self.work_dir)
        self.notes += data
        print('\n'.join(data), flush=True)

    def run(self, only: Sequence[str] = (), failed: Sequence[FailedRun] = (), jobs: int = 1) -> dict:
        """Do what is left to do, and compare all that is done. A run that fails keeps no other from running.

        Args:
            only (Sequence[str]): Names to train; all by default.
            failed (Sequence[FailedRun]): Starts that are not among the runs, as their pretraining failed.
            jobs (int): Runs at a time.

        Returns:
            dict[str, str]: The comparison's files; empty on a machine that is not the first.

        Raises:
            SystemExit: Some runs failed; the others are done and compared, and the first status is handed on.
        """
        wanted = [run for run in self.runs if not only or run.name in only]

        def after(number: int) -> None:
            if number < len(wanted) and wanted[number].seed != wanted[number - 1].seed:
                self._compare(failed)

        ended = run_all(wanted, after, same_duration=True, jobs=jobs)
        files = self._compare([*failed, *(FailedRun(run.name, run.seed, error.reason) for run, error in ended)])
        if files:
            print_comparison(files)
            print(''.join(f'{warning}\n' for warning in self.warnings), end='')
            print('Report: ' + ', '.join(files.values()), flush=True)
        exit_if_failed(ended)
        return files

    def _compare(self, failed: Sequence[FailedRun]) -> dict:
        if not self.runs[0].reports:
            return {}
        done = [
            FinishedRun(run.name, run.seed, run.work_dir)
            for name in self.names
            for run in self.runs
            if run.name == name and run.is_done()
        ]
        if not done:
            return {}
        return write_comparison(
            done,
            self.work_dir,
            self.title,
            baseline=self.baseline,
            notes=[*(f'**{escaped(warning)}**' for warning in self.warnings), *self.notes],
            origins={run.name: self.origins[run.name] for run in done},
            failed=failed,
            bench=self.bench,
            pairs=self.pairs,
        )


def _named_sources(words: Sequence[str], seeds: Sequence[int], keep_in: str) -> dict:
    sources: dict = {}
    for word in words:
        name, checkpoint = split_name(word)
        if SEED in checkpoint and not name:
            raise UserError(
                f'{checkpoint} stands for several files, and so should have a name '
                f'for the table: name it, as in A={checkpoint}.'
            )
        by_seed = _sources({seed: checkpoint.replace(SEED, str(seed)) for seed in seeds}, keep_in)
        source = by_seed[seeds[0]]
        name = name or (source.name if source.method == 'file' else source.method)
        if folder_name(name) in map(folder_name, sources):
            raise UserError(
                f'every checkpoint of a list should have a name of its own, and '
                f'{name} comes twice: name them, as in A={checkpoint}.'
            )
        sources[name] = by_seed
    return sources


def _sources(paths: Mapping[int, str], keep_in: str) -> dict:
    """The source of each seed; seeds of one path share theirs."""
    of_path = {path: resolve_source(path, keep_in) for path in dict.fromkeys(paths.values())}
    return {seed: of_path[path] for seed, path in paths.items()}


def split_name(word: str) -> tuple:
    """Split ``NAME=CHECKPOINT``; the name is empty where there is only a checkpoint."""
    name, equals, checkpoint = word.partition('=')
    if equals and name and not re.search(r'[/\\:]', name) and not os.path.exists(word):
        return name, checkpoint
    return '', word
