"""Puts what is no number into a step."""

import torch
from mmengine.hooks import Hook

from hsakd_mm.registry import HOOKS


@HOOKS.register_module()
class NaNImage(Hook):
    """Makes one pixel of the batch NaN at the given steps, on one rank or all; remembers the weights before."""

    priority = 'VERY_HIGH'

    def __init__(self, steps=(1,), rank: int | None = None, value: float = float('nan')) -> None:
        self.steps, self.rank, self.value = steps, rank, value
        self.before: dict = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter in self.steps and self.rank in (None, runner.rank):
            self.before = {key: each.clone() for key, each in runner.model.state_dict().items()}
            inputs = data_batch['inputs'] = torch.as_tensor(data_batch['inputs']).float()
            inputs.view(-1)[0] = self.value
