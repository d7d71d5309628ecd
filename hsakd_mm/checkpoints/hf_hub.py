"""Weights of the Hugging Face hub: ``hf-hub:OWNER/NAME``, with ``@REVISION`` for another than the newest.

They are read as data: ``config.json`` as JSON, ``model.safetensors`` (else ``pytorch_model.bin``, tensors only). What
the network is stands in our own config; the weights have to fit it.
"""

import json
import os
from collections.abc import Mapping

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hsakd_mm.checkpoints.reading_files import METADATA, read_file
from hsakd_mm.files import sha256

SCHEME = 'hf-hub:'  # timm's own
WEIGHTS = ('model.safetensors', 'pytorch_model.bin')


def is_hub_name(name: str) -> bool:
    """Whether a word for a checkpoint names a repository of the hub; ``timm://hf-hub:`` is an older spelling."""
    return str(name).removeprefix('timm://').startswith(SCHEME)


def repository_of(name: str) -> str:
    """``OWNER/NAME`` or ``OWNER/NAME@REVISION`` of such a word."""
    return name.removeprefix('timm://').removeprefix(SCHEME)


def read_repository(name: str) -> dict:
    """The weights of a repository, as :func:`~.loading.load_checkpoint` gives them.

    ``meta`` has ``normalisation`` where the repository's config names it, ``revision``, the commit that was read, and
    the ``sha256`` of the file.

    Raises:
        OSError, ValueError: There is no such repository or file, it may not be read, or there is no network and no
            copy in the cache.
    """
    file = _download(name, *WEIGHTS)
    if file is None:
        raise FileNotFoundError(f'it holds neither {" nor ".join(WEIGHTS)}')
    content = read_file(file)
    if not isinstance(content, Mapping):
        return dict(state_dict=content)  # said to be none by load_checkpoint
    if not isinstance(content.get('state_dict'), Mapping):
        content = dict(state_dict=content)
    meta = dict(content.get('meta') or {})
    config = _config(name)
    if not (meta.get(METADATA) or {}).get('normalisation') and config.get('mean') and config.get('std'):
        meta['normalisation'] = {key: [255 * value for value in config[key]] for key in ('mean', 'std')}
    return {**content, 'meta': dict(meta, revision=_revision(file), sha256=sha256(file))}


def address_of(name: str) -> str:
    return f'{constants.ENDPOINT}/{repository_of(name).partition("@")[0]}'


def advice_without_internet(name: str) -> str:
    """What to do where the repository cannot be read."""
    folder = f'models--{repository_of(name).partition("@")[0].replace("/", "--")}'
    return (
        f'see that {address_of(name)} is there (a private one needs a token in HF_TOKEN); on a machine without '
        f"internet name a copy of its {WEIGHTS[0]}, or put {folder} of another machine's Hugging Face cache into "
        f'{constants.HF_HUB_CACHE}'
    )


def _download(name: str, *files: str) -> str | None:
    """The path of the first of these files that the repository has, in the cache; None if it has none."""
    repository, _, revision = repository_of(name).partition('@')
    for file in files:
        try:
            return hf_hub_download(repository, file, revision=revision or None, library_name='hsakd_mm')
        except LocalEntryNotFoundError:  # no network
            raise
        except RepositoryNotFoundError as error:
            raise FileNotFoundError('there is no such repository, or it is private') from error
        except RevisionNotFoundError as error:
            raise FileNotFoundError(f'it has no revision {revision!r}') from error
        except EntryNotFoundError:
            continue
    return None


def _config(name: str) -> dict:
    """What timm says of the weights; in older repositories it stands at the top."""
    file = _download(name, 'config.json')
    if file is None:
        return {}
    with open(file, encoding='utf-8') as content:
        config = json.load(content)
    return config.get('pretrained_cfg', config) if isinstance(config, dict) else {}


def _revision(file: str) -> str:
    """The commit in the path of a file in the cache, ``.../snapshots/COMMIT/FILE``."""
    return os.path.basename(os.path.dirname(file))
