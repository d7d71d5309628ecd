"""Mixed precision: which wrapper ``--amp`` means on this machine, and ours for the CPU."""

import os
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Forward and loss under ``torch.autocast`` on any device, without a gradient scaler.

    bfloat16 has float32's exponents, so that nothing has to be scaled; mmengine's
    ``AmpOptimWrapper`` always builds a scaler and refuses to run on the CPU. Everything else, such
    as ``accumulative_counts`` and ``clip_grad``, is :class:`~mmengine.optim.OptimWrapper`'s.

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
        """What a training step runs in: autocast, and the base's gradient accumulation."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


def use_amp(cfg: Config) -> None:
    """Change ``cfg.optim_wrapper`` to train in mixed precision on what this machine has.

    A CUDA device computes in bfloat16 where its hardware does (compute capability 8.0), else in
    float16; the CPU in bfloat16.

    Raises:
        UserError: The config's optimizer wrapper is of another kind.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind in ('AutocastOptimWrapper', 'hsakd_mm.AutocastOptimWrapper'):
        return
    if kind == 'AmpOptimWrapper':
        if not _scales():
            for name in ('loss_scale', 'dtype'):
                wrapper.pop(name, None)
            wrapper.type = 'hsakd_mm.AutocastOptimWrapper'
        return
    if kind != 'OptimWrapper':
        raise UserError(
            f'--amp replaces an OptimWrapper, and this config uses {kind}: '
            f'remove --amp, or set optim_wrapper.type=OptimWrapper.'
        )
    if torch.cuda.is_available():
        bf16 = torch.cuda.get_device_capability(_local_device())[0] >= 8
        wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic', dtype='bfloat16' if bf16 else 'float16')
    else:
        wrapper.type = 'hsakd_mm.AutocastOptimWrapper'


def check_amp(cfg: Config) -> None:
    """Refuse a config's own ``AmpOptimWrapper`` on a machine without GPU.

    Raises:
        UserError: Names ``--amp``, which takes the wrapper that fits the machine.
    """
    if cfg.optim_wrapper.get('type') == 'AmpOptimWrapper' and not _scales():
        raise UserError(
            'optim_wrapper.type=AmpOptimWrapper needs a GPU, and torch finds none '
            'here: add --amp, which takes the wrapper that fits the machine.'
        )


def _scales() -> bool:
    # mmengine's AmpOptimWrapper refuses these two.
    return get_device() not in ('cpu', 'mps')


def _local_device() -> int:
    # Asked for before mmengine has chosen a device, so that no rank opens a context on GPU 0.
    rank = os.environ.get('SLURM_LOCALID', os.environ.get('LOCAL_RANK', '0'))
    return int(rank) % torch.cuda.device_count()
