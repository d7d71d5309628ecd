"""The feature maps of a network that is a chain of modules: stages, frozen and recomputed one by one."""

from itertools import chain

from torch import Tensor, nn

from hsakd_mm.models.backbones.recomputed import run_recomputed
from hsakd_mm.models.backbones.staged import run_modules
from hsakd_mm.models.backbones.timm_backbone import TimmBackbone


class ChainMaps:
    """Runs the stages that are in use; removes the modules behind them from the network.

    Args:
        net (TimmBackbone): The network.
        out_indices (tuple[int]): Stages whose outputs are returned.
        frozen_stages (int): See :class:`~.timm_detection.TimmDetBackbone`.
        with_cp (bool): Recompute the blocks of trained stages in the backward pass.

    Attributes:
        frozen_modules (list[str]): Names of the modules that are not trained.
        frozen_parameters (list[str]): Parameters that are not trained, beside those of these modules.
    """

    def __init__(self, net: TimmBackbone, out_indices: tuple, frozen_stages: int, with_cp: bool) -> None:
        self.out_indices, self.frozen_stages, self.with_cp = out_indices, frozen_stages, with_cp
        self._stem = net.parts.stem
        first, *others = net.parts.stages[: out_indices[-1] + 1]
        self._stages = [first[len(self._stem) :], *others]
        _keep(net.timm, {*self._stem, *chain(*self._stages)})
        for own in (net.timm._parameters, net.timm._buffers):
            own.clear()  # a chain of modules reads nothing else
        self.frozen_modules = [*self._stem, *chain(*self._stages[:frozen_stages])] if frozen_stages >= 0 else []
        self.frozen_parameters: list = []

    def run(self, net: nn.Module, images: Tensor) -> tuple:
        """The maps of ``images: [B, 3, H, W]``; ``net`` has the modules."""
        features = run_modules(net, self._stem, images)
        maps = []
        for index, names in enumerate(self._stages):
            if self.with_cp and net.training and index >= self.frozen_stages:
                stage = nn.Sequential(*map(net.get_submodule, names))
                features = run_recomputed(stage, features)
            else:
                features = run_modules(net, names, features)
            if index in self.out_indices:
                maps.append(features)
        return tuple(maps)


def _keep(module: nn.Module, names: set, path: str = '') -> None:
    """Remove all submodules except ``names`` and their parents; names do not change."""
    for name, child in list(module.named_children()):
        below = f'{path}{name}.'
        if any(kept.startswith(below) for kept in names):
            _keep(child, names, below)
        elif path + name not in names:
            del module._modules[name]
