"""The timm network of a trained backbone: its architecture, its arguments, and what timm calls ``pretrained_cfg``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from timm.models import filter_pretrained_cfg
from torch import nn

from hsakd_mm.checkpoints.loading import load_strict
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones.timm_model import create_network

# Of a backbone's config, what is no argument of timm's network, or changes only how it is trained.
OURS = ('num_classes', 'zero_init_last', 'with_cp')
# What would have timm read other files than the checkpoint.
SOURCES = ('pretrained', 'checkpoint_path', 'pretrained_cfg', 'pretrained_cfg_overlay', 'cache_dir')
# Of timm's own description of a network, what is true of its own weights only.
THEIRS = ('tag', 'license', 'description', 'origin_url', 'paper_name', 'paper_ids', 'notes', 'label_offset')
THEIRS_INPUT = ('test_input_size', 'test_crop_pct', 'test_pool_size', 'min_input_size')


@dataclass
class TimmNetwork:
    """A network of timm with trained weights.

    Args:
        net (nn.Module): In eval mode.
        architecture (str): timm's name, without a tag.
        model_args (dict): Further arguments of ``timm.create_model``.
        pretrained_cfg (dict): ``mean`` and ``std`` in units of 0..1, ``input_size``, ``classifier`` ...
        labels (list[str] | None): Names of the classes in order.
    """

    net: nn.Module
    architecture: str
    model_args: dict = field(default_factory=dict)
    pretrained_cfg: dict = field(default_factory=dict)
    labels: list | None = None

    @property
    def num_classes(self) -> int:
        return self.net.num_classes

    def config(self) -> dict:
        """The content of ``config.json``, as ``timm.models.save_for_hf`` writes it."""
        content = dict(
            architecture=self.architecture,
            num_classes=self.num_classes,
            num_features=self.net.num_features,
            model_args=self.model_args,
            pretrained_cfg=self.pretrained_cfg,
        )
        if self.labels:
            content['label_names'] = self.labels
        return {key: value for key, value in content.items() if value != {}}


def timm_arguments(model_kwargs: Mapping) -> dict:
    """What of a ``TimmBackbone``'s arguments a trained network needs: drop rates, for one, act in training only."""
    return {
        key: value
        for key, value in model_kwargs.items()
        if key not in (*OURS, *SOURCES)
        and key not in ('drop_rate', 'drop_block_rate')
        and not key.endswith('_drop_rate')
        if key != 'drop_path_rate' and value is not None
    }


def timm_network(
    weights: Mapping, metadata: Mapping, seen: Mapping, source: str, with_head: bool = True
) -> TimmNetwork:
    """Build timm's network of an exported backbone and load it strictly.

    Args:
        weights (Mapping[str, Tensor]): Of :func:`~hsakd_mm.checkpoints.export.trained_backbone`, with the head.
        metadata (Mapping): Of the same.
        seen (Mapping): Of :func:`~hsakd_mm.hub.input_size.evaluated_input`; empty if not known.
        source (str): The checkpoint, for the errors.
        with_head (bool): Keep the classifier; else the network has ``num_classes=0``.

    Raises:
        UserError: timm has no architecture for the network.
    """
    kind, name = metadata.get('backbone_type') or 'no config', metadata.get('model_name')
    if kind != 'TimmBackbone' or not name:
        raise UserError(
            f'a network of timm was expected in {source}, and its backbone is {kind}, for which timm has no '
            f'architecture: leave out --timm-folder and --push-to-hub; what is written without them, and --onnx, '
            f'hold any backbone.'
        )
    if metadata['normalisation'].get('channel_order', 'RGB') != 'RGB':
        raise UserError(f'a network of RGB images was expected in {source}, as timm feeds, and it was trained on BGR.')
    arguments = timm_arguments(metadata['model_kwargs'])
    classes = metadata['model_kwargs'].get('num_classes', 1000)
    architecture = name.partition('.')[0]
    net = create_network(dict(arguments, model_name=architecture, num_classes=classes)).eval()
    load_strict(net, weights, source, f"timm's {architecture}")
    pretrained_cfg = _describe(net, metadata['normalisation'], seen)
    labels = list(metadata.get('classes') or []) if with_head else []
    if not with_head:
        net.reset_classifier(0)
        pretrained_cfg['num_classes'] = 0
    return TimmNetwork(net, architecture, arguments, pretrained_cfg, labels if len(labels) == net.num_classes else None)


def _describe(net: nn.Module, normalisation: Mapping, seen: Mapping) -> dict:
    own = filter_pretrained_cfg(net.pretrained_cfg, remove_source=True, remove_null=True)
    described = {key: value for key, value in own.items() if key not in (*THEIRS, *THEIRS_INPUT, 'architecture')}
    for key in ('mean', 'std'):
        values = [round(value / 255, 9) for value in normalisation[key]]
        described[key] = values * 3 if len(values) == 1 else values
    if seen.get('input_size') and tuple(seen['input_size']) != tuple(own['input_size']):
        described['pool_size'] = None  # that of timm's own size
    return dict(described, num_classes=net.num_classes, custom_load=False, **seen)
