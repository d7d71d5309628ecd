"""Mixed precision: the optimizer wrapper that ``--amp`` selects, and one for the CPU."""

import logging
import os
import time
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import OPTIM_WRAPPERS, type_name


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Forward and loss under ``torch.autocast`` on any device, without a gradient scaler.

    bfloat16 has the exponent range of float32, so gradients need no scaling; mmengine's
    ``AmpOptimWrapper`` always builds a scaler and does not run on the CPU. Everything else, such as
    ``accumulative_counts`` and ``clip_grad``, is inherited.

    Args:
        dtype (str): The compute format, ``'bfloat16'``. float16 would need the scaler.
        **kwargs: See :class:`~mmengine.optim.OptimWrapper`.

    Raises:
        UserError: A ``dtype`` other than bfloat16.
    """

    def __init__(self, dtype: str = 'bfloat16', **kwargs) -> None:
        if dtype != 'bfloat16':
            raise UserError(
                f'AutocastOptimWrapper computes in bfloat16, and dtype={dtype!r} was '
                f'asked for: on a GPU use AmpOptimWrapper, which scales the loss.'
            )
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Context of a training step: autocast, and gradient accumulation of the base class."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield

    def load_state_dict(self, state_dict: dict) -> None:
        """Also takes the state of an ``AmpOptimWrapper``, whose scaler is left out."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != 'loss_scaler'})


def use_amp(cfg: Config) -> None:
    """Set ``cfg.optim_wrapper`` to mixed precision on this machine's device.

    bfloat16 on CUDA devices that support it (compute capability 8.0) and on the CPU, else float16.

    Raises:
        UserError: The config uses another type of optimizer wrapper.
    """
    wrapper = cfg.optim_wrapper
    kind = type_name(wrapper.get('type', 'OptimWrapper'))
    if kind == 'AutocastOptimWrapper':
        return
    if kind == 'AmpOptimWrapper':
        if not _has_grad_scaler():
            for name in ('loss_scale', 'dtype'):
                wrapper.pop(name, None)
            wrapper.type = 'hsakd_mm.AutocastOptimWrapper'
        return
    if kind != 'OptimWrapper':
        raise UserError(
            f'--amp replaces an OptimWrapper, and this config uses {kind}: '
            f'remove --amp, or set optim_wrapper.type=OptimWrapper.'
        )
    if torch.cuda.is_available() and torch.cuda.get_device_capability(_local_device())[0] < 8:
        wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16')
    else:  # without a scaler, which bfloat16 does not need and which has the step wait for the GPU
        wrapper.type = 'hsakd_mm.AutocastOptimWrapper'


def check_amp(cfg: Config) -> None:
    """Reject an ``AmpOptimWrapper`` on a machine without a GPU, and with a fused optimizer.

    If the scaler skips the first step, as it often does, torch 2.11's fused SGD keeps memory that nobody wrote to as
    its momentum: ``aten/src/ATen/native/cuda/FusedSgdKernel.cu`` returns early, ``torch/optim/sgd.py`` stores the
    buffer.

    Raises:
        UserError: Suggests ``--amp``, which selects a wrapper for this machine, or another optimizer.
    """
    scaled = type_name(cfg.optim_wrapper.get('type')) == 'AmpOptimWrapper'
    if scaled and (cfg.optim_wrapper.get('optimizer') or {}).get('fused'):
        raise UserError(
            'float16 with a loss scaler was expected to have an optimizer that is not fused, and '
            'optim_wrapper.optimizer.fused is True, whose momentum is undefined after a skipped first step: set it to '
            'False.'
        )
    if scaled and not _has_grad_scaler():
        raise UserError(
            'optim_wrapper.type=AmpOptimWrapper needs a GPU, and torch finds none '
            'here: add --amp, which selects a wrapper for this machine.'
        )


def match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give each state the order in memory of its parameter, which a fused kernel assumes and a checkpoint may lack."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            like = isinstance(value, torch.Tensor) and value.shape == parameter.shape
            if like and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def warn_if_bfloat16_is_slow(cfg: Config) -> None:
    """Warn if autocast was asked for on a CPU whose bfloat16 products are slower than those of float32.

    Many have no instruction for them, and some one that is as fast as float32's but not as well used. The two products
    are timed, which takes a tenth of a second.
    """
    if get_device() != 'cpu' or 'Autocast' not in str(cfg.optim_wrapper.get('type')):
        return
    relative = product_seconds(torch.float32) / product_seconds(torch.bfloat16)
    if relative < 1:
        print_log(
            f'bfloat16 products run at {relative:.2g} of the rate of float32 on this CPU, so that a step takes longer '
            f'with --amp: leave it out.',
            'current',
            logging.WARNING,
        )


def product_seconds(dtype: torch.dtype) -> float:
    """Seconds of a product of two matrices of 512 x 512, the best of five."""
    matrix, times = torch.ones(512, 512, dtype=dtype), []  # not random numbers, which belong to the run
    for _ in range(6):
        begun = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def _has_grad_scaler() -> bool:
    # mmengine's AmpOptimWrapper does not run on these two.
    return get_device() not in ('cpu', 'mps')


def _local_device() -> int:
    # Called before mmengine sets the device, so it must not create a context on GPU 0.
    rank = os.environ.get('SLURM_LOCALID', os.environ.get('LOCAL_RANK', '0'))
    return int(rank) % torch.cuda.device_count()
