"""Any timm CNN as MMDetection's backbone, loaded strictly from an exported file."""

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

# Weights come from `init_cfg`, and the classifier is removed.
NOT_PASSED_ON = ('pretrained', 'checkpoint_path', 'num_classes', 'features_only')


@MODELS.register_module()
class TimmDetBackbone(BaseModule):
    """The stages of a timm CNN, split as :class:`TimmBackbone` splits them for pretraining.

    The keys of the state dict are timm's own, as in the files of tools/export_backbone.py. Modules
    behind the last stage of ``out_indices`` (a MobileNet's ``conv_head``, the classifier) are
    removed, since DistributedDataParallel expects every parameter to take part in each step.
    ``StrictPretrained`` accepts their keys, which are listed in ``unused_keys``, in a file.

    Args:
        model_name (str): timm's name.
        out_indices (Sequence[int]): Stages whose feature maps are returned, ascending; 0 to 3 have
            the strides 4, 8, 16 and 32.
        frozen_stages (int): As in MMDetection's ResNet: -1 freezes nothing, 0 the stem, k the stem
            and the first k stages. Frozen modules have no gradient and stay in eval mode.
        norm_eval (bool): Keep every BatchNorm in eval mode, so that its running statistics do not
            change.
        with_cp (bool): Activation checkpointing: the blocks of trained stages are recomputed in
            the backward pass, which saves memory.
        init_cfg (dict): ``dict(type='hsakd_mm.StrictPretrained', checkpoint=FILE)``; ``FILE`` may be
            ``timm://resnet18`` for timm's own weights. None starts from random weights.
        **kwargs: Passed to ``timm.create_model`` by :class:`TimmBackbone`.

    Attributes:
        channels (tuple[int]): Channels of each feature map, the neck's ``in_channels``.
        strides (tuple[int]): Stride of each feature map.
        unused_keys (frozenset[str]): Keys of the whole network whose modules were removed.

    Raises:
        UserError: The network cannot be split into stages or takes images of one size only, or
            ``out_indices`` or ``frozen_stages`` name stages that do not exist.

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
        """Returns a map ``[B, C_l, H / s_l, W / s_l]`` for each out index; ``images: [B, 3, H, W]``."""
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
            f'out_indices of TimmDetBackbone should be stages 0 to {count - 1}, each once '
            f'and ascending, and are {out_indices!r}: choose from '
            f'{tuple(range(count))}.'
        )
    used = out_indices[-1] + 1
    if not -1 <= frozen_stages <= used:
        raise UserError(
            f'frozen_stages of TimmDetBackbone should be -1 (nothing), 0 (the stem) or up to '
            f'{used} (the stem and {used} stages: out_indices end at {used - 1}), and '
            f'is {frozen_stages}: choose one of these.'
        )


@torch.no_grad()
def _check_free_size(net: TimmBackbone, model_name: str) -> None:
    """A detector's images differ in size and are rarely square."""
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
    """Remove all submodules except ``names`` and their parents; names do not change."""
    for name, child in list(module.named_children()):
        below = f'{path}{name}.'
        if any(kept.startswith(below) for kept in names):
            _keep(child, names, below)
        elif path + name not in names:
            del module._modules[name]


def _blocks(module: nn.Module) -> list:
    """The blocks of a plain sequence; any other module is one block.

    Sequences of single layers are not split: recomputing one layer saves no memory, since its
    input is stored.
    """
    children = list(module.children())
    if type(module) is not nn.Sequential or not all(list(child.children()) for child in children):
        return [module]
    return [block for child in children for block in _blocks(child)]


@contextmanager
def _once(block: nn.Module) -> Iterator:
    """The recomputation of a block must not update running statistics a second time."""
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
