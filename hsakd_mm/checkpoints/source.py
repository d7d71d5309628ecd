"""What a detector starts from: a file, weights known by name, or the newest distilled student."""

import glob
import hashlib
import os
import re
from collections import OrderedDict
from dataclasses import dataclass, field

from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.training_config import training_config
from hsakd_mm.errors import UserError

from .backbone_file import FORMAT_VERSION, BackboneFile, is_head, plain_tensor, read_backbone, write_backbone
from .export import export_backbone, networks_in

RANDOM = 'random'  # in place of a file: no pretraining
# What torchvision's classifiers were trained on, in units of 0..255.
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


@dataclass
class BackboneSource:
    """Where the weights come from.

    Args:
        name (str): Short and unique enough for a folder: run and file.
        method (str): ``HSAKD``, ``Classifier`` …, ``torchvision-resnet18`` and the like for
            weights known by name, ``file`` for a file from elsewhere, or ``random``.
        backbone (BackboneFile): None for ``random``.
        notes (list[str]): What was done and assumed, for the terminal and the report.
    """

    name: str
    method: str
    backbone: BackboneFile | None = None
    notes: list = field(default_factory=list)


def resolve_source(checkpoint: str, keep_in: str = os.path.join('work_dirs', 'transfer')) -> BackboneSource:
    """The backbone that ``checkpoint`` names, as a file that StrictPretrained loads.

    A training checkpoint is exported beside itself; a file of weights is used as it is; what has
    ``://`` in its name is fetched.

    Args:
        checkpoint (str): Training checkpoint, file of weights, ``torchvision://resnet18``,
            ``timm://resnet18.a1_in1k``, an address, or ``random``.
        keep_in (str): Folder for the weights that were fetched.

    Raises:
        UserError: No such file, not a checkpoint, no such name, or a training checkpoint without
            a backbone.
    """
    if checkpoint == RANDOM:
        return BackboneSource(RANDOM, RANDOM)
    if '://' in checkpoint:
        return _fetched(checkpoint, keep_in)
    content = load_checkpoint(checkpoint)
    notes = []
    path = checkpoint
    networks = networks_in(content['state_dict'])
    if len(networks) > 1:
        raise UserError(
            f'one backbone was expected in {checkpoint}, and it holds {len(networks)} '
            f'that taught each other: write each with python tools/export_backbone.py '
            f'{checkpoint}, and name the file of one.'
        )
    if networks:
        del content
        path = export_backbone(checkpoint).pth
        notes.append(f'{checkpoint} is a training checkpoint: its backbone was exported to {path}.')
    backbone = read_backbone(path)
    folder = os.path.basename(os.path.dirname(os.path.abspath(checkpoint)))
    stem = os.path.splitext(os.path.basename(checkpoint))[0].removesuffix('_backbone')
    return BackboneSource(f'{folder}-{stem}', backbone.metadata.get('method') or 'file', backbone, notes)


def _fetched(name: str, folder: str) -> BackboneSource:
    """Weights known by name, in a file of ours: it has a SHA-256, and needs no network again."""
    scheme, _, model = name.partition('://')
    short = re.sub(
        r'[^\w.-]+',
        '_',
        os.path.splitext(os.path.basename(model))[0] if scheme.startswith('http') else f'{scheme}-{model}',
    )
    # Two addresses may end in one name.
    tag = f'-{hashlib.sha256(name.encode()).hexdigest()[:8]}' if scheme.startswith('http') else ''
    path = os.path.join(folder, f'{short}{tag}_backbone.safetensors')
    if not os.path.isfile(path) or read_backbone(path).metadata.get('source') != name:
        content = load_checkpoint(name)
        normalisation = (content.get('meta') or {}).get('normalisation') or (
            IMAGENET if scheme == 'torchvision' else {}
        )
        weights = OrderedDict(
            (key, plain_tensor(value)) for key, value in content['state_dict'].items() if not is_head(key)
        )
        metadata = dict(format_version=FORMAT_VERSION, method=short, source=name, with_head=False)
        if scheme in ('torchvision', 'timm'):
            metadata.update(backbone_type=scheme, model_name=model)
        if normalisation:
            metadata.update(normalisation=dict(normalisation, channel_order='RGB'))
        write_backbone(weights, metadata, path)
    return BackboneSource(
        short, short, read_backbone(path), [f'{name} was fetched: without its classifier it is kept in {path}.']
    )


def newest_student(root: str = 'work_dirs') -> str:
    """The newest run below ``root`` that learnt from a teacher; its best checkpoint, else its last.

    A run learnt from a teacher if its config, which each checkpoint carries, has a
    ``DistillationHook``.

    Raises:
        UserError: There is none.
    """
    runs: dict = {}
    for path in glob.glob(os.path.join(root, '**', '*.pth'), recursive=True):
        if not path.endswith('_backbone.pth'):
            runs.setdefault(os.path.dirname(path), []).append(path)
    for files in sorted(runs.values(), key=lambda files: max(map(os.path.getmtime, files)), reverse=True):
        files = sorted(files, key=os.path.getmtime, reverse=True)
        files.sort(key=lambda path: not os.path.basename(path).startswith('best_'))
        for path in files:
            learnt = _learnt_from_teacher(path)
            if learnt:
                return path
            if learnt is not None:
                break  # the other files are of the same run
    looked = (
        f'none of the {len(runs)} runs there learnt from a teacher'
        if runs
        else ('it holds no checkpoint' if os.path.isdir(root) else 'there is no such folder')
    )
    raise UserError(
        f'without arguments the newest distilled student under {root} is transferred, '
        f'and {looked}: train one (bash tools/dist_train.sh '
        f'configs/hsakd/imagenet_r34_r18.py 8), or name a checkpoint.'
    )


def _learnt_from_teacher(path: str) -> bool | None:
    """None where the file does not tell: weights of another kind, or cut short."""
    try:
        cfg = training_config(load_checkpoint(path), path)
    except UserError:
        return None
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    return any((hook or {}).get('type', '').rpartition('.')[2] == 'DistillationHook' for hook in hooks)
