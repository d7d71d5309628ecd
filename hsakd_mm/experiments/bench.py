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
                        proportion. Refused where whole epochs miss that by more than a quarter. See
                        :mod:`.equal_cost`.
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

from hsakd_mm.engine.options import parse_value
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.files import folder_name

from .bench_file import read_bench
from .child import tool
from .equal_cost import same_cost
from .pretraining import PretrainingRun, goes_on_from, with_checkpoints
from .provenance import hash_of_config
from .stage import Stage

SMOKE = '**Smoke run: one epoch on a few images. The numbers mean nothing.**'


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
        content, self.entries = read_bench(file)
        folder = os.path.relpath(os.path.dirname(file) or '.')
        stem = os.path.basename(os.path.abspath(folder))
        self.file, self.smoke = file, smoke
        self.title = content.get('title', stem)
        self.notes = [*([SMOKE] if smoke else []), *content.get('notes', ())]
        self.work_dir = work_dir or content.get('work_dir') or os.path.join('work_dirs', stem)
        self.work_dir = os.path.normpath(self.work_dir) + ('_smoke' if smoke else '')
        self.seeds = list(dict.fromkeys(seeds or content.get('seeds') or (0, 1, 2)))[: 1 if smoke else None]
        self.detector = content.get('detector', {})
        self.measure = content.get('measure', 'val')
        self.threads, self.jobs = content.get('threads'), content.get('jobs')
        self.prepare = self._preparation(content.get('prepare'))
        self._common, self._options, self._words = dict(content.get('options', {})), options or {}, list(words)
        self.baseline, self.pairs = content['baseline'], list(content.get('pairs', ()))
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
        own = {**self._common, **entry.get('options', {})}
        cfg = load_config(
            config, {**own, **self._options}, needs=('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
        )
        if not cfg.train_cfg.get('max_epochs'):
            raise UserError(
                f'every run of a bench should count epochs, and {config} of {name!r} sets no train_cfg.max_epochs: set '
                f'it, with by_epoch=True.'
            )
        words = [*as_words(own), *self._words]
        length = smoke_options(cfg) if self.smoke else self._same_cost(cfg, name, seed, needs)
        cfg.merge_from_dict(length)
        words += as_words(length)
        folder = os.path.join(self.work_dir, folder_name(name), f'seed{seed}')
        checkpoint = os.path.join(folder, f'epoch_{cfg.train_cfg.max_epochs}.pth')
        from_runs = [f'{option}={need.checkpoint}' for option, need in needs.items()]
        inputs = [*([self.prepare.produces] if self.prepare else []), *(need.checkpoint for need in needs.values())]
        title, content = f'{name}, seed {seed}', hash_of_config(cfg)
        command = [tool('train.py'), config, '--work-dir', folder, '--resume', '--cfg-options']
        command += [f'randomness.seed={seed}', *from_runs, *words]
        stage = Stage(folder, title, command, checkpoint, [config], inputs, settings=[content, str(seed), *needs])
        test = None
        if self.measure == 'test' and entry.get('row', True):
            out = os.path.join(folder, 'test', 'metrics.json')
            command = [tool('test.py'), config, checkpoint, '--out', out, '--work-dir', os.path.dirname(out)]
            command += ['--cfg-options', *words] if words else []
            title += ': test set'
            test = Stage(os.path.dirname(out), title, command, out, [config], [checkpoint], settings=[content])
        metric, row = entry.get('metric', 'accuracy/top1'), entry.get('row', True)
        return PretrainingRun(name, seed, config, cfg, stage, checkpoint, metric, needs, row, entry.get('curve'), test)

    def _same_cost(self, cfg: Config, name: str, seed: int, needs: dict) -> dict:
        """Changes to the config of a run that make it cost what the one of its ``cost_of`` does."""
        cost_of = self.entries[name].get('cost_of')
        if cost_of is None:
            return {}
        start = goes_on_from(needs)
        before = [run.with_checkpoints() for run in start.lineage()] if start else []
        named = [run.with_checkpoints() for run in self.run_of(cost_of, seed).lineage()]
        return same_cost(with_checkpoints(cfg, needs), before, named, f'{name!r} in {self.file}', cost_of)

    def _preparation(self, entry: dict | None) -> Stage | None:
        if entry is None:
            return None
        command = [tool(entry['command'][0]), *entry['command'][1:]]
        return Stage(os.path.join(self.work_dir, 'prepare'), entry['title'], command, entry['produces'], always=True)


def as_words(options: dict) -> list:
    """Options as ``--cfg-options`` takes them: ``KEY=VALUE``, a list or a tuple as ``KEY=[1,2]``.

    A value that would be read as another one is written as code: the text ``a,b`` as ``KEY='a,b'``.
    """
    return [f'{key}={_as_word(list(value) if isinstance(value, tuple) else value)}' for key, value in options.items()]


def _as_word(value) -> str:
    word = f'[{",".join(map(str, value))}]' if isinstance(value, list) else str(value)
    try:
        same = repr(parse_value(word)) == repr(value)
    except ValueError:
        same = False
    return word if same else repr(value)


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
