"""The file of an exported backbone: a plain state dict with the input normalisation as metadata.

There are two equivalent formats: ``.pth``, an ``OrderedDict`` of tensors with torchvision's key
names that any reader of state dicts can load, and ``.safetensors``. The metadata are stored under
the key ``hsakd_mm``: in ``OrderedDict._metadata`` or in the header of the safetensors file.
"""

import json
import os
import re
from collections import OrderedDict
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hsakd_mm.checkpoints.loading import load_checkpoint, sha256
from hsakd_mm.checkpoints.normalisation import trained_normalisation
from hsakd_mm.checkpoints.reading_files import METADATA, exported_metadata
from hsakd_mm.errors import UserError
from hsakd_mm.files import write_atomically

FORMAT_VERSION = 1
# Key prefixes of the classifier in timm, torchvision and our CIFAR networks; VGG's `pre_logits.` is fc1, fc2.
HEADS = tuple(
    f'{name}.'
    for name in (
        *('fc', 'classifier', 'classif', 'head', 'heads', 'heads_dist', 'head_dist', 'aux_head', 'linear'),
        *('last_linear', 'pre_logits'),
    )
)
# Layers under `head.` that timm keeps with num_classes=0: they make the features (ConvNeXt's norm, HGNet's last
# convolution, the attention of CLIP's ResNets, all of SelecSLS's head).
FEATURES = re.compile(
    r'head\.(norm|in_conv|last_conv|pre_logits|pre_classifier|fc1|classifier\.[01]|[qkv]\.|pos_embed|\d+\.\d)'
)
FORMATS = ('.pth', '.safetensors')


@dataclass
class BackboneFile:
    """The contents of one file.

    Args:
        path (str): The file.
        state_dict (dict[str, Tensor]): Its tensors, on the CPU.
        metadata (dict): What :func:`~.export.export_backbone` stored; of other files the
            ``normalisation`` in their config, if they have one.
        sha256 (str): SHA-256 of the file.
        content (dict): All that is in the file, for :func:`~.readings.find_reading`.
    """

    path: str
    state_dict: dict
    metadata: dict = field(default_factory=dict)
    sha256: str = ''
    content: dict = field(default_factory=dict)

    @property
    def normalisation(self) -> dict:
        """``mean`` and ``std`` in units of 0..255, and ``channel_order``; empty if the file does not have them."""
        return self.metadata.get('normalisation', {})

    @property
    def parameters(self) -> int:
        """Number of learnt parameters, without BatchNorm's statistics."""
        buffers = ('running_mean', 'running_var', 'num_batches_tracked')
        return sum(value.numel() for key, value in self.state_dict.items() if not key.endswith(buffers))


def read_backbone(path: str) -> BackboneFile:
    """Read a ``.pth`` or ``.safetensors`` file of weights, exported by us or not.

    Raises:
        UserError: No such file, or no state dict in it.
    """
    content = load_checkpoint(path)
    state_dict = content['state_dict']
    metadata = exported_metadata(content)
    try:
        normalisation = trained_normalisation(content, path)
    except UserError:  # a config that is more than values: the weights can be used without it
        normalisation = {}
    if normalisation:
        metadata = {'normalisation': normalisation, **metadata}
    digest = sha256(path) if os.path.isfile(path) else (content.get('meta') or {}).get('sha256', '')
    return BackboneFile(path, dict(state_dict), metadata, digest, content)


def write_backbone(state_dict: OrderedDict, metadata: dict, path: str) -> None:
    """Write one file atomically, in the format of its extension.

    The bytes depend on the contents only: the same export has the same SHA-256.

    Raises:
        UserError: It cannot be written (no space, no permission).
    """
    if path.endswith('.safetensors'):
        from safetensors.torch import save

        # One entry: with several, their order in the file would differ from run to run.
        header = {METADATA: json.dumps(metadata, sort_keys=True)}
        content = save(dict(state_dict), metadata=header)
        write_atomically(path, lambda file: file.write(content))
    else:
        state_dict = state_dict.copy()
        own = {**getattr(state_dict, '_metadata', {}), METADATA: metadata}
        state_dict._metadata = own  # type: ignore[attr-defined]  # where torch keeps its layers' versions
        write_atomically(path, lambda file: torch.save(state_dict, file))


def is_head(key: str) -> bool:
    """Whether a key belongs to the classifier, which a detector does not use."""
    return key.startswith(HEADS) and not FEATURES.match(key)


def plain_tensor(value: Tensor) -> Tensor:
    """A contiguous copy on the CPU; floating point as float32."""
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).contiguous().clone()
