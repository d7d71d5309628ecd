"""Folds BatchNorms into the convolutions before them: exact, and one pass over a feature map less, for networks
that only predict, such as a teacher.

The pairs are found by one run, without tables of known networks: a BatchNorm whose input is, as an object, the output
of a convolution.
"""

from collections.abc import Callable

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hsakd_mm.errors import UserError


def fold_teacher(teacher: nn.Module) -> int:
    """:func:`fold_batchnorms` of a frozen teacher, on random images of a size that it takes."""
    device = next(teacher.parameters()).device
    run = teacher.forward_branches if hasattr(teacher, 'branches') else teacher.logits
    size = teacher.backbones[0].trial_size
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    return fold_batchnorms(teacher, lambda: run(images))


@torch.no_grad()
def fold_batchnorms(net: nn.Module, run: Callable[[], object]) -> int:
    """Fold in place; returns the number of folded BatchNorms.

    A folded BatchNorm becomes an ``nn.Identity``, a timm ``BatchNormAct2d`` its activation. One that does not follow a
    convolution, as in networks with pre-activation, stays.

    Args:
        net (nn.Module): In eval mode. Its state dict loses the folded weights: load checkpoints before.
        run (Callable): Runs every part of ``net`` and returns its outputs, tensors or nested lists of them.

    Raises:
        UserError: ``net`` is in training mode, or computes something else afterwards: a convolution's output is also
            read elsewhere.
    """
    if any(module.training for module in net.modules()):
        raise UserError(
            'BatchNorm can be folded only in a network that is not trained, and this one is in training mode: call '
            'eval() on it, or set default_hooks.distillation.fold_bn=False.'
        )
    before = _flat(run())
    pairs = _read_once(_pairs(net, run), run)
    names = {module: name for name, module in net.named_modules()}
    for norm, convolution in pairs.items():
        fused = fuse_conv_bn_eval(convolution, norm)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        parent, _, leaf = names[norm].rpartition('.')
        setattr(net.get_submodule(parent), leaf, _rest(norm))
    for ours, theirs in zip(_flat(run()), before, strict=True):
        # Far above rounding, far below what a wrong pair does; networks with weights of nobody's training included.
        if (ours - theirs).abs().max() > 1e-3 * theirs.abs().max().clamp(min=1e-6):
            raise UserError(
                'folding BatchNorm should not change what the teacher computes, and it does for this network: set '
                'default_hooks.distillation.fold_bn=False.'
            )
    return len(pairs)


def _pairs(net: nn.Module, run: Callable[[], object]) -> dict:
    """``{BatchNorm: convolution}`` for the BatchNorms that can be folded, each called once, as was its convolution."""
    kept, made, pairs, calls = [], {}, {}, {}

    def after_convolution(module, args, output) -> None:
        kept.append(output)  # alive, so that no id is used twice
        made[id(output)] = module
        calls[module] = calls.get(module, 0) + 1

    def before_norm(module, args) -> None:
        calls[module] = calls.get(module, 0) + 1
        if id(args[0]) in made:
            pairs[module] = made[id(args[0])]

    handles = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            handles.append(module.register_forward_pre_hook(before_norm))
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return {norm: conv for norm, conv in pairs.items() if calls[norm] == calls[conv] == 1}


def _read_once(pairs: dict, run: Callable[[], object]) -> dict:
    """The pairs whose convolution is read by the BatchNorm alone; in networks with pre-activation a sum reads some."""
    if not _read_later(pairs, run):
        return pairs
    return {norm: conv for norm, conv in pairs.items() if not _read_later([norm], run)}


def _read_later(norms, run: Callable[[], object]) -> bool:
    """Whether an input of these BatchNorms is read after them: it is overwritten, and an output shows it."""

    def spoil(module, args, output) -> None:
        args[0].fill_(torch.nan)

    handles = [norm.register_forward_hook(spoil) for norm in norms]
    try:
        return any(bool(tensor.isnan().any()) for tensor in _flat(run()))
    finally:
        for handle in handles:
            handle.remove()


def _rest(norm: nn.Module) -> nn.Module:
    """What a BatchNorm does besides normalising: nothing, or timm's dropout and activation."""
    if isinstance(norm, BatchNormAct2d):
        return nn.Sequential(norm.drop, norm.act).eval()
    return nn.Identity().eval()


def _flat(outputs) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else [tensor for each in outputs for tensor in _flat(each)]
