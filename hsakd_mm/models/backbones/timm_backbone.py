"""Networks of timm as staged backbones, under timm's (and torchvision's) own key names."""

import torch
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS

from .chain import STRIDES, NotAChainError, Partition, probe
from .intermediates import Intermediates, NoMapsError, find_taps, has_one_stride
from .staged import StagedBackbone, run_modules
from .tap_parameters import recompute_blocks
from .timm_model import adapt_state_dict, create_network
from .timm_tails import build_tail

PROBE = 64  # pixels: the last tap is 2x2
SMALL = 112  # a multiple of 14 and 16, the usual patches


@MODELS.register_module()
class TimmBackbone(StagedBackbone):
    """Any network of timm, with feature maps that branches read.

    The timm network's modules are this module's own. The state dict therefore has exactly timm's
    keys (``conv1.weight``, ``layer1.0.conv1.weight``, ``fc.weight``), which for ResNets are
    torchvision's and MMDetection's as well: there is no prefix to strip. The constructor checks that
    the output equals timm's bit for bit.

    * A CNN that is a chain of modules is split into stages of strides 4, 8, 16 and 32 by :mod:`.chain`. Methods that
      copy or replace stages (``TailBranches``, CSS, OKDDip) need such a network.
    * Of any other network (ViT, Swin, HRNet, Inception ...) the taps come from timm's ``forward_intermediates``, at
      the network's own strides (:mod:`.intermediates`).

    Args:
        model_name (str): timm's name.
        num_classes (int): N.
        pretrained (bool): Load timm's weights for that name. ``False`` by default. A method compares its
            normalisation of images with theirs when training starts.
        zero_init_last (bool): Initialise the last norm of residual blocks with zero, in families that
            have this option. ``False`` as in HSAKD's code (``zero_init_residual=False``); timm's
            default is ``True``.
        with_cp (bool): Activation checkpointing: blocks are computed again in the backward pass, which saves memory
            and costs a third of the time. Of a network that is no chain by timm, whose BatchNorms then count a
            batch twice.
        **kwargs: Passed to ``timm.create_model``: ``img_size`` or ``dynamic_img_size=True`` for transformers that
            get images of another size than timm's, ``drop_path_rate`` ...

    Raises:
        UserError: timm does not know the name, the network does not know an argument, or it gives no feature maps.

    Example:
        >>> net = TimmBackbone('resnet18', num_classes=10)
        >>> [tuple(tap.shape) for tap in net.forward_taps(torch.rand(2, 3, 64, 64))]
        [(2, 64, 16, 16), (2, 128, 8, 8), (2, 256, 4, 4), (2, 512, 2, 2)]
    """

    def __init__(
        self,
        model_name: str,
        num_classes: int,
        pretrained: bool = False,
        zero_init_last: bool = False,
        with_cp: bool = False,
        **kwargs,
    ) -> None:
        super().__init__()
        self._arguments = dict(kwargs, model_name=model_name, num_classes=num_classes, zero_init_last=zero_init_last)
        self.num_classes = num_classes
        net = create_network(self._arguments, pretrained)
        if pretrained:
            self.pretrained_normalisation = {
                name: [255 * value for value in net.pretrained_cfg[name]] for name in ('mean', 'std')
            }
        # Both networks share their modules: ours adds the stages, timm's the head. The tuple keeps
        # timm's from being registered as a child, which would give every weight a second key.
        self._timm = (net,)
        for content in ('_modules', '_parameters', '_buffers', '_non_persistent_buffers_set'):
            self.__dict__[content] = net.__dict__[content]
        self._partition: Partition | None = None
        self._intermediates: Intermediates | None = None
        self.not_a_chain = ''
        self._split()
        self.with_cp = with_cp
        if with_cp and self._intermediates is not None:
            recompute_blocks(net, model_name, self._intermediates.run_taps, self.trial_size)

    @property
    def timm(self) -> nn.Module:
        """timm's own network, with the same modules."""
        return self._timm[0]

    @property
    def parts(self) -> Partition:
        """The names of its modules: stem, stages, neck.

        Raises:
            UserError: The network is not a chain of modules.
        """
        if self._partition is None:
            name = self._arguments['model_name']
            raise UserError(
                f'stages were expected that are modules one after another, and {name!r} {self.not_a_chain}: use '
                f'branches=dict(type="LightBranches"), which read any feature map, or, for a method that replaces the '
                f'last stage (CSS, OKDDip), a network that is such a chain, as resnet18 or convnext_atto.'
            )
        return self._partition

    @property
    def intermediates(self) -> Intermediates | None:
        """The taps of a network that is not a chain of modules."""
        return self._intermediates

    @property
    def image_size(self) -> tuple:
        """Height and width of the images that the network was made for: ``img_size``, else timm's own."""
        size = self._arguments.get('img_size') or (getattr(self.timm, 'pretrained_cfg', None) or {}).get('input_size')
        return tuple(size[-2:]) if isinstance(size, tuple | list) else (size or 224,) * 2

    def train(self, mode: bool = True) -> 'TimmBackbone':
        self.timm.training = mode  # its head reads the flag; its modules are ours, and are switched below
        return super().train(mode)

    def stage_names(self, images: Tensor) -> list:
        return self.parts.stages

    def forward_intermediates(self, images: Tensor) -> tuple:
        try:
            if self._intermediates is None:
                return super().forward_intermediates(images)
            return self._intermediates.run(self.timm, images)
        except (AssertionError, RuntimeError) as error:
            if not self._refuses_size(images, error):
                raise
            size = tuple(images.shape[2:])
            raise UserError(
                f'{self._arguments["model_name"]!r} was expected to take images of {size[0]} x {size[1]} pixels, and '
                f'does not ({error}): set img_size={size} or dynamic_img_size=True of the backbone, or change the '
                f'size in the data pipeline.'
            ) from error

    def _refuses_size(self, images: Tensor, error: Exception) -> bool:
        """Whether the size of the images is the reason: timm asserts it, or the network was built for one size alone.

        Operators of the latter then fail. Other networks' may fail for any other reason, such as memory.
        """
        if tuple(images.shape[2:]) == self.image_size or isinstance(error, torch.OutOfMemoryError):
            return False
        return isinstance(error, AssertionError) or self.trial_size == self.image_size

    def pooled(self, features) -> Tensor:
        if self._partition is not None:
            features = run_modules(self, self._partition.neck, features)
        return self.timm.forward_head(features, pre_logits=True).flatten(1)

    def classify(self, vector: Tensor) -> Tensor:
        if not self.one_classifier:
            raise UserError(
                f'one linear layer behind the pooled features was expected, and {self._arguments["model_name"]!r} '
                f'has several classifiers or layers there: use it in a method that reads class logits and branches '
                f'only, as KD and HSAKD.'
            )
        classifier = self.timm.get_classifier()
        if isinstance(classifier, nn.Conv2d):
            return classifier(vector[:, :, None, None]).flatten(1)
        return classifier(vector)

    def forward_head(self, features) -> Tensor:
        if self._intermediates is not None:
            return self.timm.forward_head(features)  # of some families more than pooling and one layer
        return super().forward_head(features)

    def get_classifier(self) -> nn.Module | tuple:
        return self.timm.get_classifier()

    def build_tail(self, stage: int) -> nn.Sequential:
        """See the base class and :mod:`.timm_tails`.

        Raises:
            UserError: The network is no chain of modules, or its last stage cannot be given stride 1.
        """
        return build_tail(self.parts, stage, self.channels, self.tail_channels, self._arguments)

    def adapt_state_dict(self, state_dict: dict) -> dict:
        """See :func:`~.timm_model.adapt_state_dict`."""
        return adapt_state_dict(self.timm, self._arguments['model_name'], state_dict, self.image_size)

    @torch.no_grad()
    def _split(self) -> None:
        """Find stages or taps, and check that the parts compute what the whole network computes."""
        mode, net = self.training, self.timm
        self.eval()
        height, width = self.image_size
        try:
            if has_one_stride(net):
                raise NotAChainError('gives feature maps of one stride')
            self._find_stages(max(height, width))
        except NotAChainError as error:
            self.not_a_chain, self._partition = str(error), None
            try:
                self._find_taps([(PROBE, PROBE), (SMALL, SMALL), (height, width)])
            except NoMapsError as second:
                raise UserError(
                    f'TimmBackbone needs a chain of modules with feature maps at strides 4, 8, 16 and 32, or a network '
                    f"with timm's forward_intermediates, and {self._arguments['model_name']!r} {error}, and {second}: "
                    f'choose another network, such as resnet18, convnext_atto or vit_tiny_patch16_224.'
                ) from second
        self.train(mode)

    def _find_taps(self, sizes: list) -> None:
        net = self.timm
        self._intermediates, features, taps, self.trial_size = find_taps(net, sizes)
        self.strides = self._intermediates.strides
        self.channels = tuple(tap.shape[1] for tap in taps)
        vector = self.pooled(features)
        self.num_features = vector.shape[1]
        classifier = net.get_classifier()
        self.one_classifier = isinstance(classifier, nn.Linear) and torch.equal(
            classifier(vector), net.forward_head(features)
        )

    def _find_stages(self, size: int) -> None:
        net = self.timm
        missing = [part for part in ('forward_features', 'forward_head', 'get_classifier') if not hasattr(net, part)]
        if missing:
            raise NotAChainError(f'has no {missing[0]}')
        if not isinstance(net.get_classifier(), nn.Module):
            raise NotAChainError('has several classifiers')
        self._partition, image = probe(net, (PROBE, size))
        taps, kept, features = [], [], image
        for names in self._partition.stages:
            features = run_modules(self, names, features)
            taps.append(features)
            kept.append(features.clone())
        features = run_modules(self, self._partition.neck, taps[-1])
        if not torch.equal(features, net.forward_features(image)):
            raise NotAChainError('does not compute the same as its modules one after another')
        self.one_classifier = True
        if not torch.equal(self.forward_head(taps[-1]), net(image)):
            raise NotAChainError(
                'does not compute the same as forward_head(pre_logits=True) and its classifier one after another'
            )
        if not all(map(torch.equal, taps, kept)):
            raise NotAChainError('overwrites a feature map that branches would read')
        self.strides, self.trial_size = STRIDES, tuple(image.shape[2:])
        self.channels = tuple(tap.shape[1] for tap in taps)
        self.num_features = self.pooled(taps[-1]).shape[1]
        self.tail_channels = features.shape[1]
        if getattr(net, 'drop_rate', 0):
            self._check_dropout(taps[-1])

    def _check_dropout(self, tap: Tensor) -> None:
        """Check that in train mode both parts of the head apply the same dropout as the whole head."""
        buffers = [buffer.clone() for buffer in self.buffers()]
        tap = tap.repeat(2, 1, 1, 1)
        self.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            ours = self.forward_head(tap)
            torch.manual_seed(0)
            theirs = self.timm.forward_head(run_modules(self, self.parts.neck, tap))
        for buffer, before in zip(self.buffers(), buffers):
            buffer.copy_(before)
        if not torch.equal(ours, theirs):
            raise UserError(
                f"timm's {self._arguments['model_name']!r} drops out between "
                f'forward_head(pre_logits=True) and its classifier, where '
                f'TimmBackbone does not: set drop_rate=0.'
            )
