"""Weights known by name: ``torchvision://resnet34``, ``timm://resnet34.a1_in1k``, ``hf-hub:me/net``, ``https://...``."""

import difflib
import hashlib
import os
from collections.abc import Callable, Mapping
from urllib.parse import urlparse

import timm
import torch
from huggingface_hub import constants
from mmengine.dist import is_main_process
from mmengine.runner.checkpoint import get_torchvision_models
from torch.hub import get_dir

from hsakd_mm.checkpoints.hf_hub import address_of, advice_without_internet, is_hub_name, read_repository
from hsakd_mm.checkpoints.reading_files import read_file
from hsakd_mm.errors import UserError
from hsakd_mm.processes import on_all_ranks


def is_fetched(name: str) -> bool:
    """Whether a word for a checkpoint is a name or an address to download, not a file or a folder."""
    return '://' in str(name) or is_hub_name(name)


def fetch(name: str) -> Mapping:
    """Download weights into the cache of torch or of Hugging Face, where a later call finds them.

    Rank 0 downloads, then all ranks read.

    Returns:
        Mapping: A state dict; of timm's weights and the hub's a checkpoint whose ``meta`` has ``normalisation``.

    Raises:
        UserError: There are no such weights, they cannot be downloaded (the sentence says which file a
            machine without internet needs, and where), or the address gives something else.
    """
    scheme, _, model = name.partition('://')
    load: Callable[[str], Mapping] = _from_address
    place = name
    if is_hub_name(name):
        load = read_repository
    elif scheme == 'torchvision':
        known = get_torchvision_models()
        if model not in known:
            raise _unknown(model, 'torchvision', known)
        load, place = _from_torchvision, known[model]
    elif scheme == 'timm':
        if not timm.models.is_model_pretrained(model):
            raise _unknown(model, 'timm', timm.list_pretrained())
        load, place = _from_timm, model

    def attempt() -> Mapping:
        try:
            return load(place)
        except (OSError, RuntimeError, ValueError) as error:  # no network, as on most compute nodes; no such repository
            origin, advice = _without_internet(scheme, place)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f'the weights {name} were to be fetched from {origin}, and that failed ({reason}): {advice}.'
            ) from error

    on_all_ranks(attempt if is_main_process() else lambda: None)
    return attempt()


def _without_internet(scheme: str, place: str) -> tuple[str, str]:
    """Where weights come from, and what to copy to a machine that cannot fetch them."""
    if is_hub_name(place):
        return address_of(place), advice_without_internet(place)
    config = timm.models.get_pretrained_cfg(place) if scheme == 'timm' else None
    if config and config.hf_hub_id:  # timm prefers it to an address
        repository = config.hf_hub_id.partition('@')[0]
        file = config.hf_hub_filename or 'model.safetensors'
        return f'https://huggingface.co/{repository}', (
            f'download {file} there with another machine and name that file instead; or call '
            f"timm.create_model('{place}', pretrained=True) on it and copy the folder "
            f'models--{repository.replace("/", "--")} from its Hugging Face cache '
            f'(~/.cache/huggingface/hub) into the one here, {constants.HF_HUB_CACHE}'
        )
    address = str(config.url) if config else place
    folder, file = os.path.split(_of_torch(address) if scheme in ('timm', 'torchvision') else _of_address(address))
    return address, (
        f'download it with another machine and name that file instead (in a config that is model.checkpoint, '
        f'model.load_backbone_from or default_hooks.distillation.checkpoint), or put it as {file} into {folder}'
    )


def _unknown(model: str, where: str, known) -> UserError:
    near = ' or '.join(difflib.get_close_matches(model, known, n=2)) or 'resnet34'
    return UserError(f'{where} has no weights named {model!r}: did you mean {near}?')


def _of_torch(url: str) -> str:
    """Where torch and timm keep what they download; the names of their own files hold a hash."""
    return os.path.join(get_dir(), 'checkpoints', os.path.basename(urlparse(url).path))


def _of_address(url: str) -> str:
    """Where a user's address is kept: two of them may end in the same file name."""
    stem, ending = os.path.splitext(_of_torch(url))
    return f'{stem}-{hashlib.sha256(url.encode()).hexdigest()[:8]}{ending}'


def _from_torchvision(url: str) -> Mapping:
    return _download(url, _of_torch(url))


def _from_address(url: str) -> Mapping:
    return _download(url, _of_address(url))


def _download(url: str, file: str) -> Mapping:
    if not os.path.isfile(file):
        os.makedirs(os.path.dirname(file), exist_ok=True)
        torch.hub.download_url_to_file(url, file)
    return read_file(file)


def _from_timm(name: str) -> dict:
    net = timm.create_model(name, pretrained=True)
    normalisation = {key: [255 * value for value in net.pretrained_cfg[key]] for key in ('mean', 'std')}
    return dict(state_dict=net.state_dict(), meta=dict(normalisation=normalisation))
