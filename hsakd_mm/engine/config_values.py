"""Checks the values of a config that mmengine and torch would only trip over, some of them in the first step."""

from collections.abc import Callable, Iterator, Sequence
from numbers import Real

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS

from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError


def _whole(least: int, most: float = float('inf')) -> Callable:
    return lambda value: _is_number(value) and value == int(value) and least <= value <= most


def _number(least: float, below: float = float('inf')) -> Callable:
    return lambda value: _is_number(value) and least <= value < below


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) < float('inf')


# Path in the config, whether a value is right, and what is expected. Absent values and None are not checked.
RULES = [
    *[(f'{part}_dataloader.batch_size', _whole(1), 'an integer of at least 1') for part in ('train', 'val', 'test')],
    *[(f'{part}_dataloader.num_workers', _whole(0), 'an integer of at least 0') for part in ('train', 'val', 'test')],
    ('train_cfg.max_epochs', _whole(1), 'an integer of at least 1'),
    ('train_cfg.max_iters', _whole(1), 'an integer of at least 1'),
    ('train_cfg.val_interval', _whole(1), 'an integer of at least 1'),
    ('optim_wrapper.optimizer.lr', _number(0), 'a number of at least 0'),
    ('optim_wrapper.optimizer.momentum', _number(0, 1), 'a number from 0 to below 1'),
    ('optim_wrapper.optimizer.weight_decay', _number(0), 'a number of at least 0'),
    ('optim_wrapper.accumulative_counts', _whole(1), 'an integer of at least 1'),
    ('auto_scale_lr.base_batch_size', _whole(1), 'an integer of at least 1'),
    ('default_hooks.checkpoint.interval', lambda value: value == -1 or _whole(1)(value), 'at least 1, or -1 for never'),
    ('default_hooks.logger.interval', _whole(1), 'an integer of at least 1'),
    ('randomness.seed', _whole(0, 2**32 - 1), 'an integer from 0 to 4294967295'),
]
# Must be a dict, and not None.
SECTIONS = ('model', 'train_dataloader.dataset', 'val_dataloader.dataset', 'test_dataloader.dataset', 'env_cfg')


def check_values(cfg: Config) -> None:
    """Check the numbers, sections and the type of the optimizer.

    Raises:
        UserError: One of them is not what it should be.
    """
    content = dict(cfg.items())
    for path, is_right, expected in RULES:
        for key, value in _find(content, path.split('.')):
            if value is not None and not is_right(value):
                raise _wrong(key, expected, value)
    for path in SECTIONS:
        for key, value in _find(content, path.split('.')):
            if not isinstance(value, dict):
                raise _wrong(key, 'a dict', value)
    kind = ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('type')
    if isinstance(kind, str) and '.' not in kind and OPTIMIZERS.get(kind) is None:
        raise UserError(
            f'optim_wrapper.optimizer.type is expected to be an optimizer, and there is no {kind}'
            f'{nearest(kind, OPTIMIZERS.module_dict)}: correct the name, or name the module that defines it in '
            f'custom_imports.'
        )


def _find(config, path: Sequence[str], before: str = '') -> Iterator[tuple]:
    """``('train_cfg.max_epochs', 100)`` where the config has that key."""
    if isinstance(config, dict) and path[0] in config:
        key = f'{before}{path[0]}'
        if len(path) == 1:
            yield key, config[path[0]]
        else:
            yield from _find(config[path[0]], path[1:], f'{key}.')


def _wrong(key: str, expected: str, value) -> UserError:
    return UserError(
        f'{key} is expected to be {expected}, and it is {value!r}: correct it in the config or the options.'
    )
