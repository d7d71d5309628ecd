"""A backbone in a file of its own: a plain state dict that knows how its input was normalised.

Two formats hold the same: ``.pth`` (an ``OrderedDict`` of tensors under torchvision's key names,
which anything that reads state dicts reads) and ``.safetensors``. What the weights alone do not
say stands in the metadata under ``hsakd_mm``: ``OrderedDict._metadata`` in the one, the string
header in the other.
"""

import json
import os
from collections import OrderedDict
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hsakd_mm.checkpoints.loading import METADATA, load_checkpoint, sha256
from hsakd_mm.files import write_atomically

FORMAT_VERSION = 1
# How timm, torchvision and our CIFAR families name the classifier; `pre_logits.` is VGG's fc1, fc2.
HEADS = ('fc.', 'classifier.', 'head.', 'linear.', 'last_linear.', 'pre_logits.')
FORMATS = ('.pth', '.safetensors')


@dataclass
class BackboneFile:
    """What was read from one file.

    Args:
        path (str): The file.
        state_dict (dict[str, Tensor]): Its tensors, on the CPU.
        metadata (dict): Ours; empty for a file from elsewhere.
        sha256 (str): Of the file.
    """

    path: str
    state_dict: dict
    metadata: dict = field(default_factory=dict)
    sha256: str = ''

    @property
    def normalisation(self) -> dict:
        """``mean`` and ``std``, RGB, in units of 0..255; empty where the file does not say."""
        return self.metadata.get('normalisation', {})

    @property
    def parameters(self) -> int:
        """Learnt numbers, that is without BatchNorm's statistics."""
        buffers = ('running_mean', 'running_var', 'num_batches_tracked')
        return sum(value.numel() for key, value in self.state_dict.items() if not key.endswith(buffers))


def read_backbone(path: str) -> BackboneFile:
    """Read a ``.pth`` or ``.safetensors`` file of weights, ours or anyone's.

    Raises:
        UserError: No such file, or no state dict in it.
    """
    content = load_checkpoint(path)
    state_dict = content['state_dict']
    inside = getattr(state_dict, '_metadata', None) or {}
    metadata = inside.get(METADATA) or (content.get('meta') or {}).get(METADATA) or {}
    if fetched := (content.get('meta') or {}).get('normalisation'):  # of timm:// weights
        metadata = {'normalisation': fetched, **metadata}
    digest = sha256(path) if os.path.isfile(path) else ''
    return BackboneFile(path, dict(state_dict), metadata, digest)


def write_backbone(state_dict: OrderedDict, metadata: dict, path: str) -> None:
    """Write one file whole or not at all; the format follows the ending.

    The bytes depend on the contents only, so that the same export has the same SHA-256.

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
        state_dict._metadata = {**getattr(state_dict, '_metadata', {}), METADATA: metadata}
        write_atomically(path, lambda file: torch.save(state_dict, file))


def is_head(key: str) -> bool:
    """Whether a key is the classifier's, which a detector has no use for."""
    # ConvNeXt normalises its features in its head.
    return key.startswith(HEADS) and not key.startswith('head.norm')


def plain_tensor(value: Tensor) -> Tensor:
    """On the CPU, contiguous, sharing memory with nothing, floating point as float32."""
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).contiguous().clone()
