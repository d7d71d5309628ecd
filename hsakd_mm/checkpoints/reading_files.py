"""Read the file of a checkpoint, whatever its name ends in, or say what the file is instead.

Only tensors and plain values are unpickled (``weights_only``). Besides what torch allows, these
types are allowed, which checkpoints of other projects hold next to their weights and whose
construction runs no code of the file: numpy's scalars and number types, and ``argparse.Namespace``.
"""

import codecs
import json
import os
import re
import tarfile
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Mapping

import numpy as np
import torch

from hsakd_mm.errors import UserError

METADATA = 'hsakd_mm'  # key of an exported backbone's metadata
_scalar = np.float64(0).__reduce__()[0]
HARMLESS = [
    Namespace,
    np.dtype,
    *(type(np.dtype(name)) for name in ('f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'bool')),
    (_scalar, 'numpy.core.multiarray.scalar'),
    (_scalar, 'numpy._core.multiarray.scalar'),
]
_LEGACY = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'  # how files of torch before 1.6 begin
# First bytes of what is saved or downloaded under the name of a checkpoint.
_KINDS = (
    (b'version https://git-lfs', "a pointer of Git LFS, not the weights: run git lfs pull in the file's repository"),
    (b'\x1f\x8b', 'compressed with gzip: unpack it (gunzip, tar xzf)'),
    (b'BZh', 'compressed with bzip2: unpack it'),
    (b'\xfd7zXZ', 'compressed with xz: unpack it'),
    (b'\x28\xb5\x2f\xfd', 'compressed with zstd: unpack it'),
    (b'7z\xbc\xaf', 'a 7z archive: unpack it'),
    (b'Rar!', 'a RAR archive: unpack it'),
    (b'\x89HDF', "a HDF5 file, as Keras writes: export its weights as PyTorch's"),
    (b'\x93NUMPY', 'an array of numpy: save a state dict with torch.save'),
    (b'GGUF', "a GGUF file: name PyTorch's weights"),
)


def read_file(path: str):
    """The content of a ``.pth`` or ``.safetensors`` file, on the CPU.

    The format is found in the file's first bytes, not in its name.

    Returns:
        Any: What was saved; of safetensors ``dict(state_dict, meta)``.

    Raises:
        UserError: There is no such file, or it is something else; the sentence says what.
    """
    if os.path.isdir(path):
        files = sorted(name for name in os.listdir(path) if name.endswith(('.pth', '.pt', '.bin', '.safetensors')))
        there = f'it holds {", ".join(files[:4])}: name one' if files else 'it holds none: name a file'
        raise UserError(f'a checkpoint was expected at {path}, and that is a folder; {there}.')
    if not os.path.isfile(path):
        raise UserError(f'a checkpoint was expected at {path}, and there is no such file: check the path.')
    head = b''
    try:
        with open(path, 'rb') as file:
            head = file.read(512)
        if _is_safetensors(head):
            return _read_safetensors(path)
        # On exit the context forbids all of its globals, also those that were allowed before.
        allowed = torch.serialization.get_safe_globals()
        more = [each for each in HARMLESS if each not in allowed]
        with torch.serialization.safe_globals(more), warnings.catch_warnings(), open(path, 'rb') as file:
            warnings.simplefilter('ignore')  # about what is not read in the end
            # Not the path: torch 2.14 takes a file named .safetensors for one.
            return torch.load(file, map_location='cpu', weights_only=True)
    except Exception as error:  # each format has its own ways to say "not mine"
        raise UserError(_explain(path, head, error)) from error


def exported_metadata(content: Mapping) -> dict:
    """What :func:`~.export.export_backbone` stored in a file; empty for other files.

    Args:
        content (Mapping): The result of :func:`~.loading.load_checkpoint`.
    """
    inside = getattr(content['state_dict'], '_metadata', None) or {}
    return inside.get(METADATA) or (content.get('meta') or {}).get(METADATA) or {}


def _is_safetensors(head: bytes) -> bool:
    # The length of the JSON header, which begins with a brace, in eight bytes.
    return head[8:9] == b'{' and int.from_bytes(head[:8], 'little') < 1 << 32


def _read_safetensors(path: str) -> dict:
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, framework='pt') as file:
        header = json.loads((file.metadata() or {}).get(METADATA, '{}'))
    return dict(state_dict=load_file(path), meta={METADATA: header})


def _explain(path: str, head: bytes, error: Exception) -> str:
    """One sentence: what was expected, what the file is, what to do."""
    expected = f'a checkpoint was expected at {path}, and'
    if isinstance(error, OSError) and error.errno:
        return f'{expected} the file cannot be read ({error.strerror}): check its permissions and its disk.'
    if not head:
        return f'{expected} the file is empty and cannot be read as one: copy it again.'
    if wanted := _wanted(path, error):
        return _foreign(path, wanted)
    if kind := '' if _is_safetensors(head) else _kind(path, head):
        return f'{expected} the file cannot be read as one, since it is {kind}.'
    if head.startswith(b'PK') and 'Weights only load failed' in str(error):  # whole, and no class is named
        return _foreign(path, [f'another kind ({_reason(error)})'])
    return (
        f'{expected} the file cannot be read as one ({_reason(error)}): it may be truncated or of '
        f'another kind; copy it again or name another.'
    )


def _reason(error: Exception) -> str:
    """The first line of an error of torch, without its colours and its advice."""
    text = re.sub(r'\x1b\[[0-9;]*m', '', str(error)).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    if line.startswith('Weights only load failed'):  # torch's advice follows, and then the cause
        causes = re.findall(r'WeightsUnpickler error: (.+)', text)
        line = causes[0] if causes else 'its pickled part cannot be decoded'
    return ''.join(letter for letter in line if letter.isprintable())[:160]


def _wanted(path: str, error: Exception) -> list:
    """Names of the classes that a whole file of torch.save wants and ``weights_only`` refuses."""
    text = re.sub(r'\x1b\[[0-9;]*m', '', str(error))
    if not text.startswith('Weights only load failed'):
        return []
    named = re.findall(r'(?:GLOBAL |[Uu]nsupported (?:class|global):? )([A-Za-z_][\w.]*\.\w+)', text)
    try:
        refused = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a format older than torch 1.6
        refused = []
    allowed = ('builtins.getattr', 'argparse.Namespace')
    others = [name for name in refused if name not in allowed and not name.startswith('numpy.')]
    return list(dict.fromkeys([*named, *others]))


def _foreign(path: str, wanted: list) -> str:
    more = f' and {len(wanted) - 1} other types' if len(wanted) > 1 else ''
    stem = re.sub(r'(\.(pth|pt|tar|pkl|bin|ckpt))+$', '', path)
    command = (
        f"import torch; c = torch.load({path!r}, map_location='cpu', weights_only=False); "
        f"c = c.get('state_dict') or c.get('model') or c.get('net') or c if isinstance(c, dict) else c; "
        f"c = c.state_dict() if hasattr(c, 'state_dict') else c; "
        f'torch.save({{k: v for k, v in c.items() if torch.is_tensor(v)}}, {stem + "_weights.pth"!r})'
    )
    return (
        f'a checkpoint of tensors and plain values was expected at {path}, and it also holds an object of '
        f'{wanted[0]}{more}, which is not read because unpickling it can run any code: if you trust where the '
        f'file comes from, save its weights alone with python -c "{command}" (this executes what the file '
        f'says), and name {stem}_weights.pth.'
    )


def _kind(path: str, head: bytes) -> str:
    """What a file is that is no checkpoint, and what to do; empty if it looks like a damaged one."""
    for start, kind in _KINDS:
        if head.startswith(start):
            return kind
    if head.startswith(b'PK'):
        return _zip_kind(path)
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            names = archive.getnames()
        if {'storages', 'tensors', 'pickle'} <= set(names):
            return 'of the tar format of torch 0.1: load and save it with torch.load and torch.save'
        return f'a tar archive of {len(names)} files ({", ".join(names[:2])}): unpack it, and name a file in it'
    if head.startswith(b'\x80') and not head.startswith(_LEGACY):
        return 'a pickle that torch.save did not write: load it where you trust it, and torch.save its tensors'
    if path.endswith('.onnx') or (head[:1] == b'\x08' and re.search(rb'onnx|pytorch|producer', head)):
        return 'an ONNX graph: name the PyTorch weights that it was exported from'
    try:
        text = codecs.getincrementaldecoder('utf-8')().decode(head).strip()  # its last letter may be cut
    except UnicodeDecodeError:
        return ''
    if re.match(r'<(!doctype|html|\?xml|head|body)', text, re.IGNORECASE):
        return 'a web page, such as the error or login page of a download: download it again, and look at it'
    line = next(iter(text.splitlines()), '')[:40]
    return f'a text file that begins with {line!r}: name a file of weights' if line and line.isprintable() else ''


def _zip_kind(path: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError):
        return 'a zip file without the table of contents at its end: it may be truncated; copy it again'
    if damaged:
        return f'damaged (the sum of {damaged} is another than when it was written): copy it again'
    if any(name.endswith('/constants.pkl') for name in names):
        return (
            'a compiled TorchScript module: save its weights alone with torch.save(torch.jit.load(FILE).state_dict(), '
            'OUT), which runs its code, if you trust where it comes from'
        )
    if any(name.endswith('data.pkl') for name in names):
        return ''
    if all(name.endswith('.npy') for name in names):
        return "numpy's .npz: save a state dict of tensors with torch.save"
    return f'a zip archive of {len(names)} files ({", ".join(names[:2])}): unpack it, and name a file in it'
