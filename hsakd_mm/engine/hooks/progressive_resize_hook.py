"""Progressive resolution: small images at first, at a fraction of the cost."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.unwrapped import unwrapped
from hsakd_mm.registry import HOOKS


@HOOKS.register_module()
class ProgressiveResizeHook(Hook):
    """Trains on smaller images at first (Howard, DAWNBench 2018; Touvron et al., 2019, on why the last epochs should
    have the size of the test).

    A batch is scaled on the device, after normalisation; validation keeps the size of its pipeline. The size is a
    function of the step, so that a resumed run goes on at the right one.

    Args:
        sizes (Sequence[tuple[float, int]]): From which share of the steps on images have how many pixels a side,
            such as ``[(0, 16), (0.4, 24), (0.7, 32)]``: the first from 0 on, in rising order.

    Raises:
        UserError: ``sizes`` is none such, or the data preprocessor does not scale images.
    """

    def __init__(self, sizes: Sequence[tuple[float, int]]) -> None:
        try:
            self.sizes = [(float(share), int(pixels)) for share, pixels in sizes]
        except (TypeError, ValueError):  # no pairs of numbers
            self.sizes = []
        shares = [share for share, _ in self.sizes]
        if not shares or shares != sorted(set(shares)) or shares[0] != 0 or shares[-1] >= 1:
            raise UserError(
                f'sizes of a ProgressiveResizeHook are expected to be (share of the steps, pixels), with shares that '
                f'rise from 0 and stay below 1, and they are {sizes!r}: give [(0, 160), (0.5, 224)], for example.'
            )

    def size_at(self, step: int, steps: int) -> int:
        """Pixels a side in the step, counted from 0, of a run of ``steps``."""
        return [pixels for share, pixels in self.sizes if step >= share * steps][-1]

    def before_train(self, runner) -> None:
        preprocessor = _preprocessor(runner.model)
        if not hasattr(preprocessor, 'train_size'):
            raise UserError(
                f'ProgressiveResizeHook needs a data preprocessor that scales images, and the model has '
                f'{type(preprocessor).__name__}: use ImagePreprocessor.'
            )

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        preprocessor, size = _preprocessor(runner.model), self.size_at(runner.iter, runner.max_iters)
        if preprocessor.train_size != size:
            runner.logger.info(f'Images of {size} x {size} pixels from step {runner.iter + 1} on.')
            preprocessor.train_size = size


def _preprocessor(model: nn.Module) -> nn.Module:
    return unwrapped(model).data_preprocessor
