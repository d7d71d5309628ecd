"""What differs from rank to rank in the middle of an epoch, and has to be in a checkpoint that goes on exactly.

Each rank has BatchNorm statistics of its own until they are averaged over the ranks, and with gradient accumulation
gradients of its own until they are. What an EMAHook averages over the steps of a rank's statistics stays its own.
"""

import hashlib

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from hsakd_mm.models.unwrapped import unwrapped

KEY = 'rank_states'  # of the checkpoint


def collect(runner) -> list[dict[str, Tensor]]:
    """State of each rank, in order of rank, as tensors on the CPU.

    By ``buffer.<name>``, ``ema_buffer.<number of the hook>.<name>`` and ``gradient.<name>``.

    To be called on all ranks. Buffers that are equal on all ranks, such as memory banks, are left out.
    """
    model, tensors = unwrapped(runner.model), {}
    if get_world_size() > 1:
        buffers = _buffers(runner)
        digests = all_gather_object({key: _digest(value) for key, value in buffers.items()})
        tensors = {
            key: value for key, value in buffers.items() if any(each[key] != digests[0][key] for each in digests)
        }
    wrapper = runner.optim_wrapper
    wrappers = list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    if not all(each.should_update() for each in wrappers):
        tensors.update(
            (f'gradient.{name}', parameter.grad)
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        )
    return all_gather_object({name: value.detach().cpu() for name, value in tensors.items()})


def restore(runner, states: list[dict[str, Tensor]]) -> None:
    """Give each rank its state back; if there are more or fewer ranks now, the mean of all."""
    model = unwrapped(runner.model)
    if len(states) == get_world_size():
        state = states[get_rank()]
    else:
        state = {name: _mean([each[name] for each in states]) for name in states[0]}
    buffers, parameters = _buffers(runner), dict(model.named_parameters())
    with torch.no_grad():
        for key, value in state.items():
            kind, _, name = key.partition('.')
            if kind != 'gradient':
                buffers[key].copy_(value)
            else:
                parameters[name].grad = torch.empty_like(parameters[name]).copy_(value)  # in its order in memory


def _buffers(runner) -> dict[str, Tensor]:
    found = {f'buffer.{name}': value for name, value in unwrapped(runner.model).named_buffers()}
    averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
    for number, average in enumerate(averages):
        if average.update_buffers:  # otherwise they are copies of the model's
            found.update((f'ema_buffer.{number}.{name}', value) for name, value in average.module.named_buffers())
    return found


def _digest(value: Tensor) -> bytes:
    flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(flat.numpy()).digest()


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).double().mean(0).to(values[0].dtype)
