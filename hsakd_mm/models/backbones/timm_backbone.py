"""Networks of timm as staged backbones, under timm's (and torchvision's) own key names."""

import difflib
import inspect
import sys

import timm
import torch
from timm.models import model_entrypoint
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS

from .chain import STRIDES, NotAChainError, Partition, not_a_chain, probe, remove_strides
from .staged import StagedBackbone, run_modules

PROBE = 64  # pixels: the last tap is 2x2


def create_timm_model(model_name: str, **kwargs) -> nn.Module:
    """``timm.create_model``; for an unknown name the error suggests similar names."""
    if not timm.is_model(model_name):
        near = difflib.get_close_matches(model_name.split('.')[0], timm.list_models(), n=3)
        hint = f'did you mean {" or ".join(near)}?' if near else 'timm.list_models() lists them.'
        raise UserError(f'timm {timm.__version__} has no model named {model_name!r}: {hint}')
    return timm.create_model(model_name, **kwargs)


@MODELS.register_module()
class TimmBackbone(StagedBackbone):
    """Any timm CNN that is a chain of modules, split into stages by :mod:`.chain`.

    The timm network's modules are this module's own. The state dict therefore has exactly timm's
    keys (``conv1.weight``, ``layer1.0.conv1.weight``, ``fc.weight``), which for ResNets are
    torchvision's and MMDetection's as well: there is no prefix to strip. The constructor checks that
    the output equals timm's bit for bit.

    Args:
        model_name (str): timm's name.
        num_classes (int): N.
        pretrained (bool): Load timm's weights for that name. ``False`` by default.
        zero_init_last (bool): Initialise the last norm of residual blocks with zero, in families that
            have this option. ``False`` as in HSAKD's code (``zero_init_residual=False``); timm's
            default is ``True``.
        **kwargs: Passed to ``timm.create_model``.

    Raises:
        UserError: timm does not know the name, the network does not know an argument, or it is not a
            chain of modules (transformers, HRNet's parallel branches, Inception v3).

    Example:
        >>> net = TimmBackbone('resnet18', num_classes=10)
        >>> [tuple(tap.shape) for tap in net.forward_taps(torch.rand(2, 3, 64, 64))]
        [(2, 64, 16, 16), (2, 128, 8, 8), (2, 256, 4, 4), (2, 512, 2, 2)]
    """

    strides = STRIDES

    def __init__(
        self, model_name: str, num_classes: int, pretrained: bool = False, zero_init_last: bool = False, **kwargs
    ) -> None:
        super().__init__()
        self._arguments = dict(kwargs, model_name=model_name, num_classes=num_classes, zero_init_last=zero_init_last)
        self.num_classes = num_classes
        net = self._create(pretrained)
        # Both networks share their modules: ours adds the stages, timm's the head. The tuple keeps
        # timm's from being registered as a child, which would give every weight a second key.
        self._timm = (net,)
        for content in ('_modules', '_parameters', '_buffers', '_non_persistent_buffers_set'):
            self.__dict__[content] = net.__dict__[content]
        try:
            self._find_stages()
        except NotAChainError as error:
            raise not_a_chain(model_name, str(error)) from error

    @property
    def timm(self) -> nn.Module:
        """timm's own network, with the same modules."""
        return self._timm[0]

    @property
    def parts(self) -> Partition:
        """The names of its modules: stem, stages, neck."""
        return self._partition

    def train(self, mode: bool = True) -> 'TimmBackbone':
        self.timm.training = mode  # its head reads the flag; its modules are ours, and are switched below
        return super().train(mode)

    def stage_names(self, images: Tensor) -> list:
        return self._partition.stages

    def pooled(self, tap: Tensor) -> Tensor:
        return self.timm.forward_head(run_modules(self, self._partition.neck, tap), pre_logits=True).flatten(1)

    def classify(self, vector: Tensor) -> Tensor:
        classifier = self.timm.get_classifier()
        if isinstance(classifier, nn.Conv2d):
            return classifier(vector[:, :, None, None]).flatten(1)
        return classifier(vector)

    def get_classifier(self) -> nn.Module:
        return self.timm.get_classifier()

    def build_tail(self, stage: int) -> nn.Sequential:
        """See the base class. For the last stage it consists of:

        * as many blocks as the stage has, all copies of one that keeps width and resolution, as in
          the reference code. Each is taken from a new network;
        * where the stage has no such block (EfficientNet, MobileNet, VGG, DenseNet ...): a 1x1
          convolution with BN back to the width that enters the stage, unless that is the same,
          and the stage with its strides set to 1. Our decision: the paper has no such network.

        Raises:
            UserError: The last stage cannot be given stride 1.
        """
        stages, neck = self._partition.stages[stage + 1 :], self._partition.neck
        if stages:
            fresh = self._create()
            return nn.Sequential(*(_join(fresh, names) for names in stages), *_all(fresh, neck))
        if self._partition.block:
            blocks = [self._create().get_submodule(self._partition.block) for _ in range(self._partition.repeat)]
            last = nn.Sequential(*blocks)
            return nn.Sequential(last, *(_all(self._create(), neck) if neck else ()))
        fresh = self._create()
        tail = [remove_strides(_join(fresh, self._partition.stages[-1])), *_all(fresh, neck)]
        before, last = self.channels[-2:]
        if before != last:
            tail.insert(0, nn.Sequential(nn.Conv2d(last, before, 1, bias=False), nn.BatchNorm2d(before)))
        tail = nn.Sequential(*tail)
        self._check_last_tail(tail)
        return tail

    def adapt_state_dict(self, state_dict: dict) -> dict:
        """``state_dict`` in this network's keys.

        A state dict that fits is returned unchanged. Otherwise timm's converter for weights of other
        sources (torchvision's VGG, Facebook's ConvNeXt ...) is applied. If there is none, or it fails,
        the state dict is returned unchanged, and strict loading then says what does not fit.
        """
        own = self.state_dict()
        converter = self._converter()
        if converter is None or state_dict.keys() == own.keys():
            return state_dict
        takes_net = len(inspect.signature(converter).parameters) > 1
        try:
            return dict(converter(dict(state_dict), *((self.timm,) if takes_net else ())))
        except (KeyError, RuntimeError, AttributeError, ValueError, IndexError):
            return state_dict

    def _converter(self):
        """timm's converter for this network; each file of timm has at most one, under one of these names."""
        entry = model_entrypoint(self._arguments['model_name'].split('.')[0])
        for module in (sys.modules[entry.__module__], sys.modules[type(self.timm).__module__]):
            for name in ('checkpoint_filter_fn', '_filter_fn', '_filter_torchvision_pretrained'):
                if hasattr(module, name):
                    return getattr(module, name)
        return None

    def _create(self, pretrained: bool = False) -> nn.Module:
        """A new network of the same architecture, with other random weights."""
        name = self._arguments['model_name']
        try:
            return create_timm_model(**self._arguments, pretrained=pretrained)
        except TypeError as error:
            if 'zero_init_last' not in str(error) or self._arguments.get('zero_init_last'):
                raise UserError(
                    f"TimmBackbone passes its arguments on to timm's {name!r}, which "
                    f'says: {error}; correct or remove that argument.'
                ) from error
            del self._arguments['zero_init_last']  # this family does not have the option
            return self._create(pretrained)
        except (OSError, RuntimeError) as error:
            if not pretrained:
                raise
            raise UserError(
                f"timm's weights of {name!r} were expected, and could not be had "
                f'({error}): set pretrained=False, or load a file.'
            ) from error

    @torch.no_grad()
    def _find_stages(self) -> None:
        """Split the network, and check that its parts compute what the whole network computes."""
        mode, net = self.training, self.timm
        missing = [part for part in ('forward_features', 'forward_head', 'get_classifier') if not hasattr(net, part)]
        if missing:
            raise NotAChainError(f'has no {missing[0]}')
        if not isinstance(net.get_classifier(), nn.Module):
            raise NotAChainError('has several classifiers')
        self.eval()
        size = (getattr(net, 'pretrained_cfg', None) or {}).get('input_size', (3, 224, 224))[-1]
        self._partition, image = probe(net, (PROBE, size))
        taps, kept, features = [], [], image
        for names in self._partition.stages:
            features = run_modules(self, names, features)
            taps.append(features)
            kept.append(features.clone())
        features = run_modules(self, self._partition.neck, taps[-1])
        if not torch.equal(features, net.forward_features(image)):
            raise NotAChainError('does not compute the same as its modules one after another')
        if not torch.equal(self.forward_head(taps[-1]), net(image)):
            raise NotAChainError(
                'does not compute the same as forward_head(pre_logits=True) and its classifier one after another'
            )
        if not all(map(torch.equal, taps, kept)):
            raise NotAChainError('overwrites a feature map that branches would read')
        self.channels = tuple(tap.shape[1] for tap in taps)
        self.num_features = self.pooled(taps[-1]).shape[1]
        self.tail_channels = features.shape[1]
        if getattr(net, 'drop_rate', 0):
            self._check_dropout(taps[-1])
        self.train(mode)

    def _check_dropout(self, tap: Tensor) -> None:
        """Check that in train mode both parts of the head apply the same dropout as the whole head."""
        buffers = [buffer.clone() for buffer in self.buffers()]
        tap = tap.repeat(2, 1, 1, 1)
        self.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            ours = self.forward_head(tap)
            torch.manual_seed(0)
            theirs = self.timm.forward_head(run_modules(self, self._partition.neck, tap))
        for buffer, before in zip(self.buffers(), buffers):
            buffer.copy_(before)
        if not torch.equal(ours, theirs):
            raise UserError(
                f"timm's {self._arguments['model_name']!r} drops out between "
                f'forward_head(pre_logits=True) and its classifier, where '
                f'TimmBackbone does not: set drop_rate=0.'
            )

    def _check_last_tail(self, tail: nn.Sequential) -> None:
        """Check by one forward pass that the tail keeps resolution and width."""
        taps = torch.zeros(1, self.channels[-1], 4, 4)
        tail.eval()
        try:
            with torch.no_grad():
                shape: tuple | str = tuple(tail(taps).shape)
        except RuntimeError as error:
            shape = f'an error ({error})'
        tail.train()
        if shape != (1, self.tail_channels, 4, 4):
            raise UserError(
                f'the last branch is the last stage of {self._arguments["model_name"]!r} once '
                f'more at stride 1, and with its strides set to 1 it makes {shape} of '
                f'{tuple(taps.shape)}: use branches=dict(type="LightBranches"), which need no '
                f'copy of a stage.'
            )


def _all(net: nn.Module, names: list) -> list:
    return [net.get_submodule(name) for name in names]


def _join(net: nn.Module, names: list) -> nn.Module:
    """The stage with these names: the module itself, or several as an ``nn.Sequential``."""
    modules = _all(net, names)
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)
