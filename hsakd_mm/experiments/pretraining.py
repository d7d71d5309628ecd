"""One pretraining of a bench: how it is run, and its results (accuracy, cost, provenance)."""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from mmengine.config import Config

from hsakd_mm.checkpoints.loading import sha256
from hsakd_mm.engine.scalars import read_curve, read_logs
from hsakd_mm.engine.trial_steps import do_not_verify
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.training_cost import train_size, training_macs
from hsakd_mm.files import read_json, write_json
from hsakd_mm.registry import DATASETS, MODELS

from .first_losses import first_losses
from .provenance import hash_of_config, provenance
from .run_cost import cost
from .stage import Stage

TEACHER = 'default_hooks.distillation.'  # options of the hook that holds the teacher
STARTS = 'load_from', 'model.load_backbone_from'  # options for weights that training goes on from


@dataclass
class PretrainingRun:
    """A config that is trained with a seed: a :class:`~.schedule.Step`.

    Args:
        name (str): The row of the table that it belongs to.
        seed (int): ``randomness.seed``.
        config (str): Its file.
        cfg (Config): What is in it, with the options of the command line.
        stage (Stage): What trains it.
        checkpoint (str): The last epoch's: none is chosen by the data that it is judged on.
        metric (str): What it is judged by.
        needs_by_option (dict[str, PretrainingRun]): Options of the config that get another run's checkpoint.
        row (bool): Whether the table and the picture show it.
        curve (str | None): The method whose curve of cost against accuracy it is a point of.
        test (Stage | None): Measures the checkpoint on the test set, where that is what counts.
        command (str): As the user typed it, for the report.
        is_first (bool): Of the seeds of its name; its first losses are recorded.
    """

    name: str
    seed: int
    config: str
    cfg: Config
    stage: Stage
    checkpoint: str
    metric: str = 'accuracy/top1'
    needs_by_option: dict = field(default_factory=dict)
    row: bool = True
    curve: str | None = None
    test: Stage | None = None
    command: str = ''
    is_first: bool = False

    @property
    def title(self) -> str:
        return f'{self.name}, seed {self.seed}'

    @property
    def needs(self) -> list:
        return list(self.needs_by_option.values())

    @property
    def taught_by(self) -> list[str]:
        """The names of the runs that teach it: not of those that it or a teacher merely starts from."""
        return [need.name for option, need in self.needs_by_option.items() if option.startswith(TEACHER)]

    @property
    def seconds(self) -> float:
        return self.stage.seconds

    def is_done(self) -> bool:
        """Whether it is finished and measured, by the config as it is now, which the stage's fingerprint holds."""
        return self.stage.is_up_to_date() and self._is_validated() and (self.test is None or self.test.is_up_to_date())

    def run(self) -> None:
        """Train and test the run where that is not done, and record its origin.

        Raises:
            RunFailed: A child failed.
            UserError: The run did not log its metric for the last epoch.
        """
        self.stage.always = not self._is_validated()  # it may have been stopped after its last checkpoint
        if not self.stage.is_done():
            self.stage.run()
            if not self._is_validated():
                logged = sorted({key for lines in read_logs(self.stage.folder) for line in lines for key in line})
                raise UserError(
                    f'{self.title} was expected to log {self.metric} for epoch {self.cfg.train_cfg.max_epochs}, and '
                    f'logged {", ".join(logged) or "nothing"}: set metric of this run in the bench file.'
                )
            self._write_origin()
        if self.test is not None and not self.test.is_up_to_date():
            self.test.run()

    def _write_origin(self) -> None:
        # The child's is of the code that ran; the working tree may have changed since.
        started = read_json(self.stage.folder, 'provenance.json') or provenance(self.command, self.seed)
        whose = dict(command=self.command, seed=self.seed)
        content = dict(started, **whose, threads=torch.get_num_threads(), config_sha256=self.config_sha256())
        file = os.path.join(self.stage.folder, 'origin.json')
        write_json(file, content)
        more: dict = {'macs': (self.count_macs, 'multiply-adds could not be counted')}
        if self.is_first:
            more['first_losses'] = (self.first_losses, 'first losses could not be taken')
        for key, (find, failed) in more.items():
            try:
                content[key] = find()
            except Exception as error:  # the training is done, and a method may do what cannot be counted
                print(f'{self.title}: its {failed} ({type(error).__name__}: {error}).')
        write_json(file, content)

    def first_losses(self) -> list[float]:
        """What a test compares with those of later code: see :mod:`.first_losses`."""
        return first_losses(self.with_checkpoints(), self.seed)  # a frozen teacher is not built without

    def count_macs(self) -> float:
        """Multiply-adds of this training, without those of its teacher."""
        cfg = self.with_checkpoints()
        do_not_verify(cfg.train_dataloader)
        images = len(DATASETS.build(cfg.train_dataloader.dataset))
        return training_macs(cfg, train_size(cfg)) * images * cfg.train_cfg.max_epochs

    def lineage(self) -> list['PretrainingRun']:
        """Itself, the run whose weights it goes on from, and the one before that."""
        before = goes_on_from(self.needs_by_option)
        return [self] if before is None else [self, *before.lineage()]

    def with_checkpoints(self) -> Config:
        """Its config, with those of the runs that it needs."""
        return with_checkpoints(self.cfg, self.needs_by_option)

    def origin(self) -> dict:
        """Where and by which command it was made; empty where nothing tells."""
        return read_json(self.stage.folder, 'origin.json')

    def config_sha256(self) -> str:
        """SHA-256 of its config, and of those of the runs that it needs."""
        needed = {option: need.config_sha256() for option, need in self.needs_by_option.items()}
        return hash_of_config(self.cfg, needed)

    def top1(self) -> float:
        """In percent: on the test set where the bench asks for it, else of the last validation."""
        if self.test is None:
            return self.validations()[-1][1]
        return read_json(self.test.produces)['metrics'][self.metric]

    def validations(self) -> list:
        """``[(epoch, value), ...]`` of its metric, in percent."""
        return read_curve(self.stage.folder, self.metric)

    def _is_validated(self) -> bool:
        curve = self.validations()
        return bool(curve) and curve[-1][0] == self.cfg.train_cfg.max_epochs


def goes_on_from(needs: Mapping[str, PretrainingRun]) -> PretrainingRun | None:
    """The run whose weights a run with these needs goes on training, so that its cost is a part of the run's own."""
    return next((needs[option] for option in STARTS if option in needs), None)


def with_checkpoints(cfg: Config, needs: Mapping[str, PretrainingRun]) -> Config:
    """A copy of a config, with the checkpoints of the runs that it needs, by option."""
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict({option: need.checkpoint for option, need in needs.items()})
    return cfg


def collect(runs: Sequence[PretrainingRun]) -> list[dict]:
    """One dict for each finished run, in order; keys as in the JSON report."""
    return [_result(run) for run in runs if run.is_done()]


def _result(run: PretrainingRun) -> dict:
    curve = run.validations()
    best_epoch, best = max(curve, key=lambda point: point[1])
    record, origin = run.stage.read_record(), run.origin()
    parameters, trained = _count(run)
    if not origin:  # trained by hand, or the record was lost: today's commit would be a guess
        nobody = dict(cpu='unknown', cores='?', gpu=[])
        origin = dict(
            command='unknown',
            commit='unknown',
            dirty=None,
            seed=run.seed,
            hardware=nobody,
            torch='unknown',
            config_sha256=run.config_sha256(),
        )
    return dict(
        origin,
        name=run.name,
        seed=run.seed,
        row=run.row,
        curve_of=run.curve,
        taught_by=run.taught_by,
        **cost(run),
        metric=run.metric,
        top1=run.top1(),
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


def _count(run: PretrainingRun) -> tuple[int, int]:
    """Number of parameters of the (first) backbone, and of everything that is trained."""
    model = MODELS.build(run.with_checkpoints().model)  # a frozen teacher is not built without
    trained = sum(value.numel() for value in model.parameters() if value.requires_grad)
    return sum(value.numel() for value in model.backbones[0].parameters()), trained


def _seconds_per_image(run: PretrainingRun) -> float:
    """From the fastest tenth of the logged steps, so that other load on the machine hardly counts."""
    lines = [line for log in read_logs(run.stage.folder) for line in log]
    times = [line['time'] for line in lines if 'time' in line and 'lr' in line]
    fastest = sorted(times)[: max(1, len(times) // 10)]
    return fastest[-1] / run.cfg.train_dataloader.batch_size
