"""Replays a step that FiniteHook stopped at, from the file that it wrote, without data."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from hsakd_mm.engine.before_step import set_random_state
from hsakd_mm.engine.optim import AutocastOptimWrapper
from hsakd_mm.errors import UserError
from hsakd_mm.registry import HOOKS, MODELS, type_name


@dataclass
class Replay:
    """What a replayed step gave.

    Args:
        losses (dict[str, float]): Of ``parse_losses``.
        first (str | None): The first module, in the order of the forward pass, whose output is not finite; with
            ``(its input was not either)`` where that holds.
        gradients (list[str]): Parameters whose gradient is not finite, in the order of the model.
        notes (list[str]): What differs from the run.
    """

    losses: dict = field(default_factory=dict)
    first: str | None = None
    gradients: list = field(default_factory=list)
    notes: list = field(default_factory=list)


def replay(step: dict) -> Replay:
    """Build the run's model with its teacher, restore the state before the step, and take it without the update.

    Args:
        step (dict): Of :func:`~hsakd_mm.engine.failed_step.load_failed_step`.

    Raises:
        UserError: The file has no batch.
    """
    if step['batch'] is None:
        raise UserError(f'the batch of the step was expected in {step["path"]}, and it could not be written there.')
    done, cfg = Replay(), ConfigDict(step['config'])
    device = torch.device('cuda' if step['device'] == 'cuda' and torch.cuda.is_available() else 'cpu')
    if device.type != step['device']:
        done.notes.append(f'the run computed on {step["device"]}, and this machine has none: replayed on the CPU')
    if step['world_size'] > 1:
        done.notes.append(
            f'replayed by itself: the run had {step["world_size"]} processes, and this is rank {step["rank"]}'
        )
    scope = DefaultScope.get_instance(f'replay {step["path"]}', scope_name=cfg.get('default_scope', 'hsakd_mm'))
    with DefaultScope.overwrite_default_scope(scope.scope_name):
        model = MODELS.build(cfg.model).to(device)
        wrapper = _optim_wrapper(model, cfg, device, done.notes)
        _attach(model, cfg, step)
    model.load_state_dict(step['state_dict'])
    modules = dict(model.named_modules())
    for name, values in step['attributes'].items():
        if name in modules:
            modules[name].__dict__.update(values)
    model.train()
    for key, value in step['info'].items():
        MessageHub.get_current_instance().update_info(key, value)
    MessageHub.get_current_instance().update_info('iter', step['iter'])

    with _watched(model, done):
        set_random_state(step['rng'])
        with wrapper.optim_context(model):
            data = model.data_preprocessor(step['batch'], True)
            losses = model._run_forward(data, mode='loss')
    total, parsed = model.parse_losses(losses)
    done.losses = {name: float(value) for name, value in parsed.items()}
    total.backward()
    done.gradients = [
        name for name, each in model.named_parameters() if each.grad is not None and not each.grad.isfinite().all()
    ]
    return done


def _optim_wrapper(model: nn.Module, cfg: ConfigDict, device: torch.device, notes: list):
    """Of the run: it decides in which format the forward pass computes."""
    if cfg.optim_wrapper.get('type') == 'AmpOptimWrapper' and device.type == 'cpu':
        notes.append('mixed precision is replayed in bfloat16')
        return AutocastOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=0.0))
    return build_optim_wrapper(model, cfg.optim_wrapper)


def _attach(model: nn.Module, cfg: ConfigDict, step: dict) -> None:
    """The teacher, and what a method knows of the data set."""
    classes = step['classes']
    infos = [dict(gt_label=label, sample_idx=index) for index, label in enumerate(step['labels'] or [])]
    dataset = _Labels(infos, dict(classes=classes) if classes else {})
    run = SimpleNamespace(
        model=model,
        logger=MMLogger.get_current_instance(),
        message_hub=MessageHub.get_current_instance(),
        train_dataloader=SimpleNamespace(dataset=dataset),
        val_loop=None,
        iter=step['iter'],
        work_dir=None,
    )
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    for hook in hooks:
        if hook and type_name(hook.get('type')) == 'DistillationHook':
            HOOKS.build(dict(hook, check=False, cached_crops=0)).before_train(run)


class _Labels:
    """Stands for the data set where a method asks it for its classes and labels."""

    def __init__(self, infos: list, metainfo: dict) -> None:
        self.infos, self.metainfo = infos, metainfo

    def __len__(self) -> int:
        return len(self.infos)

    def get_data_info(self, index: int) -> dict:
        return self.infos[index]


@contextmanager
def _watched(model: nn.Module, done: Replay) -> Iterator[None]:
    """Sets ``done.first``; the teacher, which is no module of the student, is watched too."""
    named = list(model.named_modules())
    teacher = getattr(model, 'teacher', None)
    if isinstance(teacher, nn.Module):
        named += [(f'teacher.{name}'.rstrip('.'), module) for name, module in teacher.named_modules()]

    def watch(name: str):
        def look(module, args, output) -> None:
            if done.first is None and not _finite(output):
                done.first = name + ('' if _finite(args) else ' (its input was not finite either)')

        return look

    handles = [
        module.register_forward_hook(watch(f'{name or "the model"}: {type(module).__name__}'))
        for name, module in dict.fromkeys(named)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _finite(value) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if isinstance(value, list | tuple) else True
