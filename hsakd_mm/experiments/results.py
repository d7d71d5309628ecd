"""What a run left behind: accuracy, cost, and where its numbers come from."""

import copy
import glob
import hashlib
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hsakd_mm.checkpoints.loading import sha256
from hsakd_mm.engine.scalars import read_curve
from hsakd_mm.registry import MODELS

from .bench import Bench, Run
from .provenance import provenance

_ORIGIN = 'origin.json'


@dataclass
class Row:
    """A line of the table: the runs of one name.

    Args:
        name (str): The runs' name.
        top1 (float): Mean over seeds of the last epoch's top-1, in percent.
        sigma (float | None): Standard deviation over seeds (n - 1); None of a single seed.
        best (float): Mean of the best epoch's, which was chosen by the data it is judged on.
        seeds (int): How many.
        parameters (int): Of the backbone that is handed on.
        trained_parameters (int): Of all that is trained: with branches, with a second network.
        cost (float | None): Seconds for a training image, relative to the baseline's.
        seconds_per_image (float): Of a training step, in the seed where it was fastest.
        wall_seconds (float): Mean duration of a run, validation included.
    """

    name: str
    top1: float
    sigma: float | None
    best: float
    seeds: int
    parameters: int
    trained_parameters: int
    cost: float | None
    seconds_per_image: float
    wall_seconds: float


def is_done(run: Run) -> bool:
    """Whether the run is finished and measured, by the config as it is now."""
    record = _read(run.stage.folder, 'stage.json') or {}
    origin = _read(run.stage.folder, _ORIGIN)
    return (
        bool(record.get('done'))
        and os.path.isfile(run.checkpoint)
        and is_measured(run)
        and (origin is None or origin['config_sha256'] == config_sha256(run))
    )


def is_measured(run: Run) -> bool:
    """Whether its last epoch was validated."""
    curve = read_curve(run.stage.folder, run.metric)
    return bool(curve) and curve[-1][0] == run.cfg.train_cfg.max_epochs


def note_origin(run: Run, command: str) -> None:
    """Keep beside a run that was just made where it was made: the report may be written later."""
    content = dict(provenance(command, run.seed), threads=torch.get_num_threads(), config_sha256=config_sha256(run))
    path = os.path.join(run.stage.folder, _ORIGIN)
    with open(path + '.tmp', 'w') as file:
        json.dump(content, file, indent=1)
    os.replace(path + '.tmp', path)


def config_sha256(run: Run) -> str:
    """Of all that the config says, its bases and the command line's changes included."""
    return hashlib.sha256(run.cfg.pretty_text.encode()).hexdigest()


def collect(bench: Bench) -> list[dict]:
    """One dict a finished run, in the bench's order; keys as in the JSON report."""
    return [_result(run) for run in bench.runs if is_done(run)]


def summarise(results: Sequence[dict], baseline: str) -> list[Row]:
    """The rows of the table, in order of the runs."""
    grouped = by_name(results)
    cost_of = {name: min(result['seconds_per_image'] for result in of_name) for name, of_name in grouped.items()}
    return [_row(name, of_name, cost_of.get(baseline), cost_of[name]) for name, of_name in grouped.items()]


def by_name(results: Sequence[dict]) -> dict[str, list[dict]]:
    """The results of each name that the table and the picture show."""
    grouped: dict = {}
    for result in results:
        if result['row']:
            grouped.setdefault(result['name'], []).append(result)
    return grouped


def _row(name: str, results: list, baseline: float | None, cost: float) -> Row:
    top1 = [result['top1'] for result in results]
    return Row(
        name=name,
        top1=statistics.mean(top1),
        sigma=statistics.stdev(top1) if len(top1) > 1 else None,
        best=statistics.mean(result['best_top1'] for result in results),
        seeds=len(results),
        parameters=results[0]['parameters'],
        trained_parameters=results[0]['trained_parameters'],
        cost=cost / baseline if baseline else None,
        seconds_per_image=cost,
        wall_seconds=statistics.mean(result['wall_seconds'] for result in results),
    )


def _result(run: Run) -> dict:
    curve = read_curve(run.stage.folder, run.metric)
    best_epoch, best = max(curve, key=lambda point: point[1])
    record, origin = (_read(run.stage.folder, name) for name in ('stage.json', _ORIGIN))
    parameters, trained = _count(run)
    if origin is None:  # trained by hand, or the record was lost: today's commit would be a guess
        nobody = dict(cpu='unknown', cores='?', gpu=[])
        origin = dict(
            command='unknown',
            commit='unknown',
            dirty=None,
            seed=run.seed,
            hardware=nobody,
            torch='unknown',
            config_sha256=config_sha256(run),
        )
    return dict(
        origin,
        name=run.name,
        seed=run.seed,
        row=run.row,
        metric=run.metric,
        top1=curve[-1][1],
        epochs=curve[-1][0],
        best_top1=best,
        best_epoch=best_epoch,
        curve=curve,
        parameters=parameters,
        trained_parameters=trained,
        seconds_per_image=_seconds_per_image(run),
        wall_seconds=round(record['seconds'], 1),
        config=run.config,
        run_command=record['command'],
        checkpoint_sha256=sha256(run.checkpoint),
    )


def _count(run: Run) -> tuple[int, int]:
    """Parameters of the (first) backbone, and of all that is trained."""
    cfg = copy.deepcopy(run.cfg)  # with the checkpoints: a frozen teacher is not built without
    cfg.merge_from_dict({option: need.checkpoint for option, need in run.needs.items()})
    model = MODELS.build(cfg.model)
    trained = sum(value.numel() for value in model.parameters() if value.requires_grad)
    return sum(value.numel() for value in model.backbones[0].parameters()), trained


def _seconds_per_image(run: Run) -> float:
    """By the fastest tenth of the logged steps: what else the machine did then hardly counts."""
    times = []
    for path in glob.glob(os.path.join(run.stage.folder, '*', 'vis_data', 'scalars.json')):
        with open(path) as file:
            lines = [json.loads(line) for line in file if line.strip().endswith('}')]
        times += [line['time'] for line in lines if 'time' in line and 'lr' in line]
    fastest = sorted(times)[: max(1, len(times) // 10)]
    return fastest[-1] / run.cfg.train_dataloader.batch_size


def _read(folder: str, name: str) -> dict | None:
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        return None
    with open(path) as file:
        return json.load(file)
