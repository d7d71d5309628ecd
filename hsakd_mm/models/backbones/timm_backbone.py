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

from .chain import STRIDES, Cut, NotAChain, probe, refuse, single_stride
from .staged import StagedBackbone, run

PROBE = 64  # pixels: the last tap is 2x2


def create_timm_model(model_name: str, **kwargs) -> nn.Module:
    """``timm.create_model`` that answers an unknown name with the nearest known ones."""
    if not timm.is_model(model_name):
        near = difflib.get_close_matches(model_name.split('.')[0], timm.list_models(), n=3)
        hint = f'did you mean {" or ".join(near)}?' if near else 'timm.list_models() lists them.'
        raise UserError(f'timm {timm.__version__} has no model named {model_name!r}: {hint}')
    return timm.create_model(model_name, **kwargs)


@MODELS.register_module()
class TimmBackbone(StagedBackbone):
    """Any timm CNN that is a chain of modules, cut into stages as :mod:`.chain` says.

    The timm network's modules are this module's own. The state dict therefore has exactly timm's
    keys (``conv1.weight``, ``layer1.0.conv1.weight``, ``fc.weight``), which for ResNets are
    torchvision's and MMDetection's as well: no prefix to strip, none to forget. That ours computes
    what timm's network computes is checked, bit for bit, when it is built.

    Args:
        model_name (str): timm's name.
        num_classes (int): N.
        pretrained (bool): Load timm's weights for that name. ``False`` by default.
        zero_init_last (bool): Start residual branches at zero, in families that have that choice.
            HSAKD's code does not (``zero_init_residual=False``), so neither do we; timm's
            default is ``True``.
        **kwargs: Passed to ``timm.create_model``.

    Raises:
        UserError: The name is unknown to timm, an argument to the network, or the network is not
            such a chain (transformers, HRNet's parallel branches, Inception v3).

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
        # One set of modules, two owners: ours gives it stages, timm's its head. The tuple keeps
        # timm's from being registered as a child, which would give every weight a second key.
        self._timm = (net,)
        for content in ('_modules', '_parameters', '_buffers', '_non_persistent_buffers_set'):
            self.__dict__[content] = net.__dict__[content]
        try:
            self._find_stages()
        except NotAChain as error:
            raise refuse(model_name, str(error)) from error

    @property
    def timm(self) -> nn.Module:
        """timm's own network, with the same modules."""
        return self._timm[0]

    @property
    def parts(self) -> Cut:
        """The names of its modules: stem, stages, neck."""
        return self._cut

    def train(self, mode: bool = True) -> 'TimmBackbone':
        self.timm.training = mode  # its head asks; the modules are switched as ours
        return super().train(mode)

    def stage_names(self, images: Tensor) -> list:
        return self._cut.stages

    def pooled(self, tap: Tensor) -> Tensor:
        return self.timm.forward_head(run(self, self._cut.neck, tap), pre_logits=True).flatten(1)

    def classify(self, vector: Tensor) -> Tensor:
        classifier = self.timm.get_classifier()
        if isinstance(classifier, nn.Conv2d):
            return classifier(vector[:, :, None, None]).flatten(1)
        return classifier(vector)

    def fresh_tail(self, stage: int) -> nn.Sequential:
        """As the base class says. After the last stage:

        * as many blocks as it has, all copies of one that keeps width and resolution: the
          reference code's way. Each comes from a network of its own;
        * where no block of it does so (EfficientNet, MobileNet, VGG, DenseNet ...): a 1x1
          convolution with BN back to the width that enters the stage, unless that is the same,
          and the stage with its strides set to 1. Our decision: the paper has no such network.

        Raises:
            UserError: The last stage cannot be given stride 1.
        """
        stages, neck = self._cut.stages[stage + 1 :], self._cut.neck
        if stages:
            fresh = self._create()
            return nn.Sequential(*(_join(fresh, names) for names in stages), *_all(fresh, neck))
        if self._cut.block:
            blocks = [self._create().get_submodule(self._cut.block) for _ in range(self._cut.repeat)]
            last = nn.Sequential(*blocks)
            return nn.Sequential(last, *(_all(self._create(), neck) if neck else ()))
        fresh = self._create()
        tail = [single_stride(_join(fresh, self._cut.stages[-1])), *_all(fresh, neck)]
        before, last = self.channels[-2:]
        if before != last:
            tail.insert(0, nn.Sequential(nn.Conv2d(last, before, 1, bias=False), nn.BatchNorm2d(before)))
        tail = nn.Sequential(*tail)
        self._check_last_tail(tail)
        return tail

    def adapt_state_dict(self, state_dict: dict) -> dict:
        """``state_dict`` in this network's keys.

        What fits as it is stays as it is. Otherwise it goes through the converter that timm has
        for weights from elsewhere (torchvision's VGG, Facebook's ConvNeXt ...), and is given back
        unchanged where there is none or it fails: loading strictly then says what does not fit.
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
        """timm has one a file, by convention under one of these names."""
        entry = model_entrypoint(self._arguments['model_name'].split('.')[0])
        for module in (sys.modules[entry.__module__], sys.modules[type(self.timm).__module__]):
            for name in ('checkpoint_filter_fn', '_filter_fn', '_filter_torchvision_pretrained'):
                if hasattr(module, name):
                    return getattr(module, name)
        return None

    def _create(self, pretrained: bool = False) -> nn.Module:
        """A new network, the same but for its random weights."""
        name = self._arguments['model_name']
        try:
            return create_timm_model(**self._arguments, pretrained=pretrained)
        except TypeError as error:
            if 'zero_init_last' not in str(error) or self._arguments.get('zero_init_last'):
                raise UserError(
                    f"TimmBackbone passes its arguments on to timm's {name!r}, which "
                    f'says: {error}; correct or remove that argument.'
                ) from error
            del self._arguments['zero_init_last']  # this family always starts as it does
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
        """Cut the network, and check that the pieces make the whole."""
        mode, net = self.training, self.timm
        missing = [part for part in ('forward_features', 'forward_head', 'get_classifier') if not hasattr(net, part)]
        if missing:
            raise NotAChain(f'has no {missing[0]}')
        if not isinstance(net.get_classifier(), nn.Module):
            raise NotAChain('has several classifiers')
        self.eval()
        size = (getattr(net, 'pretrained_cfg', None) or {}).get('input_size', (3, 224, 224))[-1]
        self._cut, image = probe(net, (PROBE, size))
        taps, kept, features = [], [], image
        for names in self._cut.stages:
            features = run(self, names, features)
            taps.append(features)
            kept.append(features.clone())
        features = run(self, self._cut.neck, taps[-1])
        if not torch.equal(features, net.forward_features(image)):
            raise NotAChain('computes something else than its modules do one after another')
        if not torch.equal(self.forward_head(taps[-1]), net(image)):
            raise NotAChain(
                'computes something else than its forward_head(pre_logits=True) and its classifier do one after another'
            )
        if not all(map(torch.equal, taps, kept)):
            raise NotAChain('overwrites a feature map that branches would read')
        self.channels = tuple(tap.shape[1] for tap in taps)
        self.num_features = self.pooled(taps[-1]).shape[1]
        self.tail_channels = features.shape[1]
        if getattr(net, 'drop_rate', 0):
            self._check_dropout(taps[-1])
        self.train(mode)

    def _check_dropout(self, tap: Tensor) -> None:
        """In train mode the two halves of the head drop what the whole drops."""
        buffers = [buffer.clone() for buffer in self.buffers()]
        tap = tap.repeat(2, 1, 1, 1)
        self.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            ours = self.forward_head(tap)
            torch.manual_seed(0)
            theirs = self.timm.forward_head(run(self, self._cut.neck, tap))
        for buffer, before in zip(self.buffers(), buffers):
            buffer.copy_(before)
        if not torch.equal(ours, theirs):
            raise UserError(
                f"timm's {self._arguments['model_name']!r} drops out between "
                f'forward_head(pre_logits=True) and its classifier, where '
                f'TimmBackbone does not: set drop_rate=0.'
            )

    def _check_last_tail(self, tail: nn.Sequential) -> None:
        """Run once: same resolution, same width."""
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
    """The stage of these names: one module as it is, several as a sequence."""
    modules = _all(net, names)
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)
