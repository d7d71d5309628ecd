"""The backbone as an ONNX graph: images in, feature maps out, of any batch and, where the network allows, any size."""

import json
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from hsakd_mm.checkpoints.export import trained_backbone
from hsakd_mm.checkpoints.loading import load_strict, sha256
from hsakd_mm.checkpoints.reading_files import METADATA
from hsakd_mm.errors import UserError
from hsakd_mm.files import write_atomically
from hsakd_mm.hub.timm_network import SOURCES
from hsakd_mm.models import backbones
from hsakd_mm.models.backbones import StagedBackbone

NEEDED = ('onnx', 'onnxscript')
AXES = {0: 'batch', 2: 'height', 3: 'width'}
IMAGES = 'images'


@dataclass
class OnnxFile:
    """A graph that was written.

    Args:
        path (str): The file.
        sha256 (str): Of it.
        inputs (list): The shape of ``images``; numbers, and names of the axes that may change.
        outputs (list[str]): Names of the feature maps (``stride4`` ..., of one stride ``map1`` ...), then ``logits``.
        difference (float | None): The largest difference of a number to torch, as onnxruntime computes the graph; None
            where it is not installed.
    """

    path: str
    sha256: str
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    difference: float | None = None


class _Maps(nn.Module):
    """Feature maps, and with ``logits`` the class logits, of normalised images ``[B, 3, H, W]``."""

    def __init__(self, backbone: StagedBackbone, logits: bool) -> None:
        super().__init__()
        self.backbone, self.logits = backbone, logits

    def forward(self, images: Tensor) -> tuple:
        features, maps = self.backbone.forward_intermediates(images)
        return (*maps, self.backbone.forward_head(features)) if self.logits else tuple(maps)


def write_onnx(checkpoint: str, path: str, prefix: str = 'backbone.', with_head: bool = False) -> OnnxFile:
    """Write the backbone of a training checkpoint as an ONNX file.

    The graph takes images as the network does, RGB and normalised; ``mean`` and ``std`` are in its metadata, with all
    that :func:`~hsakd_mm.checkpoints.export.trained_backbone` says.

    Args:
        checkpoint (str): A checkpoint of tools/train.py, of any backbone of ours.
        path (str): The file.
        prefix (str): As in :func:`~hsakd_mm.checkpoints.export.trained_backbone`.
        with_head (bool): Give class logits too.

    Raises:
        UserError: A package is missing, it is another project's backbone, or torch cannot export it.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        lacking = f'{" and ".join(missing)} {"is" if len(missing) == 1 else "are"} not installed'
        raise UserError(
            f'--onnx needs the packages {" and ".join(NEEDED)}, and {lacking}: run pip install "hsakd_mm[onnx]".'
        )
    weights, metadata = trained_backbone(checkpoint, with_head=True, prefix=prefix)
    backbone = _backbone(metadata, checkpoint)
    load_strict(backbone, weights, checkpoint, 'backbone')
    model = _Maps(backbone.eval(), with_head).eval()
    images = _images(backbone)
    axes = AXES if _takes_other_sizes(backbone, images) else {0: AXES[0]}
    return _write(model, images, axes, dict(metadata, with_head=with_head), path)


def _backbone(metadata: Mapping, checkpoint: str) -> StagedBackbone:
    kind = metadata.get('backbone_type') or ''
    if kind not in backbones.__all__:  # a file names no code to run
        raise UserError(
            f'a backbone of hsakd_mm was expected in {checkpoint}, and it is {kind or "unknown"!r}: export it with the '
            f'project that it is from, a detector of MMDetection with MMDeploy.'
        )
    arguments = {key: value for key, value in metadata['model_kwargs'].items() if key not in (*SOURCES, 'with_cp')}
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    if metadata.get('model_name'):
        arguments['model_name'] = metadata['model_name']
    return getattr(backbones, kind)(**arguments)


def _images(backbone: StagedBackbone) -> Tensor:
    """Two images in a size that the network takes, neither of whose numbers is one."""
    size = backbone.trial_size
    if isinstance(backbone, backbones.TimmBackbone) and backbone.intermediates is not None:
        size = backbone.image_size
    return torch.linspace(-2, 2, 2 * 3 * size[0] * size[1]).sin().view(2, 3, *size)


@torch.no_grad()
def _takes_other_sizes(backbone: StagedBackbone, images: Tensor) -> bool:
    """Whether the network takes images of another height and width, as most transformers do not."""
    height, width = images.shape[2:]
    try:
        backbone.forward_intermediates(images.new_zeros(1, 3, height + 32, width + 64))
    except (UserError, RuntimeError, AssertionError):
        return False
    return True


def _write(model: _Maps, images: Tensor, named: dict, metadata: dict, path: str) -> OnnxFile:
    import onnx

    strides = model.backbone.strides
    names = [f'stride{each}' for each in strides]
    if len(set(strides)) < len(strides):
        names = [f'map{number}' for number in range(1, len(strides) + 1)]
    names += ['logits'] if model.logits else []
    axes = dict.fromkeys(named, torch.export.Dim.AUTO)  # an axis that the network fixes becomes a number
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')
            program = torch.onnx.export(
                model, (images,), dynamo=True, dynamic_shapes=dict(images=axes), input_names=[IMAGES],
                output_names=names, external_data=False, verbose=False,
            )  # fmt: skip
    except Exception as error:  # each layer has its own reasons
        cause = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f'torch {torch.__version__} was expected to export {type(model.backbone).__name__} to ONNX, and it cannot '
            f'({cause}): use --timm-folder, or another network.'
        ) from error
    graph = program.model_proto
    inputs = _name_axes(graph, named)
    entry = graph.metadata_props.add()
    entry.key, entry.value = METADATA, json.dumps(metadata, sort_keys=True)
    onnx.checker.check_model(graph)
    write_atomically(path, lambda file: file.write(graph.SerializeToString()))
    return OnnxFile(path, sha256(path), inputs, names, _difference(model, images[:1], path))


def _name_axes(graph, named: dict) -> list:
    """Give the axes that may change their names (torch calls them s34, ...); returns the shape of the images."""
    shape = graph.graph.input[0].type.tensor_type.shape.dim
    renamed = {shape[axis].dim_param: name for axis, name in named.items() if shape[axis].dim_param}
    values = [*graph.graph.input, *graph.graph.output, *graph.graph.value_info]
    for dim in (dim for value in values for dim in value.type.tensor_type.shape.dim if dim.dim_param):
        dim.dim_param = re.sub(r'\w+', lambda word: renamed.get(word[0], word[0]), dim.dim_param)
    return [dim.dim_param or dim.dim_value for dim in shape]


@torch.no_grad()
def _difference(model: _Maps, images: Tensor, path: str) -> float | None:
    """The largest difference between torch and onnxruntime, of one image; None without onnxruntime."""
    if find_spec('onnxruntime') is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(os.path.abspath(path), providers=['CPUExecutionProvider'])
    batch = session.get_inputs()[0].shape[0]
    images = images if isinstance(batch, str) else images.expand(batch, -1, -1, -1)
    found = session.run(None, {IMAGES: images.numpy()})
    return max((torch.from_numpy(one) - other).abs().max().item() for one, other in zip(found, model(images)))
