"""One transfer: from a checkpoint and a detection config to a row of the table."""
import copy
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from mmengine.config import Config

from hsakd_mm.engine.launch import wait_after_interrupt
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.work_dir import last_checkpoint

from .backbone_file import replace
from .detector import check_data, check_fit, measured_by, start_from
from .report import in_percent, print_table, provenance, read_metrics, write_report
from .source import resolve

RECORD = 'transfer.json'  # in the work directory: what the run there started from


class TransferRun:
    """Prepares, checks, trains and reports, in this order.

    The detector's config with everything that was set in it is written into the work directory,
    and that file is what ``tools/train.py`` runs. On several machines (``NNODES``) each runs this,
    and the one with ``NODE_RANK`` 0 keeps the record and reports.

    Args:
        checkpoint (str): Training checkpoint, backbone file, or ``random``.
        config (str): Detection config.
        gpus (int): Processes on this machine.
        work_dir (str): ``work_dirs/transfer/<checkpoint>-<config>`` by default, with
            ``-seed<seed>`` where that is given.
        seed (int): The config's by default, else 0.
        options (dict): ``--cfg-options``; they have the last word.

    Raises:
        UserError: The checkpoint or the config is not what it should be.
    """

    def __init__(self, checkpoint: str, config: str, gpus: int = 1, work_dir: str | None = None,
                 seed: int | None = None, options: dict | None = None) -> None:
        self.cfg = load_config(config, options, needs=('model', 'train_dataloader'))
        if self.cfg.get('default_scope') != 'mmdet' or 'backbone' not in self.cfg.model:
            raise UserError(f"a detection config was expected (default_scope 'mmdet', a model with "
                            f'a backbone), and {config} is none: name one such as those in '
                            f'configs/transfer.')
        self.source = resolve(checkpoint)
        self.notes = [*self.source.notes, *start_from(self.cfg, self.source)]
        self.cfg.merge_from_dict(options or {})
        stem = os.path.splitext(os.path.basename(config))[0]
        self.work_dir = work_dir or os.path.join('work_dirs', 'transfer',
                                                 f'{self.source.name}-{stem}'
                                                 + ('' if seed is None else f'-seed{seed}'))
        self.config = os.path.join(self.work_dir, f'{stem}.py')
        randomness = dict(self.cfg.get('randomness') or {})
        self.seed = seed if seed is not None else randomness.get('seed') or 0
        self.cfg.randomness = dict(randomness, seed=self.seed)
        if not measured_by(self.cfg):
            raise UserError(f'a transfer ends in an AP, and {config} has neither val_dataloader '
                            f'and val_evaluator nor test_dataloader and test_evaluator: add them.')
        if gpus < 1:
            raise UserError(f'the number of GPUs (on a machine without: of processes) should be '
                            f'positive, and is {gpus}.')
        self.gpus = gpus
        self.nodes = os.environ.get('NNODES', '1')
        self.reports = os.environ.get('NODE_RANK', '0') == '0'
        self.validates = measured_by(self.cfg) == 'val'
        self.command = shlex.join(['python', f'tools/{os.path.basename(sys.argv[0])}',
                                   *sys.argv[1:]])
        self.parameters = 0

    def check(self) -> None:
        """Everything that can be known to go wrong before training: data, and the weights' fit."""
        check_data(self.cfg)
        print('\n'.join(self.notes), flush=True)
        self.parameters = check_fit(self.cfg)

    def train(self, tools: str, resume: str | None = None, flags: Sequence[str] = ()) -> None:
        """Run ``tools/train.py``, or ``tools/dist_train.sh`` for several processes.

        Raises:
            UserError: ``--resume`` in a folder whose run had another start or seed.
            SystemExit: Training failed; its exit status is handed on.
        """
        before = self._record(resume is not None)
        try:
            os.makedirs(self.work_dir, exist_ok=True)
            _write_config(self.cfg, self.config)
            self._write_record(before)
        except OSError as error:
            raise UserError(f'the work directory {self.work_dir} cannot be written to '
                            f'({error.strerror or error}): choose another with '
                            f'--work-dir.') from error
        self.validates = self.validates and '--no-validate' not in flags
        if self.gpus > 1 or self.nodes != '1':
            command = ['bash', os.path.join(tools, 'dist_train.sh'), self.config, str(self.gpus)]
        else:
            command = [sys.executable, os.path.join(tools, 'train.py'), self.config]
        command += ['--work-dir', self.work_dir]
        command += ['--resume', resume] if resume else []
        print(f'Running: {shlex.join([*command, *flags])}', flush=True)
        started = time.monotonic()
        try:
            status = _run([*command, *flags], tools)
        finally:
            self._write_record(before + time.monotonic() - started)
        _exit_unless_zero(status)

    def report(self, tools: str) -> dict:
        """Print the row, and write ``report.md`` and ``report.json`` into the work directory.

        Returns:
            dict: The row; empty on a machine that is not the first.

        Raises:
            UserError: The run's metric is no AP.
            SystemExit: The test of a run that had not validated its end failed.
        """
        if not self.reports:
            return {}
        last = self.cfg.train_cfg.get('max_epochs') or self.cfg.train_cfg.get('max_iters')
        # mmengine saves an epoch before it validates it: a run that was stopped between the two
        # and then resumed has nothing left to do, and no AP of its end.
        metrics = (self.validates and read_metrics(self.work_dir, last)) or self._test(tools)
        if not metrics:
            raise UserError(f'the run in {self.work_dir} was expected to end in an AP, and its '
                            f'metric is another: use CocoMetric or VOCMetric.')
        backbone = self.source.backbone
        row = dict(
            name=self.source.method,
            **metrics,
            seconds=self._read_record()['seconds'],
            parameters=self.parameters,
            **provenance(self.command, self.seed),
            processes=self.gpus,
            nodes=self.nodes,
            checkpoint=backbone.path if backbone else None,
            checkpoint_sha256=backbone.sha256 if backbone else None,
            pretraining=backbone.metadata if backbone else None,
            top1=None,
            config=self.config)
        print_table([row])
        notes = ['AP of the last epoch, in percent; parameters of the backbone; seconds of '
                 'training with its validations.', *self.notes]
        files = write_report([row], self.work_dir, f'Transfer: {self.source.name}', notes)
        print(f'Report: {files["md"]}', flush=True)
        return row

    def _test(self, tools: str) -> dict:
        """Measure the last checkpoint as the validation would have, which is left to test.py."""
        checkpoint = last_checkpoint(self.work_dir)
        if checkpoint is None:
            raise UserError(f'the run in {self.work_dir} was expected to leave a checkpoint to '
                            f'measure, and there is none: save the last epoch '
                            f'(default_hooks.checkpoint).')
        folder = os.path.join(self.work_dir, 'final_test')
        config = os.path.join(folder, os.path.basename(self.config))
        out = os.path.join(folder, 'metrics.json')
        cfg = copy.deepcopy(self.cfg)
        for part in ('dataloader', 'evaluator'):
            cfg[f'test_{part}'] = cfg[f'{measured_by(self.cfg)}_{part}']
        cfg.test_cfg = cfg.get('test_cfg') or dict(type='TestLoop')
        _write_config(cfg, config)
        command = [sys.executable, os.path.join(tools, 'test.py'), config, checkpoint,
                   '--work-dir', folder, '--out', out]
        print(f'No AP was logged after the last epoch. Running: {shlex.join(command)}', flush=True)
        _exit_unless_zero(_run(command, tools))
        with open(out) as file:
            return in_percent(json.load(file)['metrics'])

    def _record(self, resume: bool) -> float:
        """Seconds spent before, where this run goes on with an earlier one."""
        record = self._read_record()
        if not resume or not record:
            return 0.
        if record['sha256'] != self._sha256():
            raise UserError(f'--resume goes on with the run in {self.work_dir}, and that started '
                            f'from {record["checkpoint"]} (SHA-256 {record["sha256"]}), not from '
                            f'this file: choose another --work-dir, or leave --resume out.')
        if record.get('seed', self.seed) != self.seed:
            raise UserError(f'--resume goes on with the run in {self.work_dir}, and that has seed '
                            f'{record["seed"]}, not {self.seed}: add --seed {record["seed"]}, '
                            f'choose another --work-dir, or leave --resume out.')
        return record['seconds']

    def _read_record(self) -> dict:
        path = os.path.join(self.work_dir, RECORD)
        if not os.path.isfile(path):
            return {}
        with open(path) as file:
            return json.load(file)

    def _write_record(self, seconds: float) -> None:
        if not self.reports:
            return
        backbone = self.source.backbone
        record = dict(checkpoint=backbone.path if backbone else self.source.name,
                      sha256=self._sha256(), seed=self.seed, seconds=round(seconds, 1),
                      command=self.command)
        replace(os.path.join(self.work_dir, RECORD),
                lambda file: file.write(json.dumps(record, indent=1).encode() + b'\n'))

    def _sha256(self) -> str | None:
        return self.source.backbone.sha256 if self.source.backbone else None


def _write_config(cfg: Config, path: str) -> None:
    # Whole or not at all: another machine may be reading it.
    replace(path, lambda file: file.write(cfg.pretty_text.encode()))


def _exit_unless_zero(status: int) -> None:
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def _run(command: Sequence[str], tools: str) -> int:
    """Run a child that dies with us, and that is given the time to end by itself on Ctrl-C."""
    root = os.path.dirname(tools)
    path = os.pathsep.join(filter(None, [root, os.environ.get('PYTHONPATH')]))
    process = subprocess.Popen(command,
                               env={**os.environ, 'PYTHONPATH': path, 'PYTHON': sys.executable})

    def hand_on(number, frame):
        process.send_signal(number)

    previous = signal.signal(signal.SIGTERM, hand_on)
    try:
        return process.wait()
    except KeyboardInterrupt:
        if wait_after_interrupt(process) == 130:  # the child has said how to go on
            raise SystemExit(130) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
