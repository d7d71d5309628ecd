"""The bench file: runs of several configs, for several seeds, and a detector from each row where it names one.

The file is Python, read by mmengine::

    title = 'HSAKD on a slice of CIFAR-100'
    baseline = 'plain'  # differences and costs are relative to it
    runs = [
        dict(name='teacher', config='teacher.py', seeds=[0], row=False),  # one, for all seeds
        dict(name='plain', config='plain.py'),
        dict(name='KD', config='kd.py', needs={'default_hooks.distillation.checkpoint': 'teacher'}),
    ]
    detector = dict(config='faster_rcnn.py', seeds=[0, 1, 2])  # optional: fine-tuned from each row

======================  ============================================================================================
``runs``                One entry a row of the table, in this order.
``name``, ``config``    Of a run: its row, and its config file, looked for beside the bench file.
``needs``               Which option of the config gets the last checkpoint of which run before it: the one of the
                        same seed, or the only one.
``seeds``               Of a run; by default those beside ``runs``, by default 0, 1 and 2.
``options``             Changes to the config as by ``--cfg-options``, of one run or, beside ``runs``, of all.
``metric``              What a run is judged by where it is not ``accuracy/top1``.
``row=False``           The run is in the JSON report only.
``cost_of``             Of a run: the name of another. It is trained for as many epochs as cost what that one costs, in
                        multiply-adds without those of its teachers' training; its schedule is stretched in
                        proportion. See :mod:`.equal_cost`.
``curve``               Of a run: the method that it is a point of, in a picture of accuracy against cost.
``measure='test'``      Top-1 is that of the last checkpoint on the test set; by default the last validation's.
``pairs``               Of detectors: rows whose difference is told too, as ``[('HSAKD', 'KD')]``.
``detector``            ``config`` (beside the file), ``seeds``, ``folder`` and ``title`` of the detector; see
                        :mod:`.bench_detectors`.
``prepare``             A tool that makes the data, as ``dict(title=..., command=[...], produces=FILE)``.
``work_dir``            By default ``work_dirs/<folder of the file>``.
``threads``             Threads of each run, for a bench that is to give the same digits on any number of cores.
``jobs``                Runs at a time. By default one, and on a CPU with ``threads`` as many as its cores carry.
``title``, ``notes``    Heading of the report, and Markdown below its table.
======================  ============================================================================================
"""

import os
from collections.abc import Sequence

from mmengine.config import Config

from hsakd_mm.checkpoints.source import RANDOM
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError
from hsakd_mm.files import folder_name

from .child import tool
from .equal_cost import check_cost_of, same_cost
from .pretraining import PretrainingRun, with_checkpoints
from .stage import Stage

SMOKE = '**Smoke run: one epoch on a few images. The numbers mean nothing.**'
_KEYS = {'name', 'config', 'seeds', 'needs', 'metric', 'row', 'options', 'curve', 'cost_of'}
_DETECTOR_KEYS = {'config', 'seeds', 'folder', 'title'}
_FILE_KEYS = {
    *('runs', 'title', 'baseline', 'pairs', 'notes', 'work_dir', 'seeds', 'options', 'measure', 'prepare', 'detector'),
    *('threads', 'jobs', 'filename', 'custom_imports'),
}


class Bench:
    """The runs of a bench file, seed by seed; a run comes after those that it needs.

    Args:
        file (str): The bench file.
        seeds (Sequence[int], optional): For the runs that do not name their own. Default: the file's, else 0, 1, 2.
        work_dir (str, optional): Default: the file's, else ``work_dirs/<folder of the file>``.
        options (dict, optional): Changes to every config, by dotted names.
        words (Sequence[str]): The same as the command line has them, ``KEY=VALUE``.
        smoke (bool): One epoch on a few images with one seed, in a work directory of its own.

    Raises:
        UserError: The file is not a bench, or its runs do not fit together.
    """

    def __init__(
        self,
        file: str,
        seeds: Sequence[int] | None = None,
        work_dir: str | None = None,
        options: dict | None = None,
        words: Sequence[str] = (),
        smoke: bool = False,
    ) -> None:
        content = load_config(file, needs=('runs',))
        _check_keys(content, file)
        folder = os.path.relpath(os.path.dirname(file) or '.')
        stem = os.path.basename(os.path.abspath(folder))
        self.file, self.smoke = file, smoke
        self.title = content.get('title', stem)
        self.notes = [*([SMOKE] if smoke else []), *content.get('notes', ())]
        self.work_dir = work_dir or content.get('work_dir') or os.path.join('work_dirs', stem)
        self.work_dir = os.path.normpath(self.work_dir) + ('_smoke' if smoke else '')
        self.seeds = list(dict.fromkeys(seeds or content.get('seeds') or (0, 1, 2)))[: 1 if smoke else None]
        self.detector = content.get('detector')
        self.measure = content.get('measure', 'val')
        self.threads, self.jobs = content.get('threads'), content.get('jobs')
        self.prepare = self._preparation(content.get('prepare'))
        self._common, self._options, self._words = dict(content.get('options') or {}), options or {}, list(words)
        self.entries = _checked(content.runs, file)
        self.baseline = content.get('baseline', next(iter(self.entries)))
        if self.baseline not in self.entries:
            raise UserError(
                f'the baseline of {file} should be one of its runs, and it is '
                f'{self.baseline!r}{nearest(self.baseline, self.entries)}.'
            )
        self.pairs = list(content.get('pairs') or ())
        rows = [name for name, entry in self.entries.items() if entry.get('row', True)]
        for pair in self.pairs:
            if isinstance(pair, str) or len(set(pair)) != 2 or set(pair) - set(rows) or not self.detector:
                raise UserError(
                    f'pairs of {file} should have two of its rows each ({", ".join(rows)}), of a bench with a '
                    f'detector, and one is {pair!r}: write [("A", "B")].'
                )
        self._made: dict = {}
        self._folder = folder
        runs = [self.run_of(name, seed) for seed in self.seeds for name in self.entries]
        self.runs: list[PretrainingRun] = list({id(run): run for run in runs}.values())  # in the order of the file

    def selected(self, only: Sequence[str] = (), seeds: Sequence[int] = ()) -> list:
        """The runs of these names with these seeds, and what they need; all by default."""
        absent = [str(seed) for seed in seeds if seed not in self.seeds]
        if absent:
            raise UserError(
                f'the seeds of {self.file} are {", ".join(map(str, self.seeds))}, and '
                f'{", ".join(absent)} was wanted: add it there.'
            )
        wanted = {id(self.run_of(name, seed)) for name in only or self.entries for seed in seeds or self.seeds}
        for run in reversed(self.runs):  # needs come first
            if id(run) in wanted:
                wanted.update(map(id, run.needs))
        return [run for run in self.runs if id(run) in wanted]

    def run_of(self, name: str, seed: int) -> PretrainingRun:
        """The run of this name that stands for this seed of the bench."""
        entry = self.entries[name]
        seeds = entry.get('seeds')
        if seeds is not None and seed not in seeds:
            if len(seeds) != 1:
                raise UserError(
                    f'{name!r} in {self.file} is wanted with seed {seed}, and has '
                    f'{seeds}: add the seed there, or leave it out with --seeds.'
                )
            (seed,) = seeds
        if (name, seed) not in self._made:
            needs = {option: self.run_of(other, seed) for option, other in entry.get('needs', {}).items()}
            first = not any(other == name for other, _ in self._made)
            self._made[name, seed] = self._plan(name, seed, entry, needs)
            self._made[name, seed].is_first = first
        return self._made[name, seed]

    def _plan(self, name: str, seed: int, entry: dict, needs: dict) -> PretrainingRun:
        config = os.path.join(self._folder, entry['config'])
        own = {**self._common, **(entry.get('options') or {})}
        cfg = load_config(
            config, {**own, **self._options}, needs=('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
        )
        if not cfg.train_cfg.get('max_epochs'):
            raise UserError(
                f'every run of a bench should count epochs, and {config} of {name!r} sets no train_cfg.max_epochs: set '
                f'it, with by_epoch=True.'
            )
        words = [*as_words(own), *self._words]
        length = smoke_options(cfg) if self.smoke else self._same_cost(cfg, entry.get('cost_of'), seed, needs)
        cfg.merge_from_dict(length)
        words += as_words(length)
        folder = os.path.join(self.work_dir, folder_name(name), f'seed{seed}')
        checkpoint = os.path.join(folder, f'epoch_{cfg.train_cfg.max_epochs}.pth')
        from_runs = [f'{option}={need.checkpoint}' for option, need in needs.items()]
        inputs = [*([self.prepare.produces] if self.prepare else []), *(need.checkpoint for need in needs.values())]
        title = f'{name}, seed {seed}'
        command = [tool('train.py'), config, '--work-dir', folder, '--resume', '--cfg-options']
        stage = Stage(
            folder, title, [*command, f'randomness.seed={seed}', *from_runs, *words], checkpoint, [config], inputs
        )
        test = None
        if self.measure == 'test' and entry.get('row', True):
            out = os.path.join(folder, 'test', 'metrics.json')
            command = [tool('test.py'), config, checkpoint, '--out', out, '--work-dir', os.path.dirname(out)]
            command += ['--cfg-options', *words] if words else []
            test = Stage(os.path.dirname(out), f'{title}: test set', command, out, [config], [checkpoint])
        metric, row = entry.get('metric', 'accuracy/top1'), entry.get('row', True)
        return PretrainingRun(name, seed, config, cfg, stage, checkpoint, metric, needs, row, entry.get('curve'), test)

    def _same_cost(self, cfg: Config, cost_of: str | None, seed: int, needs: dict) -> dict:
        """Changes to a config that make the run cost what the one of this name does."""
        if cost_of is None:
            return {}
        before = [run.with_checkpoints() for run in needs['load_from'].lineage()] if 'load_from' in needs else []
        named = [run.with_checkpoints() for run in self.run_of(cost_of, seed).lineage()]
        return same_cost(with_checkpoints(cfg, needs), before, named)

    def _preparation(self, entry: dict | None) -> Stage | None:
        if entry is None:
            return None
        command = [tool(entry['command'][0]), *entry['command'][1:]]
        return Stage(os.path.join(self.work_dir, 'prepare'), entry['title'], command, entry['produces'], always=True)


def as_words(options: dict) -> list:
    """Options as ``--cfg-options`` takes them: ``KEY=VALUE``, a list as ``KEY=[1,2]``."""
    return [
        f'{key}={"[" + ",".join(map(str, value)) + "]" if isinstance(value, list | tuple) else value}'
        for key, value in options.items()
    ]


def _check_keys(content: Config, file: str) -> None:
    for key in content:
        if key not in _FILE_KEYS and not key.startswith('_'):
            raise UserError(
                f'{file} sets {key}, which a bench file does not have{nearest(key, _FILE_KEYS)}: it takes '
                f'{", ".join(sorted(_FILE_KEYS))}; names of your own start with _.'
            )
    if content.get('measure', 'val') not in ('val', 'test'):
        raise UserError(f"measure of {file} should be 'val' or 'test', and is {content.measure!r}.")
    for key in ('threads', 'jobs'):
        if key in content and not (isinstance(content[key], int) and content[key] > 0):
            raise UserError(f'{key} of {file} should be a number of 1 or more, and is {content[key]!r}.')
    for key, needed in (('detector', {'config'}), ('prepare', {'title', 'command', 'produces'})):
        value = content.get(key)
        if value is not None and not (isinstance(value, dict) and needed <= set(value)):
            wanted = ', '.join(f'{name}=...' for name in sorted(needed))
            raise UserError(f'{key} of {file} should be dict({wanted}), and is {value!r}.')
    _check_detector_keys(content, file)


def _check_detector_keys(content: Config, file: str) -> None:
    detector = content.get('detector') or {}
    for key in set(detector) - _DETECTOR_KEYS:
        raise UserError(
            f'detector of {file} sets {key}, which it does not have{nearest(key, _DETECTOR_KEYS)}: it takes '
            f'{", ".join(sorted(_DETECTOR_KEYS))}.'
        )
    folder = detector.get('folder', 'detectors')
    runs = [folder_name(str(run.get('name'))) for run in content.get('runs') or ()]
    if folder in ('', '.', '..', *runs) or folder != os.path.basename(folder):
        raise UserError(
            f'folder of the detector in {file} should be a name in the work directory that is none of its runs, and '
            f'it is {folder!r}: choose another.'
        )


def smoke_options(cfg: Config, epochs: int = 1) -> dict:
    """Changes that make a run short: an epoch of two steps. Its teacher may know nothing, and is not checked."""
    options: dict = {'train_cfg.max_epochs': epochs}
    for part in ('train', 'val'):
        loader = cfg.get(f'{part}_dataloader')
        if loader and 'batch_size' in loader and not {'dataset', 'datasets'} & set(loader.dataset):
            options[f'{part}_dataloader.dataset.indices'] = 2 * loader.batch_size
    if 'distillation' in (cfg.get('default_hooks') or {}):
        options['default_hooks.distillation.check'] = False
    return options


def _checked(runs: Sequence[dict], file: str) -> dict:
    """The entries by name, each after what it needs."""
    entries: dict = {}
    for entry in runs:
        name = entry.get('name') if isinstance(entry, dict) else None
        taken = map(folder_name, (RANDOM, *entries))  # two names may be one folder
        if not name or 'config' not in entry or set(entry) - _KEYS or folder_name(name) in taken:
            raise UserError(
                f'every run of {file} should have a name of its own (not {RANDOM}), a config and '
                f'perhaps {", ".join(sorted(_KEYS - {"name", "config"}))}, and one is {entry}: correct it.'
            )
        for other in entry.get('needs', {}).values():
            if other not in entries:
                raise UserError(
                    f'{name!r} in {file} needs {other!r}, and no run before it has '
                    f'that name: put it before, or correct the name.'
                )
        entries[name] = dict(entry)
    if not entries:
        raise UserError(f'{file} should list runs, and its list is empty: add some.')
    check_cost_of(entries, file)
    return entries
