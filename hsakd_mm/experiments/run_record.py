"""Records what a detector run started from, so that it is only resumed from the same start and on the same boxes."""

import hashlib
import json
import os
from collections.abc import Sequence

from mmengine.config import Config

from hsakd_mm.checkpoints.source import BackboneSource
from hsakd_mm.errors import UserError
from hsakd_mm.files import read_json, read_text, sha256, write_json
from hsakd_mm.transfer.annotations import is_voc, join
from hsakd_mm.transfer.detector import evaluated_split
from hsakd_mm.transfer.mended import inner_datasets

RECORD = 'transfer.json'  # in the work directory


def fingerprint(cfg: Config, source: BackboneSource, flags: Sequence[str] = ()) -> str:
    """SHA-256 of the whole config and of the flags that change training.

    The path of the weights is replaced by the file's own SHA-256, so that moving a project changes nothing.
    """
    text = json.dumps([cfg.to_dict(), sorted(flags)], sort_keys=True, default=str)
    if source.backbone:
        text = text.replace(json.dumps(os.path.abspath(source.backbone.path)), json.dumps(source.backbone.sha256))
    return hashlib.sha256(text.encode()).hexdigest()


def annotations_of(cfg: Config) -> dict[str, str]:
    """SHA-256, by path, of the annotations that a detector learns from and is measured on.

    Of Pascal VOC, that of the list of images and of their files of boxes. What is not on this machine is left out.
    """
    sums: dict[str, str] = {}
    for part in filter(None, ('train', evaluated_split(cfg))):
        for dataset in inner_datasets(cfg[f'{part}_dataloader'].dataset):
            root = dataset.get('data_root') or ''
            file = os.path.normpath(join(root, dataset.get('ann_file') or ''))
            if not os.path.isfile(file) or file in sums:
                continue
            sums[file] = sha256(file)
            if is_voc(dataset):
                folder = join(root, (dataset.get('data_prefix') or {}).get('sub_data_root', ''))
                sums[f'{file}: boxes'] = _boxes_sha256(
                    file, os.path.join(folder, dataset.get('ann_subdir', 'Annotations'))
                )
    return sums


def _boxes_sha256(image_list: str, folder: str) -> str:
    """SHA-256 of the XML files of the images in a list."""
    digest = hashlib.sha256()
    for line in read_text(image_list).splitlines():
        path = os.path.join(folder, f'{line.strip()}.xml')
        if line.strip() and os.path.isfile(path):
            digest.update(f'{line.strip()} {sha256(path)}\n'.encode())
    return digest.hexdigest()


def same_annotations(one: dict | None, other: dict | None) -> bool:
    """Whether two results of :func:`annotations_of` are of equal files, wherever they lie; true if one is not known."""
    return not one or not other or list(one.values()) == list(other.values())


def folder_sha256(folder: str) -> str:
    """SHA-256 of the names and contents of all files below ``folder``."""
    digest = hashlib.sha256()
    for root, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(root, name)
            digest.update(f'{os.path.relpath(path, folder)} {sha256(path)}\n'.encode())
    return digest.hexdigest()


def code_at_start(folder: str) -> dict:
    """``commit`` and ``dirty`` of the code that started the run in a folder; empty where nothing tells."""
    origin = read_json(folder, 'provenance.json')
    return {key: origin[key] for key in ('commit', 'dirty') if key in origin}


def read_record(folder: str) -> dict:
    """The record in a work directory; empty where no run has started."""
    return read_json(folder, RECORD)


def read_row(folder: str) -> dict:
    """The row of a run's report; empty where it has none."""
    return (read_json(folder, 'report.json').get('rows') or [{}])[0]


def write_record(folder: str, content: dict) -> None:
    write_json(os.path.join(folder, RECORD), content)


def require_same(
    record: dict, folder: str, sha256: str | None, seed: int, config_sha256: str, annotations: dict | None = None
) -> None:
    """Check that ``--resume`` continues a run with the same weights, seed, config and annotations.

    Raises:
        UserError: The run in the folder had others.
    """
    if record['sha256'] != sha256:
        raise UserError(
            f'--resume goes on with the run in {folder}, and that started '
            f'from {record["checkpoint"]} (SHA-256 {record["sha256"]}), not from '
            f'this file: choose another --work-dir, or leave --resume out.'
        )
    if record.get('seed', seed) != seed:
        raise UserError(
            f'--resume goes on with the run in {folder}, and that has seed '
            f'{record["seed"]}, not {seed}: add --seed {record["seed"]}, '
            f'choose another --work-dir, or leave --resume out.'
        )
    if record.get('config_sha256', config_sha256) != config_sha256:
        raise UserError(
            f'--resume goes on with the run in {folder}, and that has another config '
            f'or other options: give the same ones, choose another --work-dir, or '
            f'leave --resume out.'
        )
    if not same_annotations(record.get('annotations'), annotations):
        raise UserError(
            f'--resume goes on with the run in {folder}, and that learnt from other annotations than those that are in '
            f'{", ".join(annotations or ())} now: put those back, choose another --work-dir, or leave --resume out.'
        )
