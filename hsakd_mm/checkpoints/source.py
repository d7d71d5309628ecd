"""Find the backbone that a detector starts from: a file, weights by name, or the newest student."""

import glob
import hashlib
import os
import re
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field

from hsakd_mm.checkpoints.fetching import is_fetched
from hsakd_mm.checkpoints.hf_hub import SCHEME, is_hub_name
from hsakd_mm.checkpoints.loading import backbone_weights, load_checkpoint
from hsakd_mm.checkpoints.normalisation import trained_normalisation
from hsakd_mm.checkpoints.reading_files import exported_metadata
from hsakd_mm.checkpoints.readings import is_openmmlab, state_dicts
from hsakd_mm.checkpoints.same_network import trained_network
from hsakd_mm.checkpoints.training_config import has_config, training_config
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.errors import UserError

from .backbone_file import FORMAT_VERSION, FORMATS, BackboneFile, is_head, plain_tensor, read_backbone, write_backbone
from .export import backbone_in, networks_in, stem_beside, trained_backbone, write_export

RANDOM = 'random'  # instead of a file: no pretraining
# torchvision's normalisation for ImageNet, in units of 0..255.
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


@dataclass
class BackboneSource:
    """The weights that a detector's backbone starts from.

    Args:
        name (str): Names a folder: work directory and file of the checkpoint.
        method (str): ``HSAKD``, ``Classifier`` …; ``torchvision-resnet18`` and the like for weights
            by name; ``file`` for a file that we did not export; or ``random``.
        backbone (BackboneFile): None for ``random``.
        notes (list[str]): What was done and assumed, for the terminal and the report.
    """

    name: str
    method: str
    backbone: BackboneFile | None = None
    notes: list = field(default_factory=list)


def resolve_source(checkpoint: str, keep_in: str = os.path.join('work_dirs', 'transfer')) -> BackboneSource:
    """Turn ``checkpoint`` into a backbone file that StrictPretrained can load.

    The backbone of a training checkpoint (ours, or MMPretrain's or MMDetection's with its config) is
    exported (:func:`export_start`). A file of weights is used as it is. A name or an address is downloaded.

    Args:
        checkpoint (str): Training checkpoint, work directory, file of weights of any project, ``torchvision://resnet18``,
            ``timm://resnet18.a1_in1k``, ``hf-hub:OWNER/NAME``, an address, or ``random``.
        keep_in (str): Folder for downloaded weights, and for exports that cannot be beside their checkpoint.

    Raises:
        UserError: No such file or name, not a checkpoint, or a training checkpoint with no or
            several backbones.
    """
    if checkpoint == RANDOM:
        return BackboneSource(RANDOM, RANDOM)
    if os.path.isdir(checkpoint):
        checkpoint = find_checkpoint(checkpoint)
    if is_fetched(checkpoint):
        return _fetched(checkpoint, keep_in)
    content = load_checkpoint(checkpoint)
    notes = []
    path = checkpoint
    backbone_weights(content['state_dict'], checkpoint)  # raises if there are several
    if networks_in(content['state_dict']) and has_config(content):
        del content
        path = export_start(checkpoint, keep_in)
        notes.append(f'{checkpoint} is a training checkpoint: its backbone was exported to {path}.')
    backbone = read_backbone(path)
    folder = os.path.basename(os.path.dirname(os.path.abspath(checkpoint)))
    stem = os.path.splitext(os.path.basename(checkpoint))[0].removesuffix('_backbone')
    return BackboneSource(f'{folder}-{stem}', backbone.metadata.get('method') or 'file', backbone, notes)


def export_start(checkpoint: str, keep_in: str, prefix: str = 'backbone.') -> str:
    """Export the backbone that a detector starts from, beside its training checkpoint.

    Where that folder cannot be written to, or has something else under that name, such as an export with its
    classifier, the export goes into ``keep_in``.

    Returns:
        str: The ``.pth`` file.

    Raises:
        UserError: As :func:`~.export.trained_backbone`, or no file can be written.
    """
    backbone, metadata = trained_backbone(checkpoint, prefix=prefix)
    beside = stem_beside(checkpoint, metadata)
    if all(_is_start(beside + ending, metadata['method']) for ending in FORMATS):
        with suppress(UserError):
            return write_export(backbone, metadata, checkpoint).pth
    folder, stem = os.path.split(os.path.abspath(beside))
    # Runs of several benches may have the same names.
    tag = hashlib.sha256(folder.encode()).hexdigest()[:8]
    out = os.path.join(keep_in, f'{os.path.basename(folder)}-{tag}-{stem}')
    return write_export(backbone, metadata, checkpoint, out).pth


def _is_start(path: str, method: str) -> bool:
    """Whether a file, if there is one, is an earlier export of this kind, so that nothing is lost with it."""
    if not os.path.lexists(path):
        return True
    try:
        there = read_backbone(path).metadata
    except UserError:
        return False
    return there.get('with_head') is False and there.get('method') == method


def _fetched(name: str, folder: str) -> BackboneSource:
    """Download weights by name once, and keep them as a backbone file with a SHA-256."""
    scheme, _, model = name.partition(':' if name.startswith(SCHEME) else '://')
    short = re.sub(
        r'[^\w.-]+',
        '_',
        os.path.splitext(os.path.basename(model))[0] if scheme.startswith('http') else f'{scheme}-{model}',
    )
    # Two addresses may end in the same file name.
    tag = f'-{hashlib.sha256(name.encode()).hexdigest()[:8]}' if scheme.startswith('http') else ''
    path = os.path.join(folder, f'{short}{tag}_backbone.safetensors')
    if not os.path.isfile(path) or read_backbone(path).metadata.get('source') != name:
        weights, metadata = _weights_of(load_checkpoint(name), name)
        metadata.update(method=short, source=name)
        write_backbone(weights, metadata, path)
    return BackboneSource(
        short, short, read_backbone(path), [f'The weights of {name} are kept without their classifier in {path}.']
    )


def _weights_of(content: dict, name: str) -> tuple[OrderedDict, dict]:
    """The backbone in what was downloaded, without its classifier, and what is known of it."""
    if not is_openmmlab(content) and len({id(tensors) for tensors in state_dicts(content).values()}) > 1:
        raise UserError(
            f'one set of weights was expected at {name}, and there are several, under '
            f'{", ".join(map(repr, state_dicts(content)))}: download it, and name the file, of which one can be '
            f'chosen.'
        )
    backbone_weights(content['state_dict'], name)  # raises if there are several networks
    weights: OrderedDict = OrderedDict()
    known: dict = {}
    if networks_in(content['state_dict']) and has_config(content):  # as of a file
        try:
            weights, metadata = backbone_in(content, name)
        except UserError:  # such as a config without mean and std, as YOLOX's: a detector needs the weights only
            known = trained_network(content, name)
    if not weights:
        weights = OrderedDict(
            (key, plain_tensor(value)) for key, value in content['state_dict'].items() if not is_head(key)
        )
        metadata = {**known, **_published(content, name), 'format_version': FORMAT_VERSION, 'with_head': False}
    if revision := (content.get('meta') or {}).get('revision'):
        metadata.update(revision=revision)
    return weights, metadata


def _published(content: dict, name: str) -> dict:
    """The network and the normalisation of weights by name, as far as they are known."""
    scheme, _, model = name.partition('://')
    known = dict(exported_metadata(content))
    if scheme in ('torchvision', 'timm') and not is_hub_name(name):
        known.update(backbone_type=scheme, model_name=model)
    normalisation = trained_normalisation(content, name)
    if not normalisation and scheme == 'torchvision':
        normalisation = dict(IMAGENET, channel_order='RGB')
    return dict(known, normalisation=normalisation) if normalisation else known


def newest_student(root: str = 'work_dirs') -> str:
    """The best, else the last checkpoint of the newest distilled run below ``root``.

    A run is distilled if the config inside its checkpoints has a ``DistillationHook``.

    Raises:
        UserError: There is no such run.
    """
    runs: dict = {}
    for path in glob.glob(os.path.join(root, '**', '*.pth'), recursive=True):
        if not path.endswith('_backbone.pth'):
            runs.setdefault(os.path.dirname(path), []).append(path)
    for files in sorted(runs.values(), key=lambda files: max(map(os.path.getmtime, files)), reverse=True):
        files = sorted(files, key=os.path.getmtime, reverse=True)
        files.sort(key=lambda path: not os.path.basename(path).startswith('best_'))
        for path in files:
            distilled = _is_distilled(path)
            if distilled:
                return path
            if distilled is not None:
                break  # the other files are of the same run
    looked = (
        f'none of the {len(runs)} runs there has a teacher'
        if runs
        else ('it holds no checkpoint' if os.path.isdir(root) else 'there is no such folder')
    )
    raise UserError(
        f'without arguments the newest distilled student under {root} is transferred, '
        f'and {looked}: train one (hsakd-mm train hsakd_mm::hsakd/imagenet_r34_r18.py --gpus 8), or name a checkpoint.'
    )


def _is_distilled(path: str) -> bool | None:
    """Whether the checkpoint's run had a teacher; None if the file has no config or is damaged."""
    try:
        cfg = training_config(load_checkpoint(path), path)
    except UserError:
        return None
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    return any((hook or {}).get('type', '').rpartition('.')[2] == 'DistillationHook' for hook in hooks)
