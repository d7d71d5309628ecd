"""A folder that ``timm.create_model('local-dir:FOLDER', pretrained=True)`` loads, and the Hugging Face hub serves.

``config.json`` as timm writes it, ``model.safetensors`` under timm's names, and ``README.md``, the model card.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

import timm
import torch
from safetensors.torch import save

from hsakd_mm.checkpoints.export import trained_backbone
from hsakd_mm.checkpoints.loading import load_checkpoint, sha256
from hsakd_mm.checkpoints.reading_files import METADATA
from hsakd_mm.checkpoints.training_config import training_config
from hsakd_mm.errors import UserError
from hsakd_mm.files import write_atomically, write_json
from hsakd_mm.hub.input_size import evaluated_input
from hsakd_mm.hub.model_card import model_card
from hsakd_mm.hub.run_record import run_record
from hsakd_mm.hub.timm_network import TimmNetwork, timm_network

FILES = CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'


@dataclass
class TimmFolder:
    """What :func:`write_timm_folder` wrote: the folder, its network, and the SHA-256 of ``model.safetensors``."""

    folder: str
    network: TimmNetwork
    sha256: str
    checked: bool


def write_timm_folder(
    checkpoint: str, folder: str, prefix: str = 'backbone.', license_: str | None = None, repository: str = ''
) -> TimmFolder:
    """Write the backbone of a training checkpoint, with its classifier, as a folder of timm.

    A classifier that the method does not train (``learns_classes = False``) is left out. What was written is loaded
    again by timm, and has to be the same.

    Args:
        checkpoint (str): A checkpoint of tools/train.py, of a ``TimmBackbone``.
        folder (str): Where; existing files of these names are replaced.
        prefix (str): As in :func:`~hsakd_mm.checkpoints.export.trained_backbone`.
        license_ (str): Of the weights, by Hugging Face's name for it, such as ``apache-2.0``; None leaves it out.
        repository (str): ``OWNER/NAME`` that the folder is pushed to, for the model card.

    Raises:
        UserError: As :func:`~hsakd_mm.checkpoints.export.trained_backbone` and
            :func:`~hsakd_mm.hub.timm_network.timm_network`; or a file cannot be written.
    """
    weights, metadata = trained_backbone(checkpoint, with_head=True, prefix=prefix)
    content = load_checkpoint(checkpoint)
    config = training_config(content, checkpoint)
    record = run_record(checkpoint, content, config, metadata)
    network = timm_network(weights, metadata, evaluated_input(config), checkpoint, record.head_is_trained)
    tensors = {key: value.contiguous() for key, value in network.net.state_dict().items()}
    about = dict(metadata, with_head=record.head_is_trained)
    path = os.path.join(folder, WEIGHTS)
    write_atomically(path, lambda file: file.write(_safetensors(tensors, about)))
    write_json(os.path.join(folder, CONFIG), network.config())
    digest = sha256(path)
    card = model_card(network, record, digest, license_, repository)
    write_atomically(os.path.join(folder, CARD), lambda file: file.write(card.encode()))
    return TimmFolder(folder, network, digest, _check(network, folder))


def _safetensors(tensors: Mapping, metadata: dict) -> bytes:
    """A safetensors file with both metadata, ``format`` for transformers and ours, in the same order each time."""
    content = save(dict(tensors), metadata={'format': 'pt', METADATA: json.dumps(metadata, sort_keys=True)})
    end = 8 + int.from_bytes(content[:8], 'little')
    header = json.loads(content[8:end])
    header['__metadata__'] = dict(sorted(header['__metadata__'].items()))
    text = json.dumps({'__metadata__': header.pop('__metadata__'), **header}, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    return len(text).to_bytes(8, 'little') + text + content[end:]


@torch.no_grad()
def _check(network: TimmNetwork, folder: str) -> bool:
    """Whether timm was seen to build the same network from the folder; False if it is too old for ``local-dir:``.

    Raises:
        UserError: It builds another.
    """
    if not hasattr(timm.models._hub, 'load_model_config_from_path'):
        return False
    again = timm.create_model(f'local-dir:{folder}', pretrained=True).eval()
    own, theirs = network.net.state_dict(), again.state_dict()
    differ = [key for key in own if key not in theirs or not torch.equal(own[key], theirs[key])]
    differ += [key for key in theirs if key not in own]
    if differ:
        raise UserError(
            f'timm {timm.__version__} was expected to load {folder} as it was written, and {len(differ)} tensors '
            f'differ ({", ".join(differ[:3])}): please report it with the name {network.architecture!r}.'
        )
    return True
