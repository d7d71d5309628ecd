"""Any timm CNN as MMDetection's backbone, loaded from an exported file without a key over."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones.staged import run_modules
from hsakd_mm.models.backbones.timm_backbone import TimmBackbone
from hsakd_mm.registry import MODELS

# Weights come from `init_cfg`, and the classifier is not kept.
NOT_PASSED_ON = ('pretrained', 'checkpoint_path', 'num_classes', 'features_only')


@MODELS.register_module()
class TimmDetBackbone(BaseModule):
    """The stages of a timm CNN, cut as :class:`TimmBackbone` cuts them for pretraining.

    Keys of the state dict are timm's own, which are those of the files that
    tools/export_backbone.py writes. Modules behind the last stage of ``out_indices`` (a MobileNet's
    ``conv_head``, the classifier) are not kept: every parameter takes part in each step, as
    DistributedDataParallel wants it. ``unused_keys`` names what was left away, which
    ``StrictPretrained`` then accepts in a file.

    Args:
        model_name (str): timm's name.
        out_indices (Sequence[int]): Stages whose maps are given, ascending; 0 to 3 are the strides
            4, 8, 16 and 32.
        frozen_stages (int): As in MMDetection's ResNet: -1 freezes nothing, 0 the stem, k the stem
            and the first k stages. What is frozen has no gradient and stays in eval mode.
        norm_eval (bool): Keep every BatchNorm in eval mode: its statistics stay what they were.
        with_cp (bool): Activation checkpointing: the blocks of stages that are trained are run
            once more in the backward pass instead of being remembered.
        init_cfg (dict): ``dict(type='hsakd_mm.StrictPretrained', checkpoint=FILE)``; a ``FILE``
            like ``timm://resnet18`` fetches timm's own weights. Random weights without.
        **kwargs: Passed to ``timm.create_model`` by :class:`TimmBackbone`.

    Attributes:
        channels (tuple[int]): Of each map, the neck's ``in_channels``.
        strides (tuple[int]): Down-sampling of each map.
        unused_keys (frozenset[str]): Keys of the whole network that have no module here.

    Raises:
        UserError: The network cannot be cut into stages, takes images of one size only, or there
            are no such stages.

    Example:
        >>> net = TimmDetBackbone('resnet18', out_indices=(1, 3), frozen_stages=1)
        >>> [tuple(features.shape) for features in net(torch.rand(2, 3, 64, 96))]
        [(2, 128, 8, 12), (2, 512, 2, 3)]
    """

    def __init__(
        self,
        model_name: str,
        out_indices: tuple = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(init_cfg)
        for name in NOT_PASSED_ON:
            if name in kwargs:
                raise UserError(
                    f'TimmDetBackbone takes weights from a file and keeps no classifier, and was '
                    f'given {name}={kwargs[name]!r}: remove it, and name weights with init_cfg='
                    f"dict(type='hsakd_mm.StrictPretrained', checkpoint='timm://{model_name}')."
                )
        net = TimmBackbone(model_name, num_classes=1, **kwargs)
        _check_free_size(net, model_name)
        _check_stages(out_indices, frozen_stages, len(net.strides))
        self.out_indices, self.frozen_stages = tuple(out_indices), frozen_stages
        self.norm_eval, self.with_cp = norm_eval, with_cp
        self.channels = tuple(net.channels[index] for index in out_indices)
        self.strides = tuple(net.strides[index] for index in out_indices)

        self._stem = net.parts.stem
        first, *others = net.parts.stages[: self.out_indices[-1] + 1]
        self._stages = [first[len(self._stem) :], *others]
        keys = frozenset(net.state_dict())
        _keep(net.timm, {*self._stem, *chain(*self._stages)})
        for name, child in net.timm.named_children():
            self.add_module(name, child)
        self.unused_keys = keys - frozenset(self.state_dict())
        self._freeze()

    def forward(self, images: Tensor) -> tuple:
        """Maps ``[B, C_l, H / s_l, W / s_l]``, one an out index, of ``images: [B, 3, H, W]``."""
        features = run_modules(self, self._stem, images)
        maps = []
        for index, names in enumerate(self._stages):
            if self.with_cp and self.training and index >= self.frozen_stages:
                stage = nn.Sequential(*map(self.get_submodule, names))
                for block in _blocks(stage):
                    features = checkpoint(
                        block, features, use_reentrant=False, context_fn=lambda b=block: (nullcontext(), _once(b))
                    )
            else:
                features = run_modules(self, names, features)
            if index in self.out_indices:
                maps.append(features)
        return tuple(maps)

    def train(self, mode: bool = True) -> 'TimmDetBackbone':
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages >= 0:
            for name in chain(self._stem, *self._stages[: self.frozen_stages]):
                self.get_submodule(name).eval().requires_grad_(False)


def _check_stages(out_indices: tuple, frozen_stages: int, count: int) -> None:
    known = (
        isinstance(out_indices, list | tuple)
        and len(out_indices)
        and all(isinstance(index, int) and 0 <= index < count for index in out_indices)
    )
    if not known or list(out_indices) != sorted(set(out_indices)):
        raise UserError(
            f'out_indices of TimmDetBackbone name stages 0 to {count - 1}, each once '
            f'and ascending, and are {out_indices!r}: choose from '
            f'{tuple(range(count))}.'
        )
    used = out_indices[-1] + 1
    if not -1 <= frozen_stages <= used:
        raise UserError(
            f'frozen_stages of TimmDetBackbone is -1 (nothing), 0 (the stem) or up to '
            f'{used} (the stem and {used} stages: out_indices end at {used - 1}), and '
            f'is {frozen_stages}: choose one of these.'
        )


@torch.no_grad()
def _check_free_size(net: TimmBackbone, model_name: str) -> None:
    """A detector's images differ in size and are seldom square."""
    try:
        net.eval().forward_taps(torch.zeros(1, 3, 64, 96))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise UserError(
            f'a detector needs a network that takes images of any size, and '
            f'{model_name!r} does not run on 64 x 96 pixels ({reason}): choose a '
            f'CNN without windows or positions of fixed size.'
        ) from error
    net.train()


def _keep(module: nn.Module, names: set, path: str = '') -> None:
    """Take away what lies on no way to ``names``; what stays keeps its name."""
    for name, child in list(module.named_children()):
        below = f'{path}{name}.'
        if any(kept.startswith(below) for kept in names):
            _keep(child, names, below)
        elif path + name not in names:
            del module._modules[name]


def _blocks(module: nn.Module) -> list:
    """What a plain sequence of blocks consists of; anything else is one block.

    A single layer is no block: recomputing it saves no memory, since its input is kept.
    """
    children = list(module.children())
    if type(module) is not nn.Sequential or not all(list(child.children()) for child in children):
        return [module]
    return [block for child in children for block in _blocks(child)]


@contextmanager
def _once(block: nn.Module) -> Iterator:
    """The second run of a block writes no running statistics: the first has done so."""
    kept = [
        (module, name, value)
        for module in block.modules()
        if module.training
        for name, value in module.named_buffers(recurse=False)
    ]
    for module, name, value in kept:
        setattr(module, name, value.clone())
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)
