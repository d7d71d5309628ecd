"""A model of 15 parameters, its data and its metric: what the tools need to run in seconds."""

import os
import select
import signal
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.processes import ranks
from hsakd_mm.registry import DATASETS, HOOKS, METRICS, MODELS


@MODELS.register_module()
class TinyModel(BaseModel):
    """A linear layer; reports as ``half`` whether it computed in bfloat16."""

    def __init__(self, classes: int = 3, data_preprocessor=None) -> None:
        super().__init__()
        self.line = nn.Linear(4, classes)

    def forward(self, inputs, labels=None, mode='tensor'):
        logits = self.line(inputs)
        if mode == 'loss':
            half = torch.tensor(float(logits.dtype == torch.bfloat16))
            return dict(loss=F.cross_entropy(logits.float(), labels), half=half)
        return [dict(correct=float(row.argmax() == label)) for row, label in zip(logits, labels)]


@DATASETS.register_module()
class TinySet:
    """16 fixed vectors; ``broken`` names one that cannot be read.

    ``gate`` is a FIFO that is read before the second epoch: without a writer that waits for ever.
    """

    metainfo: ClassVar[dict] = {}

    def __init__(self, broken: int | None = None, gate: str | None = None) -> None:
        self.broken, self.gate, self.read = broken, gate, 0

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict:
        self.read += 1
        if self.gate and self.read > len(self):
            open(self.gate).close()
        if index == self.broken:
            raise UserError(f'sample {index} cannot be read: replace it.')
        generator = torch.Generator().manual_seed(index)
        return dict(inputs=torch.randn(4, generator=generator), labels=index % 3)


@METRICS.register_module()
class TinyMetric(BaseMetric):
    default_prefix = 'tiny'

    def process(self, data_batch, data_samples) -> None:
        self.results += [sample['correct'] for sample in data_samples]

    def compute_metrics(self, results) -> dict:
        return dict(accuracy=sum(results) / len(results), images=len(results))


@HOOKS.register_module()
class Refusing(Hook):
    """Finds before training that something is missing."""

    def preflight(self) -> None:
        raise UserError('there is nothing to learn from: give something.')

    def before_train(self, runner) -> None:
        raise AssertionError('the run started')


@HOOKS.register_module()
class Draws(Hook):
    """Gives the visualizer a picture after each validation."""

    def after_val_epoch(self, runner, metrics=None) -> None:
        runner.visualizer.add_image('drawn', np.full((8, 8, 3), 99, np.uint8), step=runner.iter)


@HOOKS.register_module()
class WaitsForSignal(Hook):
    """Waits in the first step, or the first batch of the validation, until a signal has come.

    Prints ``waiting RANK``, and ``received RANK`` if a signal has come.

    Args:
        flag (str): Only while this file exists.
        epoch (int): In the epoch after so many, and in its validation.
        validation (bool): In the validation.
    """

    priority = 'VERY_HIGH'

    def __init__(self, flag: str, epoch: int, validation: bool) -> None:
        self.flag, self.epoch, self.validation = flag, epoch, validation

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if not self.validation and runner.epoch == self.epoch and batch_idx == 0:
            self._wait()

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        if self.validation and runner.epoch == self.epoch + 1 and batch_idx == 0:
            self._wait()

    def _wait(self) -> None:
        if not os.path.exists(self.flag):
            return
        reader, writer = os.pipe2(os.O_NONBLOCK)
        signal.set_wakeup_fd(writer)
        os.write(1, f'waiting {ranks()[0]}\n'.encode())
        received: list = []
        while not received and os.path.exists(self.flag):
            received = select.select([reader], [], [], 0.1)[0]
        if received:
            os.write(1, f'received {ranks()[0]}\n'.encode())
        signal.set_wakeup_fd(-1)
        os.close(reader)
        os.close(writer)


@HOOKS.register_module()
class KilledWhileSaving(Hook):
    """A SIGKILL while a file is written.

    Args:
        flag (str): Only while this file exists.
        name (str): The file's name.
        moment (str): 'half' of it is written, it is written but not yet in place ('whole'), or it is in 'place'.
    """

    def __init__(self, flag: str, name: str, moment: str) -> None:
        self.flag, self.name, self.moment = flag, name, moment

    def before_run(self, runner) -> None:
        usual = os.replace

        def replace(source, target) -> None:
            if os.path.basename(target) != self.name or not os.path.exists(self.flag):
                return usual(source, target)
            if self.moment == 'half':
                os.truncate(source, os.path.getsize(source) // 2)
            if self.moment == 'place':
                usual(source, target)
            os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replace
