"""Event files for TensorBoard, in one folder for a training and its resumed parts."""

import os

from mmengine import visualization
from torch import Tensor

from hsakd_mm.engine.loggers.remembered import OneRun
from hsakd_mm.registry import VISBACKENDS


@VISBACKENDS.register_module()
class TensorboardVisBackend(OneRun, visualization.TensorboardVisBackend):
    """mmengine's, with validations at the iteration, and one curve for a training that was stopped and resumed.

    The files are in ``<work dir>/<time of the first start>/vis_data``; ``tensorboard --logdir <work dir>`` finds them.
    What a stopped run wrote after the checkpoint that it goes on from is hidden.
    """

    kind, title, package = 'tensorboard', 'TensorBoard', 'tensorboard'

    def _init_env(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder, purge = os.path.abspath(self._save_dir), None
        before = self.remembered()
        if isinstance(before, str) and os.path.isdir(os.path.join(self.work_dir, before)):
            folder, purge = os.path.join(self.work_dir, before), self._runner.iter + 1
        self.remember(os.path.relpath(folder, self.work_dir))
        self._tensorboard = SummaryWriter(folder, purge_step=purge)
        if self.cfg is not None:
            self._tensorboard.add_text(
                'config', f'```python\n{self.cfg.pretty_text}\n```', self._runner.iter if self._runner else 0
            )

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs) -> None:
        scalars, step = self.at_step(scalar_dict, step, file_path)
        for name, value in scalars.items():
            if isinstance(value, (int, float, Tensor)):
                self.add_scalar(name, value, step)

    @property
    def place(self) -> str:
        return f'tensorboard --logdir {os.path.relpath(self._tensorboard.log_dir)}'
