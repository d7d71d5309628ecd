"""The feature maps of a network that is no chain of modules, by timm's ``forward_intermediates``."""

from dataclasses import replace

from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones.tap_parameters import parameters_read, recompute_blocks
from hsakd_mm.models.backbones.timm_backbone import TimmBackbone
from hsakd_mm.models.backbones.timm_layers import stem_parameters


class TapMaps:
    """Runs the network up to the last tap in use; has timm remove what lies behind it.

    Args:
        net (TimmBackbone): The network, in eval mode.
        model_name (str): timm's name of it.
        out_indices (tuple[int]): Taps that are returned.
        frozen_stages (int): See :class:`~.timm_detection.TimmDetBackbone`.
        with_cp (bool): timm's own gradient checkpointing.
        size (tuple[int]): Height and width of an image that the network takes.

    Attributes:
        frozen_modules (list[str]): Names of the modules that are not trained.
        frozen_parameters (list[str]): Parameters that are not trained, beside those of these modules. Among them are
            those that no map is computed from.

    Raises:
        UserError: The network has no checkpointing, or timm does not say which parameters are its stem.
    """

    def __init__(
        self, net: TimmBackbone, model_name: str, out_indices: tuple, frozen_stages: int, with_cp: bool, size: tuple
    ) -> None:
        taps = net.intermediates
        assert taps is not None
        timm = net.timm
        self._timm = (timm,)  # the detector's backbone has its modules
        self.taps = replace(
            taps,
            indices=tuple(taps.indices[index] for index in out_indices),
            strides=tuple(taps.strides[index] for index in out_indices),
        )
        timm.prune_intermediate_layers(indices=list(self.taps.indices), prune_norm=not taps.norm, prune_head=True)
        every = {name for name, _ in timm.named_parameters()}
        frozen = set()
        if frozen_stages == out_indices[-1] + 1:
            frozen = every
        elif frozen_stages >= 0:
            frozen = _stem(timm, model_name)
            if frozen_stages:
                # The last norm, applied to each tap, is trained as long as one of them is.
                first = replace(taps, indices=taps.indices[:frozen_stages], norm=False)
                frozen = frozen.union(*parameters_read(timm, first.run_taps, size))
        self.frozen_modules = [
            name
            for name, module in timm.named_modules()
            if name
            and any(True for _ in module.parameters())
            and all(f'{name}.{key}' in frozen for key, _ in module.named_parameters())
        ]
        unread = every.difference(*parameters_read(timm, self.taps.run_taps, size))
        self.frozen_parameters = sorted(frozen | unread)
        if with_cp:
            recompute_blocks(timm, model_name, self.taps.run_taps, size)

    def run(self, net: nn.Module, images: Tensor) -> tuple:
        """The maps of ``images: [B, 3, H, W]``."""
        return tuple(self.taps.run_taps(self._timm[0], images))


def _stem(timm: nn.Module, model_name: str) -> set:
    if stem := stem_parameters(timm):
        return stem
    raise UserError(
        f'frozen_stages of TimmDetBackbone freezes the stem, and timm does not say which parameters are that of '
        f'{model_name!r}: set frozen_stages=-1.'
    )
