"""Networks of timm as staged backbones, under timm's (and torchvision's) own key names."""
import difflib

import timm
import torch.nn.functional as F
from timm.models import is_model_in_modules
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS

from .staged import StagedBackbone


def create_timm_model(model_name: str, **kwargs) -> nn.Module:
    """``timm.create_model`` that answers an unknown name with the nearest known ones."""
    if not timm.is_model(model_name):
        near = difflib.get_close_matches(model_name.split('.')[0], timm.list_models(), n=3)
        hint = f'did you mean {" or ".join(near)}?' if near else 'timm.list_models() lists them.'
        raise UserError(f'timm {timm.__version__} has no model named {model_name!r}: {hint}')
    return timm.create_model(model_name, **kwargs)


@MODELS.register_module()
class TimmBackbone(StagedBackbone):
    """A timm network whose children become this module's own.

    The state dict therefore has exactly timm's keys (``conv1.weight``, ``layer1.0.conv1.weight``,
    ``fc.weight``), which for ResNets are torchvision's and MMDetection's as well: no prefix to
    strip, none to forget.

    Args:
        model_name (str): timm's name. The ResNet family is staged so far.
        num_classes (int): N.
        pretrained (bool): Load timm's weights for that name. ``False`` by default.
        zero_init_last (bool): Start residual branches at zero. HSAKD's code does not
            (``zero_init_residual=False``), so neither do we; timm's default is ``True``.
        **kwargs: Passed to ``timm.create_model``.

    Raises:
        UserError: The name is unknown to timm, or its family is not staged here.

    Example:
        >>> net = TimmBackbone('resnet18', num_classes=10)
        >>> [tuple(tap.shape) for tap in net.forward_taps(torch.rand(2, 3, 64, 64))]
        [(2, 64, 16, 16), (2, 128, 8, 8), (2, 256, 4, 4), (2, 512, 2, 2)]
    """

    stem = ('conv1', 'bn1', 'act1', 'maxpool')
    stages = ('layer1', 'layer2', 'layer3', 'layer4')

    def __init__(self, model_name: str, num_classes: int, pretrained: bool = False,
                 zero_init_last: bool = False, **kwargs) -> None:
        super().__init__()
        self._create = dict(kwargs, model_name=model_name, num_classes=num_classes,
                            zero_init_last=zero_init_last)
        if timm.is_model(model_name) and not is_model_in_modules(model_name, ['resnet']):
            raise UserError(f'TimmBackbone knows the stages of the ResNet family, and '
                            f'{model_name!r} is of another: choose a ResNet, such as resnet18, '
                            f'resnet34 or resnet50.')
        net = create_timm_model(**self._create, pretrained=pretrained)
        self.num_classes = num_classes
        self.drop_rate = net.drop_rate
        info = {entry['module']: entry for entry in net.feature_info}
        self.strides = tuple(info[stage]['reduction'] for stage in self.stages)
        self.channels = tuple(info[stage]['num_chs'] for stage in self.stages)
        self.num_features = self.tail_channels = self.channels[-1]
        for name, child in net.named_children():
            self.add_module(name, child)

    def forward_taps(self, images: Tensor) -> list:
        features = images
        for name in self.stem:
            features = getattr(self, name)(features)
        taps = []
        for name in self.stages:
            features = getattr(self, name)(features)
            taps.append(features)
        return taps

    def pooled(self, tap: Tensor) -> Tensor:
        return F.dropout(self.global_pool(tap), self.drop_rate, self.training)

    def classify(self, vector: Tensor) -> Tensor:
        return self.fc(vector)

    def fresh_tail(self, stage: int) -> nn.Sequential:
        following = self.stages[stage + 1:]
        if following:
            fresh = create_timm_model(**self._create)
            return nn.Sequential(*(getattr(fresh, name) for name in following))
        # Every block of a stage but its first keeps width and resolution, so a whole stage of
        # such blocks is the last stage once more at stride 1.
        blocks = []
        for _ in getattr(self, self.stages[-1]):
            last = getattr(create_timm_model(**self._create), self.stages[-1])
            if len(last) < 2:
                raise UserError(
                    f'the last branch repeats a block of the last stage at stride 1, and that of '
                    f'{self._create["model_name"]!r} has a single block, which strides: choose a '
                    f'network with two blocks in its last stage.')
            blocks.append(last[1])
        return nn.Sequential(nn.Sequential(*blocks))
