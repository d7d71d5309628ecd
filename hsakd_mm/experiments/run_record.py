"""Records what a detector run started from, so that it is only resumed from the same start."""

import hashlib
import json
import os
from collections.abc import Sequence

from mmengine.config import Config

from hsakd_mm.checkpoints.source import BackboneSource
from hsakd_mm.errors import UserError
from hsakd_mm.files import read_json, write_json

RECORD = 'transfer.json'  # in the work directory


def fingerprint(cfg: Config, source: BackboneSource, flags: Sequence[str] = ()) -> str:
    """SHA-256 of the whole config and of the flags that change training.

    The path of the weights is replaced by the file's own SHA-256, so that moving a project changes nothing.
    """
    text = json.dumps([cfg.to_dict(), sorted(flags)], sort_keys=True, default=str)
    if source.backbone:
        text = text.replace(json.dumps(os.path.abspath(source.backbone.path)), json.dumps(source.backbone.sha256))
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(folder: str) -> dict:
    """The record in a work directory; empty where no run has started."""
    return read_json(folder, RECORD)


def read_row(folder: str) -> dict:
    """The row of a run's report; empty where it has none."""
    return (read_json(folder, 'report.json').get('rows') or [{}])[0]


def write_record(folder: str, content: dict) -> None:
    write_json(os.path.join(folder, RECORD), content)


def require_same(record: dict, folder: str, sha256: str | None, seed: int, config_sha256: str) -> None:
    """Check that ``--resume`` continues a run with the same weights, seed and config.

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
