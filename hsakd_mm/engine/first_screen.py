"""The first screen of a training: what is trained, on what, for how long, and where it is written."""

import inspect
import logging
import os
from collections.abc import Callable, Mapping

import torch
from mmengine.dist import get_world_size
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from hsakd_mm.datasets.same_classes import classes_of
from hsakd_mm.engine.hooks.distillation_hook import DistillationHook
from hsakd_mm.engine.named_config import config_name
from hsakd_mm.evaluation.training_cost import step_macs, train_size
from hsakd_mm.models.unwrapped import unwrapped
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import type_name

WIDTH = 12  # of the first column
COUNTED = 1000  # steps of a run, and more, whose cost is counted
# What tells one network of a type from another.
_VARIANT = ('model_name', 'depth', 'arch', 'widen_factor', 'width', 'channels')


def first_screen(runner: Runner) -> str:
    """The screen of a runner whose loops are built, and whose training has not begun.

    A row whose facts another project's config or model does not give is left out.
    """
    filename = runner.cfg.filename
    lines = [f'Training {config_name(filename) if filename else type(unwrapped(runner.model)).__name__}']
    for title, row in _ROWS.items():
        try:
            text = row(runner)
        except Exception as error:  # a summary does not end a run
            runner.logger.debug(f'The row {title} of the first screen is left out: {type(error).__name__}: {error}')
            continue
        if text:
            lines.append(f'  {title:{WIDTH}}{text}')
    return '\n'.join(lines)


def _data(runner: Runner) -> str:
    dataset = runner.train_dataloader.dataset
    parts = [f'{type(dataset).__name__}, {len(dataset):,} images to train on']
    if runner.val_loop is not None:
        parts.append(f'{len(runner.val_dataloader.dataset):,} to validate on')
    classes = classes_of(dataset) or (runner.val_loop is not None and classes_of(runner.val_dataloader.dataset))
    if classes:
        parts.append(f'{len(classes):,} classes')
    if size := _image_size(runner.cfg):
        parts.append(f'{size} pixels')
    return ', '.join(parts)


def _image_size(cfg: Mapping) -> str:
    """As the pipeline says it; empty if it does not."""
    dataset = cfg.get('train_dataloader', {}).get('dataset', {})
    while isinstance(dataset.get('dataset'), Mapping):  # a wrapper's
        dataset = dataset['dataset']
    sizes = [step.get(name) for step in dataset.get('pipeline') or () for name in ('size', 'scale')]
    found = [size for size in sizes if isinstance(size, int) or (size and _are_integers(size))]
    if not found:
        return ''
    last = found[-1]
    return f'{last} x {last}' if isinstance(last, int) else ' x '.join(map(str, last))


def _are_integers(size) -> bool:
    return isinstance(size, (tuple, list)) and all(isinstance(each, int) for each in size)


def _batch(runner: Runner) -> str:
    each = runner.cfg.train_dataloader.get('batch_size')
    ranks, times = get_world_size(), runner.cfg.optim_wrapper.get('accumulative_counts', 1)
    if not each:
        return ''
    of = f' = {each} x {ranks} processes' if ranks > 1 else ''
    said = f'{each * ranks:,} images a step{of}'
    return said + (f', {times} steps an update: {each * ranks * times:,} images' if times > 1 else '')


def _networks(runner: Runner) -> str:
    model = unwrapped(runner.model)
    configs = [net.get('backbone') for net in runner.cfg.model.get('nets') or [runner.cfg.model]]
    names = ' and '.join(dict.fromkeys(_name(config) for config in configs if config))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    backbones = getattr(model, 'backbones', None) or [getattr(model, 'backbone', None)]
    of_backbones = [_count(net) for net in backbones if isinstance(net, nn.Module)]
    kept = f'{_millions(max(of_backbones))} of the backbone' if of_backbones else ''
    told = f'{_millions(_count(model))} parameters' + (f', {kept}' if kept else '')
    frozen = _count(model) - trained
    return f'{names or type(model).__name__}: {told}' + (f'; {_millions(frozen)} frozen' if frozen else '')


def _teacher(runner: Runner) -> str:
    hook = next((hook for hook in runner.hooks if isinstance(hook, DistillationHook)), None)
    if hook is None:
        return ''
    return f'{_name(hook.teacher_cfg.get("backbone") or hook.teacher_cfg)} from {_path(hook.checkpoint)}'


def _method(runner: Runner) -> str:
    """The model's class with its numbers, those that no config names too."""
    model = unwrapped(runner.model)
    numbers: dict = {}
    for base in type(model).__mro__:
        if not base.__module__.startswith('torch') and '__init__' in vars(base):
            for name, parameter in inspect.signature(base).parameters.items():
                value = getattr(model, name, None)
                if isinstance(parameter.default, (int, float)) and isinstance(value, (int, float)):
                    numbers.setdefault(name, value)
    shown = ', '.join(f'{name} {value:g}' for name, value in numbers.items() if not isinstance(value, bool))
    return type(model).__name__ + (f': {shown}' if shown else '')


def _optimizer(runner: Runner) -> str:
    wrapper = runner.cfg.optim_wrapper
    optimizer = dict(wrapper.get('optimizer') or {})
    kind = type_name(optimizer.pop('type', ''))
    numbers = [
        f'{name} {value}'
        for name, value in optimizer.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    schedules = runner.cfg.get('param_scheduler') or []
    schedules = [schedules] if isinstance(schedules, Mapping) else schedules
    return '; '.join(filter(None, [', '.join([kind, *numbers]), ', '.join(type_name(s['type']) for s in schedules)]))


def _length(runner: Runner) -> str:
    text = _number(runner.max_iters, 'step')
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        each = _number(len(runner.train_dataloader), 'step')
        text = f'{_number(runner.max_epochs, "epoch")} of {each}: {text}'
    return f'{text}; no validation' if runner.val_loop is None else text


def _number(count: int, of: str) -> str:
    return f'{count:,} {of}{"s" * (count != 1)}'


def _device(runner: Runner) -> str:
    wrapper = runner.cfg.optim_wrapper
    kind = type_name(wrapper.get('type', ''))
    half = kind in ('AmpOptimWrapper', 'AutocastOptimWrapper')
    default = 'bfloat16' if kind == 'AutocastOptimWrapper' else 'float16'
    precision = f'mixed precision ({wrapper.get("dtype") or default})' if half else 'float32'
    device = next(unwrapped(runner.model).parameters()).device
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type.upper()
    if device.type == 'cpu':
        name += f', {_number(torch.get_num_threads(), "thread")}'
    ranks = get_world_size()
    return f'{f"{ranks} x " if ranks > 1 else ""}{name}, {precision}, seed {runner.seed}'


def _start(runner: Runner) -> str:
    if runner._resume:
        return f'goes on from {_path(runner._load_from) or runner.work_dir}'
    return f'weights of {_path(runner._load_from)}' if runner._load_from else 'from the beginning'


def _log(runner: Runner) -> str:
    return f'{_path(runner.logger.log_file)}, with the environment and the whole config'


_ROWS: dict[str, Callable[[Runner], str]] = {
    'data': _data,
    'batch': _batch,
    'network': _networks,
    'teacher': _teacher,
    'method': _method,
    'optimizer': _optimizer,
    'length': _length,
    'device': _device,
    'start': _start,
    'log': _log,
}


def say_cost(runner: Runner) -> None:
    """What an image costs, once the teacher is attached; of a run in which the second that it takes is nothing."""
    if runner.cfg.get('default_scope') != 'hsakd_mm' or runner.max_iters < COUNTED or not _is_shown(runner):
        return
    try:
        with isolated_rng('cost'):
            macs = step_macs(unwrapped(runner.model), train_size(runner.cfg))
    except Exception as error:  # a summary does not end a run
        runner.logger.debug(f'The cost of a step is left out: {type(error).__name__}: {error}')
        return
    runner.logger.info(f'{macs / 1e9:.3g} G multiply-adds an image: forward, backward, views, branches and teacher.')


def _is_shown(runner: Runner) -> bool:
    """Only rank 0's terminal and file show this."""
    return any(handler.level <= logging.INFO for handler in runner.logger.handlers)


def say_first_screen(runner: Runner) -> None:
    """Log it."""
    if _is_shown(runner):
        runner.logger.info(first_screen(runner))


def _name(config: Mapping) -> str:
    """``CifarResNet depth 20``, ``resnet18`` of timm."""
    kind = type_name(config.get('type', ''))
    variants = {key: config[key] for key in _VARIANT if config.get(key) is not None}
    if name := variants.pop('model_name', None):
        kind = f'{kind} {name}'
    return ' '.join([kind, *(f'{key} {value}' for key, value in variants.items())])


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _millions(count: int) -> str:
    return f'{count / 1e6:.3g} M' if count >= 10_000 else f'{count:,}'


def _path(path) -> str:
    """As short as it can be said from the current folder."""
    if not path or '://' in str(path):
        return str(path or '')
    relative = os.path.relpath(path)
    return str(path) if relative.startswith('..') else relative
