"""Checks the values of a config that mmengine and torch would only trip over, some of them in the first step."""

import difflib
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, OPTIMIZERS
from mmengine.runner import Runner

from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError


def _whole(least: int, most: float = float('inf')) -> Callable:
    return lambda value: _is_number(value) and value == int(value) and least <= value <= most


def _number(least: float, below: float = float('inf')) -> Callable:
    return lambda value: _is_number(value) and least <= value < below


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float('inf')


CLIP = {'type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value'}  # mmengine's and torch's
# Top-level names that Runner reads from its config, besides its arguments.
READ = {
    'model_wrapper_cfg',
    'find_unused_parameters',
    'sync_bn',
    'compile',
    'runner_type',
    'activation_checkpointing',
    'efficient_conv_bn_eval',
    'custom_imports',
    'strategy',
}
READ |= set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
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
    ('default_hooks.distillation.ramp_up_epochs', _number(0), 'a number of at least 0'),
    ('model.temperature', lambda value: _number(0)(value) and value > 0, 'a number above 0'),
    ('model.kd_temperature', lambda value: _number(0)(value) and value > 0, 'a number above 0'),
    ('custom_hooks', lambda value: isinstance(value, list | tuple), 'a list, as in [dict(type="EMAHook")]'),
    ('log_level', lambda value: not str(logging.getLevelName(value)).startswith('Level '), "a level such as 'INFO'"),
    (
        'optim_wrapper.clip_grad',
        lambda value: isinstance(value, dict) and set(value) <= CLIP,
        f'a dict with some of {", ".join(sorted(CLIP))}',
    ),
    ('randomness.seed', _whole(0, 2**32 - 1), 'an integer from 0 to 4294967295'),
]
# Must be a dict, and not None.
SECTIONS = [
    *('model', 'model.backbone', 'env_cfg', 'default_hooks', 'default_hooks.distillation.teacher'),
    *(f'{part}_dataloader.dataset' for part in ('train', 'val', 'test')),
]
# Must be registered, or be a dotted path: mmengine calls these without looking.
NAMES = [
    ('optim_wrapper.optimizer.type', OPTIMIZERS, 'an optimizer'),
    *((f'{part}_dataloader.collate_fn.type', FUNCTIONS, 'a function') for part in ('train', 'val', 'test')),
]


def check_names(cfg: Config, path: str) -> None:
    """Check that no top-level name is one of the runner's but for a letter or two: it would have no effect.

    Args:
        cfg (Config): The content of the file.
        path (str): The file, for the error.

    Raises:
        UserError: There is one.
    """
    for name in set(cfg) - READ:
        if meant := difflib.get_close_matches(name, READ, n=1, cutoff=0.9):
            raise UserError(
                f'{path} sets {name}, which nothing reads: correct it to {meant[0]}, or, if it is a variable of your '
                f'own, choose a name that is less like it.'
            )


def check_values(cfg: Config) -> None:
    """Check numbers, sections, and names that mmengine calls without looking.

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
    _check_loops(cfg)
    for number, hook in enumerate(cfg.get('custom_hooks') or []):
        if not isinstance(hook, Hook) and not (isinstance(hook, dict) and 'type' in hook):
            raise _wrong(f'custom_hooks.{number}', 'a dict with a type, as dict(type="EMAHook")', hook)
    for name, hook in cfg.get('default_hooks', {}).items():
        if isinstance(hook, dict) and 'type' not in hook:
            raise UserError(
                f'default_hooks.{name} is expected to have a type, and it has {", ".join(hook) or "nothing"}'
                f'{nearest(name, set(cfg.default_hooks) - {name})}: correct the name of the hook, or give it a type.'
            )
    for path, registry, expected in NAMES:
        for key, name in _find(content, path.split('.')):
            with registry.switch_scope_and_registry(cfg.get('default_scope')) as found:
                if isinstance(name, str) and '.' not in name and found.get(name) is None:
                    raise UserError(
                        f'{key} is expected to be {expected}, and there is no {name}'
                        f'{nearest(name, registry.module_dict)}: correct the name, or name the module that defines it '
                        f'in custom_imports.'
                    )


def _check_loops(cfg: Config) -> None:
    for part in ('train', 'val'):  # a training does not build the loader of the test
        loader = cfg.get(f'{part}_dataloader')
        if isinstance(loader, dict) and 'sampler' not in loader:
            raise UserError(
                f'{part}_dataloader is expected to have a sampler, and it has {", ".join(loader) or "nothing"}: add '
                f'sampler=dict(type="DefaultSampler", shuffle={part == "train"}).'
            )
    for part in ('val', 'test'):
        names = [f'{part}_{name}' for name in ('dataloader', 'cfg', 'evaluator')]
        lacking = [name for name in names if cfg.get(name) is None]
        if 0 < len(lacking) < len(names):
            raise UserError(
                f'{", ".join(names)} are expected to be set all three or none, and {" and ".join(lacking)} '
                f'{"is" if len(lacking) == 1 else "are"} None: set what is None, or all three to None.'
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
