"""Equal cost beside equal epochs: the length of a run that has to cost what another one costs.

The cost is that of the whole training, in multiply-adds, with that of the runs whose weights it goes on from. Teachers
are trained once for all of their students: what that takes is not in it, and the reports tell it apart.
"""

import copy
from collections.abc import Callable, Mapping, Sequence

from mmengine.config import Config, ConfigDict

from hsakd_mm.engine.trial_steps import do_not_verify
from hsakd_mm.engine.user_messages import nearest, user_message
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.training_cost import train_size, training_macs
from hsakd_mm.registry import DATASETS

# Of a scheduler that counts epochs: its lengths. Its first epoch, begin, may be 0.
LENGTHS = ('end', 'T_max', 'milestones', 'step_size', 'periods', 'total_steps', 'restart_steps')
NO_END = 10**9  # mmengine's
LARGEST_MISS = 0.25  # of the cost, as epochs are whole
RAMPS = ('model.ramp_up_epochs', 'default_hooks.distillation.ramp_up_epochs')
_counted: dict = {}  # multiply-adds of an image, by what decides them: a bench asks for the same ones for each seed


def check_cost_of(entries: Mapping[str, dict], file: str) -> None:
    """Check that each ``cost_of`` of a bench file names another run, whose length can be found first.

    Args:
        entries (dict[str, dict]): The runs of the file, by name.
        file (str): For the error.

    Raises:
        UserError: One does not.
    """
    for name, entry in entries.items():
        other = entry.get('cost_of')
        if other is None:
            continue
        if other not in entries or other == name:
            raise UserError(
                f'cost_of of {name!r} in {file} should name another of its runs, and it is '
                f'{other!r}{nearest(str(other), set(entries) - {name})}: correct it.'
            )
        if name in _depends_on(other, entries):
            raise UserError(
                f'{name!r} in {file} should cost what {other!r} does, and {other!r} itself depends on {name!r}: name '
                f'another run.'
            )


def _depends_on(name: str, entries: Mapping[str, dict]) -> set:
    """The runs that this one needs or costs as much as, and theirs."""
    found: set = set()
    waiting = [name]
    while waiting:
        entry = entries[waiting.pop()]
        new = {*entry.get('needs', {}).values(), entry.get('cost_of')} & set(entries) - found
        found |= new
        waiting += new
    return found


def same_cost(cfg: Config, before: Sequence[Config], named: Sequence[Config], title: str, cost_of: str) -> dict:
    """Changes to a config that make its training cost what another one costs.

    Args:
        cfg (Config): Of the run; every config here with a file's name, existing or not, where it reads a checkpoint.
        before (Sequence[Config]): Of the runs whose weights it goes on from. Their cost is a part of its own.
        named (Sequence[Config]): Of the other run, and of those whose weights that one goes on from.
        title, cost_of (str): What errors call the run and the other one.

    Returns:
        dict: As :func:`stretched`.

    Raises:
        UserError: No number of epochs costs about that; or the runs have different images, and the data to count them
            is not there.
    """
    images = _images([cfg, *before, *named])

    def whole(configs: Sequence[Config], counts: Sequence[int]) -> float:
        return sum(_macs(each) * number * each.train_cfg.max_epochs for each, number in zip(configs, counts))

    budget = whole(named, images[1 + len(before) :]) - whole(before, images[1:])
    if budget <= 0:
        raise UserError(
            f'{title} should cost what {cost_of!r} does, and the training whose weights it goes on from costs as much '
            f'or more by itself: make {cost_of!r} longer or that training shorter, or leave cost_of out.'
        )
    tried, epochs = copy.deepcopy(cfg), cfg.train_cfg.max_epochs
    while True:  # an epoch costs less in a longer run that remembers its teacher's outputs (cached_crops)
        exact = budget / (_macs(tried) * images[0])
        found = max(1, round(exact))
        if found == epochs:
            break
        epochs = tried.train_cfg.max_epochs = found
    if abs(epochs / exact - 1) > LARGEST_MISS:
        raise UserError(
            f'{title} should cost what {cost_of!r} does, which would be {exact:.2f} epochs, and epochs are whole: make '
            f'{cost_of!r} longer, or leave cost_of out.'
        )
    return stretched(cfg, epochs)


def stretched(cfg: Config, epochs: int) -> dict:
    """Changes to a config, as by ``--cfg-options``, that make it this long, with its schedule in proportion.

    What is counted in steps, such as a warm-up, stays. There are about as many validations as before.

    Args:
        cfg (Config): Of a run that counts epochs.
        epochs (int): The new number.
    """
    before = cfg.train_cfg.max_epochs

    def scaled(value: float, least: int = 1) -> int:
        return max(least, round(value * epochs / before))

    options: dict = {'train_cfg.max_epochs': epochs}
    for key in ('val_interval', 'val_begin'):
        if cfg.train_cfg.get(key):
            options[f'train_cfg.{key}'] = scaled(cfg.train_cfg[key])
    scheduler = _scheduler(cfg.get('param_scheduler') or [], scaled)
    if scheduler != (cfg.get('param_scheduler') or []):
        # As a whole: options of single values beside one of the whole could not be merged.
        options['param_scheduler'] = scheduler
    for key in RAMPS:
        owner = cfg
        for part in key.split('.'):
            owner = (owner or {}).get(part)
        if owner:
            options[key] = owner * epochs / before
    return options


def _scheduler(value, scaled: Callable):
    if isinstance(value, list | tuple):
        return [_scheduler(each, scaled) for each in value]
    if 'type' not in value:  # of several optimizers
        return {name: _scheduler(each, scaled) for name, each in value.items()}
    plain = value.to_dict() if isinstance(value, ConfigDict) else dict(value)
    if not plain.get('by_epoch', True):
        return plain
    if plain.get('begin'):
        plain['begin'] = scaled(plain['begin'], 0)
    for key in set(LENGTHS) & set(plain):
        length = plain[key]
        if isinstance(length, list | tuple):
            plain[key] = [scaled(each) for each in length]
        elif length is not None and length < NO_END:
            plain[key] = scaled(length)
    if plain.get('end') is not None:
        plain['end'] = max(plain['end'], plain.get('begin', 0) + 1)
    return plain


def _macs(cfg: Config) -> float:
    """Multiply-adds of one training image."""
    hook = (cfg.get('default_hooks') or {}).get('distillation') or {}
    crops = hook.get('cached_crops', 0)
    epochs = cfg.train_cfg.max_epochs if crops else None
    key = str((cfg.model, hook.get('teacher'), crops, epochs, cfg.get('custom_hooks'), train_size(cfg)))
    if key not in _counted:
        _counted[key] = training_macs(cfg, train_size(cfg))
    return _counted[key]


def _images(configs: Sequence[Config]) -> list[int]:
    """How many images an epoch of each config has; 1 where all have the same, which need not be there yet."""
    datasets = [{**cfg.train_dataloader.dataset.to_dict(), 'pipeline': None} for cfg in configs]
    if all(dataset == datasets[0] for dataset in datasets):
        return [1] * len(configs)
    counts: dict = {}
    for dataset in datasets:
        if str(dataset) not in counts:
            counts[str(dataset)] = _count(dataset)
    return [counts[str(dataset)] for dataset in datasets]


def _count(dataset: dict) -> int:
    dataset = copy.deepcopy({**dataset, 'pipeline': []})
    do_not_verify(dataset)
    try:
        if count := len(DATASETS.build(dataset)):
            return count
        said = 'there are none'
    except Exception as error:  # data can be wrong in any way
        said = user_message(error) or f'{type(error).__name__}: {error}'
    raise UserError(
        f'a run with cost_of has other images than the run that it names, both were to be counted, and those of '
        f'{dataset.get("type")} in {dataset.get("data_root")} could not be ({said.rstrip(".")}): make the data before '
        f'the bench, or leave cost_of out.'
    )
