"""Any timm network as MMDetection's backbone, loaded strictly from an exported file."""

import inspect

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones.timm_backbone import TimmBackbone
from hsakd_mm.models.backbones.timm_model import adapt_state_dict
from hsakd_mm.registry import MODELS

from .chain_maps import ChainMaps
from .image_sizes import FAILURES, ImageSizes, find_multiple, tried_sizes
from .tap_maps import TapMaps

# Weights come from `init_cfg`, and the classifier is removed.
NOT_PASSED_ON = ('pretrained', 'checkpoint_path', 'num_classes', 'features_only')
PROBE = (64, 96)  # a chain of modules that runs on this takes any size


@MODELS.register_module()
class TimmDetBackbone(BaseModule):
    """The feature maps of a timm network, found as :class:`TimmBackbone` finds them for pretraining.

    The keys of the state dict are timm's own, as in the files of tools/export_backbone.py. Modules
    behind the last map of ``out_indices`` (a MobileNet's ``conv_head``, the classifier) are
    removed, and parameters that no map is computed from are not trained, since
    DistributedDataParallel expects every trained parameter to take part in each step.
    ``StrictPretrained`` accepts the removed keys, which are listed in ``unused_keys``, in a file.

    A detector's images differ in size. What that means depends on the network; the constructor tries:

    * most take any size (of ViT and Swin with timm's ``dynamic_img_size``, which is set here);
    * of some, height and width have to be multiples of a number (patches of 14 pixels, windows): images are padded
      with zeros right and below up to the next multiple, and the maps cropped to ``ceil(H / stride)``;
    * the others (BEiT, CaiT, MLP-Mixer ...) take one size. It is a canvas: smaller images are padded with zeros up to
      it, and the maps cropped likewise; larger ones are an error. Set ``img_size=(H, W)`` to the largest size that
      the detector's pipeline gives, padding to ``pad_size_divisor`` included, in both orientations if they occur.

    Zeros are MMDetection's own padding: it pads after the normalisation too.

    Args:
        model_name (str): timm's name.
        out_indices (Sequence[int]): Maps that are returned, ascending; default all. Of a chain of modules 0 to 3 have
            the strides 4, 8, 16 and 32. Other networks have up to four at their own strides; a plain ViT has four of
            one stride, of which ``SimpleFeaturePyramid`` reads the last.
        frozen_stages (int): As in MMDetection's ResNet: -1 freezes nothing, 0 the stem, k the stem
            and what the first k maps are computed from. Frozen modules have no gradient and stay in eval mode.
        norm_eval (bool): Keep every BatchNorm in eval mode, so that its running statistics do not
            change.
        with_cp (bool): Activation checkpointing: the blocks of trained stages are recomputed in
            the backward pass, which saves memory. Of networks that are no chain by timm, where a BatchNorm in train
            mode counts the recomputed batch once more.
        init_cfg (dict): ``dict(type='hsakd_mm.StrictPretrained', checkpoint=FILE)``; ``FILE`` may be
            ``timm://resnet18`` for timm's own weights. None starts from random weights.
        **kwargs: Passed to ``timm.create_model`` by :class:`TimmBackbone`: ``drop_path_rate``, ``img_size`` ...

    Attributes:
        channels (tuple[int]): Channels of each feature map, the neck's ``in_channels``.
        strides (tuple[int]): Stride of each feature map.
        image_sizes (ImageSizes): The sizes that the network takes.
        unused_keys (frozenset[str]): Keys of the whole network whose modules were removed.

    Raises:
        UserError: The network has no feature maps, or ``out_indices`` or ``frozen_stages`` name
            some that do not exist. In ``forward``: an image is larger than the network's only size.

    Example:
        >>> net = TimmDetBackbone('resnet18', out_indices=(1, 3), frozen_stages=1)
        >>> [tuple(features.shape) for features in net(torch.rand(2, 3, 64, 96))]
        [(2, 128, 8, 12), (2, 512, 2, 3)]
    """

    def __init__(
        self,
        model_name: str,
        out_indices: tuple | None = None,
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
        net = _create(model_name, kwargs).eval()
        count = len(net.strides)
        if out_indices is None:
            out_indices = tuple(range(count))
        _check_stages(out_indices, frozen_stages, count)
        self.model_name, self.out_indices, self.frozen_stages = model_name, tuple(out_indices), frozen_stages
        self.norm_eval, self.with_cp = norm_eval, with_cp
        self.channels = tuple(net.channels[index] for index in out_indices)
        self.strides = tuple(net.strides[index] for index in out_indices)
        self.image_sizes = _find_sizes(net, model_name)

        keys = frozenset(net.state_dict())
        self._maps: ChainMaps | TapMaps
        if net.intermediates is None:
            self._maps = ChainMaps(net, self.out_indices, frozen_stages, with_cp)
        else:
            size = self.image_sizes.canvas or tried_sizes(self.image_sizes.multiple)[0]
            self._maps = TapMaps(net, model_name, self.out_indices, frozen_stages, with_cp, size)
        # The network's modules and parameters are this module's own, as in TimmBackbone.
        self._timm = (net.timm,)
        for content in ('_modules', '_parameters', '_buffers', '_non_persistent_buffers_set'):
            self.__dict__[content] = net.timm.__dict__[content]
        self.unused_keys = keys - frozenset(self.state_dict())
        self.train()

    @property
    def timm(self) -> nn.Module:
        """timm's own network, with the same modules."""
        return self._timm[0]

    def forward(self, images: Tensor) -> tuple:
        """Returns a map ``[B, C_l, ceil(H / s_l), ceil(W / s_l)]`` for each out index; ``images: [B, 3, H, W]``."""
        if self.image_sizes == ImageSizes():
            return self._maps.run(self, images)
        maps = self._maps.run(self, self.image_sizes.pad(images))
        return self.image_sizes.crop(maps, self.strides, images.shape[2:])

    def train(self, mode: bool = True) -> 'TimmDetBackbone':
        self.timm.training = mode
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def adapt_state_dict(self, state_dict: dict) -> dict:
        """Weights of another image size or source in this network's keys and shapes, by timm's converter.

        What detection does not use is left out, since the converter may look for its modules.
        """
        used = {key: value for key, value in state_dict.items() if key not in self.unused_keys}
        return adapt_state_dict(self.timm, self.model_name, used, self.image_sizes.canvas)

    def _freeze(self) -> None:
        for name in self._maps.frozen_modules:
            module = self.get_submodule(name)
            module.eval()  # of some modules of timm it returns nothing
            module.requires_grad_(False)
        for name in self._maps.frozen_parameters:
            self.get_parameter(name).requires_grad_(False)


def _create(model_name: str, arguments: dict) -> TimmBackbone:
    """The network, with timm's option for images of any size where the family has it."""
    if 'img_size' not in arguments and 'dynamic_img_size' not in arguments:
        try:
            return TimmBackbone(model_name, num_classes=1, dynamic_img_size=True, **arguments)
        except UserError as error:
            if 'dynamic_img_size' not in str(error):
                raise
    return TimmBackbone(model_name, num_classes=1, **arguments)


def _find_sizes(net: TimmBackbone, model_name: str) -> ImageSizes:
    if net.intermediates is None:
        try:
            with torch.no_grad():
                net.forward_taps(torch.zeros(1, 3, *PROBE))
            return ImageSizes()
        except FAILURES:
            pass
    multiple = find_multiple(net.forward_taps, net.strides)
    if multiple is not None:
        return ImageSizes(multiple)
    if 'img_size' in inspect.signature(type(net.timm)).parameters:
        hint = 'set img_size=(H, W) of the backbone to the largest size of the pipeline'
    else:
        hint = 'resize images to at most that size, or choose another network'
    return ImageSizes(canvas=net.image_size, name=model_name, hint=hint)


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
