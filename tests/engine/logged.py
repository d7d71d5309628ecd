"""Reads back what TensorBoard, W&B and MLflow have written, without a server."""

import json
import struct
from pathlib import Path
from types import SimpleNamespace

BLOCK, HEADER, NAME = 32768, 7, 7  # bytes of W&B's file: a block, the head of each piece, what it begins with


def tensorboard_scalars(folder: Path) -> dict:
    """``{name: {step: value}}`` of all event files in a folder, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {name: {each.step: each.value for each in events.Scalars(name)} for name in events.Tags()['scalars']}


def wandb_run(folder: Path) -> SimpleNamespace:
    """Of an offline run's folder: ``id``, ``project``, ``name``, ``config``, ``history`` ({step: {name: value}}) and
    the exit status ``exit``."""
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob('*.wandb')
    run = SimpleNamespace(config={}, history={}, exit=None)
    for content in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        kind = record.WhichOneof('record_type')
        if kind == 'run':
            run.id, run.project, run.name = record.run.run_id, record.run.project, record.run.display_name
            run.config |= {each.key: json.loads(each.value_json) for each in record.run.config.update}
        elif kind == 'config':
            run.config |= {each.key: json.loads(each.value_json) for each in record.config.update}
        elif kind == 'history':
            row = {'.'.join(each.nested_key) or each.key: json.loads(each.value_json) for each in record.history.item}
            run.history.setdefault(record.history.step.num, {}).update(row)
        elif kind == 'exit':
            run.exit = record.exit.exit_code
    return run


def _records(content: bytes):
    """Of LevelDB's log format: pieces of records in blocks, each with its checksum, length and kind."""
    place, record = NAME, b''
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack('<IHB', content[place : place + HEADER])
        record += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # whole, or the last piece
            yield record
            record = b''


def mlflow_runs(work_dir: Path) -> list:
    """``(run, {name: {step: value}})`` of each run in the database of a work directory."""
    from mlflow import MlflowClient

    client = MlflowClient(f'sqlite:///{work_dir}/mlflow.db')
    experiment = client.get_experiment_by_name('hsakd_mm')
    runs = client.search_runs([experiment.experiment_id])
    return [
        (
            run,
            {
                name: {each.step: each.value for each in client.get_metric_history(run.info.run_id, name)}
                for name in run.data.metrics
            },
        )
        for run in runs
    ]
