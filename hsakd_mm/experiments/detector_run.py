"""One detector run: from a checkpoint and a detection config to a row of the table."""

import copy
import os
import shlex
import sys
import time
from collections.abc import Sequence

from mmengine.config import Config

from hsakd_mm.checkpoints.source import BackboneSource, resolve_source
from hsakd_mm.checkpoints.work_dir import require_unused
from hsakd_mm.engine.loggers.run import LOGGERS
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.engine.run_mark import RunMark
from hsakd_mm.errors import UserError
from hsakd_mm.reports.table import print_table, write_report
from hsakd_mm.transfer.data_files import check_data
from hsakd_mm.transfer.detector import check_fit, evaluated_split, fill_channels, record_detections, start_from

from . import run_record
from .child import run_child, tool
from .detector_metrics import final_metrics, setting, write_config
from .first_losses import first_losses
from .outdated import move_outdated_aside
from .provenance import hash_of_config, provenance, typed_command

NEEDS = ('model', 'train_dataloader')  # required in a detection config
_SAME_RESULT = {'--no-validate', '--overwrite', *LOGGERS}  # flags that change no weight


class DetectorRun:
    """Fine-tunes one detector: call :meth:`check`, :meth:`train` and :meth:`report` in this order.

    The resolved config is written into the work directory, and ``tools/train.py`` runs that file. On several machines
    (``NNODES``) each runs this, and the one with ``NODE_RANK`` 0 keeps the record and reports.

    Args:
        checkpoint (str | BackboneSource): What :func:`~hsakd_mm.checkpoints.source.resolve_source` takes, or gave.
        config (str): Detection config.
        gpus (int): Processes on this machine.
        work_dir (str): ``work_dirs/transfer/<checkpoint>-<config>`` by default, with
            ``-seed<seed>`` where that is given.
        seed (int): The config's by default, else 0.
        options (dict): ``--cfg-options``; they have the last word.
        name (str): The row's; what the checkpoint says of itself by default.
        flags (list[str]): Of ``tools/train.py``: ``--amp``, ``--auto-scale-lr``, ``--no-validate``, and
            the loggers'.
        title (str): For a run of a list: its output goes to ``output.log``, and the terminal shows its progress under
            this title.
        cfg (Config): The content of ``config`` with ``options``, if it was read before (reading takes a second).

    Raises:
        UserError: The checkpoint or the config is not what it should be.
    """

    needs = ()

    def __init__(
        self,
        checkpoint: str | BackboneSource,
        config: str,
        gpus: int = 1,
        work_dir: str | None = None,
        seed: int | None = None,
        options: dict | None = None,
        name: str = '',
        flags: Sequence[str] = (),
        title: str = '',
        cfg: Config | None = None,
    ) -> None:
        self.cfg = copy.deepcopy(cfg) or load_config(config, options, needs=NEEDS)
        if self.cfg.get('default_scope') != 'mmdet' or 'backbone' not in self.cfg.model:
            raise UserError(
                f"a detection config was expected (default_scope 'mmdet', a model with "
                f'a backbone), and {config} is not one: name one such as those in '
                f'configs/transfer.'
            )
        self.detector_config_sha256 = hash_of_config(self.cfg)  # of its file: no weights, seed or folder yet
        root = os.path.join('work_dirs', 'transfer')
        self.source = (
            checkpoint if isinstance(checkpoint, BackboneSource) else resolve_source(checkpoint, work_dir or root)
        )
        self.name = name or self.source.method
        self.flags, self.title = list(flags), title
        self.notes = [*self.source.notes, *start_from(self.cfg, self.source)]
        self.cfg.merge_from_dict(options or {})
        fill_channels(self.cfg)
        stem = os.path.splitext(os.path.basename(config))[0]
        self.work_dir = work_dir or os.path.join(
            root, f'{name or self.source.name}-{stem}' + ('' if seed is None else f'-seed{seed}')
        )
        self.config = os.path.join(self.work_dir, f'{stem}.py')
        randomness = dict(self.cfg.get('randomness') or {})
        self.seed = seed if seed is not None else randomness.get('seed') or 0
        self.cfg.randomness = dict(randomness, seed=self.seed)
        if not evaluated_split(self.cfg):
            raise UserError(
                f'a transfer ends in an AP, and {config} has neither val_dataloader '
                f'and val_evaluator nor test_dataloader and test_evaluator: add them.'
            )
        if gpus < 1:
            raise UserError(
                f'the number of GPUs (on a machine without: of processes) should be positive, and is {gpus}.'
            )
        self.gpus = gpus
        self.nodes = os.environ.get('NNODES', '1')
        self.reports = os.environ.get('NODE_RANK', '0') == '0'
        self.validates = evaluated_split(self.cfg) == 'val' and '--no-validate' not in self.flags
        # Taken before the work directory's path is written into the config.
        self.config_sha256 = run_record.fingerprint(
            self.cfg, self.source, [*(set(self.flags) - _SAME_RESULT), f'{gpus} x {self.nodes}']
        )
        record_detections(self.cfg, os.path.join(self.work_dir, 'detections.json'))
        self.annotations = run_record.annotations_of(self.cfg)  # before a check puts mended copies in their place
        self.command = typed_command()
        self.parameters, self.frozen = 0, ''
        self.top1: float | None = None  # of the pretraining, in percent; set by the caller
        self.records_losses = False  # the first ones; set by the caller
        self.cost: dict | None = None  # of the pretraining, as of .run_cost; set by the caller

    def check(self, resume: str | None = None) -> None:
        """Check before training that the weights fit and the data is there; print the notes.

        A run in the work directory with another start or config is moved aside, unless ``resume`` is given.
        """
        self.check_fit()
        if resume is None:
            self.move_outdated_aside()  # before mended annotations are written there
        self.notes += check_data(self.cfg, mended_in=self.work_dir)
        print('\n'.join(self.notes), flush=True)

    def check_fit(self) -> None:
        """Build the backbone and load the weights; sets :attr:`parameters` and :attr:`frozen`.

        Raises:
            UserError: The weights do not fit.
        """
        images = self.cfg.train_dataloader.batch_size * self.gpus * int(self.nodes.rpartition(':')[2])
        cfg = self.cfg
        if '--auto-scale-lr' in self.flags:
            cfg = copy.deepcopy(cfg)
            cfg.auto_scale_lr = dict(cfg.get('auto_scale_lr') or {}, enable=True)
        self.parameters, self.frozen = check_fit(cfg, self.source, images)
        self.notes.append(self.frozen)

    def is_done(self) -> bool:
        """Whether the work directory holds a report of this config, these weights and annotations, and this seed."""
        row, own = run_record.read_row(self.work_dir), (self.config_sha256, self._sha256(), self.seed)
        same = tuple(map(row.get, ('config_sha256', 'checkpoint_sha256', 'seed'))) == own
        return same and run_record.same_annotations(row.get('annotations'), self.annotations)

    def move_outdated_aside(self) -> None:
        """Move the work directory aside if its run had another config, other weights or other annotations.

        Raises:
            UserError: That run is in progress.
        """
        record = run_record.read_record(self.work_dir)
        there = os.path.isdir(self.work_dir) and (
            record or os.path.isfile(os.path.join(self.work_dir, 'last_checkpoint'))
        )
        same = (record.get('config_sha256'), record.get('sha256')) == (self.config_sha256, self._sha256())
        same = same and run_record.same_annotations(record.get('annotations'), self.annotations)
        if self.reports and there and not same:
            # Fetched weights are kept in the work directory.
            move_outdated_aside(self.work_dir, needed=self.source.backbone.path if self.source.backbone else '')

    @property
    def seconds(self) -> float:
        """Training time so far, summed over all starts."""
        return run_record.read_record(self.work_dir).get('seconds', 0.0)

    def run(self) -> None:
        """Go on with this run in its work directory, or start it, and report: a :class:`~.schedule.Step`."""
        if self.is_done():  # by another process, since the list was made
            return
        self.move_outdated_aside()
        self.train(resume='auto')
        self.report()

    def train(self, resume: str | None = None) -> None:
        """Run ``tools/train.py``, or ``tools/dist_train.sh`` for several processes.

        Raises:
            UserError: ``--resume`` in a folder whose run had other weights or another seed; a run in the folder
                of which nothing was said.
            SystemExit: Training failed; carries its exit status.
            RunFailed: Training failed, in a run of a list.
        """
        resume = RunMark(self.work_dir, '--overwrite' in self.flags).to_resume(resume)  # it may have been preempted
        record = run_record.read_record(self.work_dir) if resume is not None else {}
        if record:
            own = self._sha256(), self.seed, self.config_sha256, self.annotations
            run_record.require_same(record, self.work_dir, *own)
        elif resume is None and '--overwrite' not in self.flags:
            require_unused(self.work_dir)
        before = record.get('seconds', 0.0)
        try:
            os.makedirs(self.work_dir, exist_ok=True)
            write_config(self.cfg, self.config)
            self._write_record(before)
        except OSError as error:
            raise UserError(
                f'the work directory {self.work_dir} cannot be written to '
                f'({error.strerror or error}): choose another with '
                f'--work-dir.'
            ) from error
        if self.gpus > 1 or self.nodes != '1':
            command = ['bash', tool('dist_train.sh'), self.config, str(self.gpus)]
        else:
            command = [sys.executable, tool('train.py'), self.config]
        command += ['--work-dir', self.work_dir]
        command += ['--resume', resume] if resume else []
        started = time.monotonic()
        try:
            self._run([*command, *self.flags])
        finally:
            self._write_record(before + time.monotonic() - started)

    def report(self) -> dict:
        """Print the row, and write ``report.md`` and ``report.json`` into the work directory.

        Returns:
            dict: The row; empty on a machine that is not the first.

        Raises:
            UserError: The run's metric is not an AP.
            SystemExit: Measuring the last checkpoint failed.
        """
        if not self.reports:
            return {}
        metrics = final_metrics(self.cfg, self.work_dir, self.config, self.validates, self._run)
        backbone = self.source.backbone
        row = dict(
            name=self.name,
            **metrics,
            **setting(self.cfg, self.work_dir),
            seconds=self.seconds,
            parameters=self.parameters,
            **{**provenance(self.command, self.seed), **run_record.code_at_start(self.work_dir)},
            processes=self.gpus,
            nodes=self.nodes,
            checkpoint=backbone.path if backbone else None,
            checkpoint_sha256=backbone.sha256 if backbone else None,
            pretraining=backbone.metadata if backbone else None,
            top1=self.top1,
            cost=self.cost,
            frozen=self.frozen,
            config=self.config,
            config_sha256=self.config_sha256,
            detector_config_sha256=self.detector_config_sha256,
            annotations=run_record.read_record(self.work_dir).get('annotations'),
            **self._first_losses(),
        )
        print_table(row)
        if row.get('remark'):
            print(row['remark'], flush=True)
        notes = [
            'AP of the last epoch, in percent; parameters of the backbone; seconds of training with its validations.',
            *self.notes,
        ]
        files = write_report(row, self.work_dir, f'Transfer: {self.name}', notes)
        print(f'Report: {files["md"]}', flush=True)
        return row

    def _first_losses(self) -> dict:
        if not self.records_losses:
            return {}
        try:
            return dict(first_losses=first_losses(self.cfg, self.seed))
        except Exception as error:  # the training is done, and a detector may not run on the CPU
            print(f'{self.title}: its first losses could not be taken ({type(error).__name__}: {error}).')
            return {}

    def _run(self, command: list) -> None:
        print(f'{"  " if self.title else "Running: "}{shlex.join(command)}', flush=True)
        run_child(command, self.title, os.path.join(self.work_dir, 'output.log') if self.title else '')

    def _write_record(self, seconds: float) -> None:
        if not self.reports:
            return
        backbone = self.source.backbone
        run_record.write_record(
            self.work_dir,
            dict(
                checkpoint=backbone.path if backbone else self.source.name,
                sha256=self._sha256(),
                seed=self.seed,
                seconds=round(seconds, 1),
                config_sha256=self.config_sha256,
                annotations=self.annotations,
                command=self.command,
            ),
        )

    def _sha256(self) -> str | None:
        return self.source.backbone.sha256 if self.source.backbone else None
