"""Networks by name: a student, or a teacher with its weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import DefaultScope
from torch import Tensor, nn

from hsakd_mm.checkpoints.class_names import class_names
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.normalisation import trained_normalisation
from hsakd_mm.checkpoints.pretrained import load_or_advise, load_without_head, require_rgb
from hsakd_mm.checkpoints.source import IMAGENET
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import StagedBackbone
from hsakd_mm.models.distillers.base import BaseDistiller
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS

from .images import ImageModule
from .plain_values import plain_settings

GIVEN = '(the given network)'  # in place of a method's `checkpoint`: its weights are in the network already
CURE = 'name a file of weights, or the folder of a training, its work directory.'  # of a path where there is none


class Network(ImageModule):
    """A network that classifies images as a loader gives them: it normalises them itself.

    :func:`build_network` and :func:`load` make them. As with any module, ``network(images)`` are class logits
    ``[B, N]`` of images ``[B, 3, H, W]``, RGB, uint8 in 0..255 or floating point in 0..1.

    Attributes:
        model (BaseDistiller): Backbone, and what a method has beside it: a teacher's branches.
        model_config (dict): Its config.
        classes (tuple[str] | None): Names of the classes in order.
        method (str): By which the backbone was trained last.
        left_out (set[str]): Names of the backbone's parameters that this method does not train.
    """

    def __init__(self, model: BaseDistiller, model_config: dict) -> None:
        super().__init__()
        self.model = model
        self.model_config = model_config
        self.method: str = model_config['type']
        self.left_out: set[str] = set()

    @property
    def backbone(self) -> StagedBackbone:
        """The network itself, under timm's key names where it is one of timm."""
        return self.model.backbones[0]

    @property
    def frozen(self) -> bool:
        """Whether nothing of the backbone is trained, as of one that has been a teacher."""
        return not any(parameter.requires_grad for parameter in self.backbone.parameters())

    def forward(self, images: Tensor) -> Tensor:
        return self.model.logits(self.prepared(images)['inputs'])

    def extra_repr(self) -> str:
        return f'mean={self.mean}, std={self.std}'


def build_network(
    name: str,
    num_classes: int,
    *,
    weights: str | None = None,
    new_head: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **arguments: Any,
) -> Network:
    """Build a network, random or with trained weights.

    Args:
        name (str): timm's name (``'resnet18'``), or one of our backbones (``'CifarResNet'``).
        num_classes (int): N.
        weights (str): All weights are loaded strictly: a file (of weights, of ours or of another project), a work
            directory, or a name that is downloaded (``'timm://resnet34.a1_in1k'``, ``'torchvision://resnet34'``).
        new_head (bool): Load everything but the classifier, which stays random: for weights of other classes.
        mean (Sequence[float]): Normalisation of the images, RGB, in units of 0..255. By default that which the
            weights were trained with, as far as the file says; else ImageNet's.
        std (Sequence[float]): As ``mean``.
        **arguments: Of ``timm.create_model`` or of the backbone: ``drop_path_rate=0.1``, ``depth=20``; plain values,
            which a file can hold. ``pretrained`` is not among them: ``weights`` names what is loaded.

    Raises:
        UserError: No such network, argument or weights; they do not fit, were trained with another normalisation or on
            BGR images, or hold NaN.

    Example:
        >>> build_network('resnet18', num_classes=10).backbone.channels
        (64, 128, 256, 512)
    """
    backbone = backbone_config(name, num_classes, arguments)
    if backbone['type'] == 'TimmBackbone' and backbone.get('pretrained'):
        raise UserError(
            f'trained weights were expected by their name, with which they bring their normalisation, and there is '
            f"pretrained={backbone['pretrained']!r}: set weights='timm://{backbone['model_name']}' in its place."
        )
    content: Mapping = {}
    if weights is not None:
        content = load_checkpoint(weights := find_checkpoint(weights, CURE))
    normalisation = _normalisation(mean, std, content, weights)
    network = network_of(dict(type='Classifier', backbone=backbone, data_preprocessor=normalisation))
    if weights is not None:
        with isolated_rng('weights'):  # timm draws weights before it loads them
            args = (network.backbone, weights, 'network', network.model.data_preprocessor)
            if new_head:
                load_without_head(*args)
            else:
                load_or_advise(*args, 'for a new classifier of your own classes, set new_head=True.')
                network.classes = class_names(content)
    return network


def backbone_config(name: str, num_classes: int, arguments: dict) -> dict:
    """The config of a backbone by timm's name or ours.

    Raises:
        UserError: The name or the number of classes is none.
    """
    if not isinstance(name, str):
        raise UserError(
            f"a network's name was expected, as 'resnet18', and there is a {type(name).__name__}: networks are "
            f'built by name, and build_network(...).backbone.load_state_dict(...) takes the weights of a timm network.'
        )
    num_classes = plain_settings(dict(num_classes=num_classes))['num_classes']
    arguments = plain_settings(arguments)
    if not isinstance(num_classes, int) or num_classes < 1:
        raise UserError(f'num_classes is a number of classes, at least 1, and it is {num_classes!r}: count yours.')
    kind = MODELS.module_dict.get(name)
    if isinstance(kind, type) and issubclass(kind, StagedBackbone) and 'model_name' not in arguments:
        return dict(arguments, type=name, num_classes=num_classes)
    return dict(arguments, type='TimmBackbone', model_name=name, num_classes=num_classes)


def network_of(model_config: dict) -> Network:
    """Build the model of a config with one backbone, as a network.

    Raises:
        UserError: As the model's and its backbone's constructors, which are not given what they do not know.
    """
    with DefaultScope.overwrite_default_scope('hsakd_mm'):
        try:
            return Network(MODELS.build(dict(model_config)), model_config)
        except TypeError as error:
            raise UserError(
                f'{model_config["backbone"]["type"]} cannot be built ({error}): correct the arguments.'
            ) from error


def given(module: nn.Module, config: dict, **changes) -> nn.Module:
    """Stands for ``type`` in the config of a backbone that exists already.

    A method that wants it changed, as CSS its number of classes, gets a new one.
    """
    if all(getattr(module, name, None) == value for name, value in changes.items()):
        return module
    return MODELS.build({**config, **changes})


def _normalisation(mean, std, content: Mapping, weights: str | None) -> dict:
    if (mean is None) != (std is None):
        raise UserError('mean and std were expected together, and one is missing: give both, or neither.')
    if mean is None or std is None:
        known = trained_normalisation(content, str(weights)) if content else {}
        require_rgb(known, str(weights))
        mean, std = (known or IMAGENET)['mean'], (known or IMAGENET)['std']
    else:
        mean, std = (_three_numbers(value, name) for name, value in (('mean', mean), ('std', std)))
        if max(std) <= 1:
            raise UserError(
                f'mean and std were expected in units of 0..255, as in std={IMAGENET["std"]}, and '
                f'std is {std}: multiply both by 255.'
            )
    return dict(type='ImagePreprocessor', mean=list(mean), std=list(std))


def _three_numbers(value, name: str) -> list[float]:
    try:
        numbers = [float(each) for each in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 3 or isinstance(value, str):
        raise UserError(
            f'mean and std were expected to have three numbers each, of red, green and blue in units of 0..255, and '
            f'{name} is {value!r}: write it as in {name}={IMAGENET[name]}.'
        )
    return numbers
