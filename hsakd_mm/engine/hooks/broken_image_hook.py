"""A file that breaks during a run does not end it."""

import os

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook

from hsakd_mm.datasets.broken_images import BrokenImages, Replacing, leaves
from hsakd_mm.errors import UserError
from hsakd_mm.registry import HOOKS

BROKEN = 'broken_images'  # in the message hub: how many


@HOOKS.register_module()
class BrokenImageHook(Hook):
    """Replaces training images that cannot be read any more by others of their class.

    The files are listed in ``work_dir/broken_images.txt``, and their number is in the log and the message hub. Beyond
    the budget the run ends. It counts all epochs and processes (those that share the work directory), and goes on in
    a resumed run. Validation images are never replaced, and what is missing at the start still ends the run there.

    Works with mmengine's ``BaseDataset`` and classes derived from it, also within wrappers. For MMDetection's, which
    have no one class, it is any other image; a JPEG that is cut off is decoded by OpenCV as far as it goes, and is
    not noticed. Needs a loop that starts its workers after ``before_train``, as ExactEpochLoop, ExactIterLoop and
    mmengine's EpochBasedTrainLoop do.

    Args:
        budget (float): Share of the training images that may break, 0 for none; of a small set at least one may.

    Raises:
        UserError: More broke.
    """

    def __init__(self, budget: float = 0.001) -> None:
        if not isinstance(budget, int | float) or not 0 <= budget < 1:
            raise UserError(
                f'BrokenImageHook expects budget to be a share from 0 to below 1, and it is {budget!r}: 0.001 allows '
                f'one image in a thousand to break.'
            )
        self.budget, self.reported = budget, 0
        self.broken: BrokenImages | None = None

    def before_train(self, runner) -> None:
        datasets = list(leaves(runner.train_dataloader.dataset))
        if not datasets or self.budget == 0:
            return
        path = os.path.join(os.path.abspath(runner.work_dir), 'broken_images.txt')
        if is_main_process() and not runner.iter and os.path.exists(path):
            os.remove(path)  # of an earlier run
        broadcast_object_list([None])  # no rank lists a file before
        total = sum(map(len, datasets))
        self.broken = BrokenImages(path, max(1, int(self.budget * total)), total)
        self.reported = len(self.broken.listed())
        seed = getattr(runner.train_loop, 'seed', runner.seed) or 0
        for dataset in datasets:
            dataset.prepare_data = Replacing(dataset, self.broken, seed)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self.every_n_train_iters(runner, 100):
            self._report(runner)

    def after_train_epoch(self, runner) -> None:
        self._report(runner)

    def _report(self, runner) -> None:
        if self.broken is None:
            return
        listed = self.broken.listed()
        runner.message_hub.update_info(BROKEN, len(listed))
        if len(listed) > self.reported:
            self.reported = len(listed)
            runner.logger.warning(
                f'{len(listed)} images could not be read and were replaced by others of their class ('
                f'{self.broken.allowed} may be); {self.broken.path} lists them.'
            )
