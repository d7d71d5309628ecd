"""What a bench does, in order: a config file's runs, for each seed, as stages.

The file is Python, read by mmengine::

    title = 'HSAKD on a slice of CIFAR-100'
    baseline = 'plain'  # costs are relative to it
    runs = [
        dict(name='teacher', config='teacher.py', seeds=[0]),  # one, for all seeds
        dict(name='plain', config='plain.py'),
        dict(name='KD', config='kd.py', needs={'default_hooks.distillation.checkpoint': 'teacher'}),
    ]

``config`` is looked for beside the file. ``needs`` says which option of the config gets the last
checkpoint of which run: that of the same seed, or the only one. ``metric`` is what a run is judged
by where it is not ``accuracy/top1``; with ``row=False`` it is in the JSON report only. ``options``,
of one run or beside ``runs`` for all, change configs as ``--cfg-options`` does. ``work_dir``,
``seeds`` and ``notes`` (Markdown below the table) may be given too, and ``transfer``, with which
:mod:`.transfer` goes on.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmengine.config import Config

from hsakd_mm.engine.preflight import load_config
from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.stage import Stage
from hsakd_mm.files import folder_name

_TRAIN = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'tools', 'train.py')
_KEYS = {'name', 'config', 'seeds', 'needs', 'metric', 'row', 'options'}


@dataclass
class Run:
    """One training: a config with a seed.

    Args:
        name (str): The row of the table that it belongs to.
        seed (int): ``randomness.seed``.
        config (str): Its file.
        cfg (Config): What is in it, with the options of the command line.
        stage (Stage): What does it.
        checkpoint (str): The last epoch's: none is chosen by the data that it is judged on.
        metric (str): What it is judged by.
        needs (dict[str, Run]): Options of the config that get another run's checkpoint.
        row (bool): Whether the table and the picture show it.
    """

    name: str
    seed: int
    config: str
    cfg: Config
    stage: Stage
    checkpoint: str
    metric: str = 'accuracy/top1'
    needs: dict = field(default_factory=dict)
    row: bool = True


class Bench:
    """The runs of a bench file, seed by seed; a run comes after those that it needs.

    Args:
        file (str): The bench file.
        seeds (Sequence[int], optional): For the runs that do not name their own. Default: the
            file's, else 0, 1 and 2.
        work_dir (str, optional): Default: the file's, else ``work_dirs/<folder of the file>``.
        options (dict, optional): Changes to every config, by dotted names.
        words (Sequence[str]): The same as the command line has them, ``KEY=VALUE``.

    Raises:
        UserError: The file is no bench, or its runs do not fit together.
    """

    def __init__(
        self,
        file: str,
        seeds: Sequence[int] | None = None,
        work_dir: str | None = None,
        options: dict | None = None,
        words: Sequence[str] = (),
    ) -> None:
        content = load_config(file, needs=('runs',))
        folder = os.path.dirname(file)
        self.file = file
        self.title = content.get('title', os.path.basename(os.path.abspath(folder)))
        self.notes = list(content.get('notes', ()))
        self.work_dir = (
            work_dir or content.get('work_dir') or os.path.join('work_dirs', os.path.basename(os.path.abspath(folder)))
        )
        self.seeds = list(dict.fromkeys(seeds or content.get('seeds') or (0, 1, 2)))
        self.transfer = content.get('transfer')
        common = dict(content.get('options') or {})
        self._options, self._words = {**common, **(options or {})}, [*as_words(common), *words]
        self.entries = _checked(content.runs, file)
        self.baseline = content.get('baseline', next(iter(self.entries)))
        if self.baseline not in self.entries:
            raise UserError(
                f'the baseline of {file} should be one of its runs, and it is '
                f'{self.baseline!r}{nearest(self.baseline, self.entries)}.'
            )
        self._made: dict = {}
        self._folder = folder
        for seed in self.seeds:
            for name in self.entries:
                self.run_of(name, seed)
        self.runs: list[Run] = list(self._made.values())

    def selected(self, only: Sequence[str] = (), seeds: Sequence[int] = ()) -> list:
        """The runs of these names with these seeds, and what they need; all by default."""
        for name in only:
            if name not in self.entries:
                raise UserError(
                    f'--only takes names of runs of {self.file} '
                    f'({", ".join(self.entries)}), and {name!r} is '
                    f'none{nearest(name, self.entries)}.'
                )
        absent = [str(seed) for seed in seeds if seed not in self.seeds]
        if absent:
            raise UserError(
                f'the seeds of {self.file} are {", ".join(map(str, self.seeds))}, and '
                f'{", ".join(absent)} was wanted: add it there.'
            )
        wanted = {id(self.run_of(name, seed)) for name in only or self.entries for seed in seeds or self.seeds}
        for run in reversed(self.runs):  # what is needed comes before who needs it
            if id(run) in wanted:
                wanted.update(id(need) for need in run.needs.values())
        return [run for run in self.runs if id(run) in wanted]

    def run_of(self, name: str, seed: int) -> Run:
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
            self._made[name, seed] = self._plan(name, seed, entry, needs)
        return self._made[name, seed]

    def _plan(self, name: str, seed: int, entry: dict, needs: dict) -> Run:
        config = os.path.join(self._folder, entry['config'])
        own = dict(entry.get('options') or {})
        cfg = load_config(
            config, {**own, **self._options}, needs=('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
        )
        folder = os.path.join(self.work_dir, folder_name(name), f'seed{seed}')
        checkpoint = os.path.join(folder, f'epoch_{cfg.train_cfg.max_epochs}.pth')
        words = [
            f'randomness.seed={seed}',
            *(f'{option}={need.checkpoint}' for option, need in needs.items()),
            *as_words(own),
            *self._words,
        ]
        stage = Stage(
            folder,
            f'{name}, seed {seed}',
            [os.path.relpath(_TRAIN), config, '--work-dir', folder, '--resume', '--cfg-options', *words],
            checkpoint,
            [config],
            [need.checkpoint for need in needs.values()],
        )
        return Run(
            name,
            seed,
            config,
            cfg,
            stage,
            checkpoint,
            entry.get('metric', 'accuracy/top1'),
            needs,
            entry.get('row', True),
        )


def as_words(options: dict) -> list:
    """Options as ``--cfg-options`` takes them: ``KEY=VALUE``, the parts of a list with commas."""
    return [
        f'{key}={",".join(map(str, value)) if isinstance(value, list | tuple) else value}'
        for key, value in options.items()
    ]


def _checked(runs: Sequence[dict], file: str) -> dict:
    """The entries by name, each after what it needs."""
    entries: dict = {}
    for entry in runs:
        name = entry.get('name')
        if not {'name', 'config'} <= set(entry) or set(entry) - _KEYS or name in entries:
            raise UserError(
                f'every run of {file} should have a name of its own, a config and '
                f'perhaps seeds and needs, and one is {dict(entry)}: correct it.'
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
    return entries
