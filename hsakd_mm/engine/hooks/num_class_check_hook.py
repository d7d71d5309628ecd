"""Checks the classes of the data and of the model before the first step."""

from mmengine.hooks import Hook

from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.datasets.same_classes import check_same_classes, classes_of, folder_of
from hsakd_mm.engine.class_match import match_classes
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.linear_probe import LinearProbe
from hsakd_mm.models.unwrapped import unwrapped
from hsakd_mm.registry import HOOKS


@HOOKS.register_module()
class NumClassCheckHook(Hook):
    """Rejects splits whose classes differ, and data whose classes are not the model's.

    Args:
        check_names (bool): Of a teacher on a frozen backbone (``model.checkpoint``), compare the names of the classes
            that the backbone was trained on with those of the data; another order is renumbered.
    """

    def __init__(self, check_names: bool = True) -> None:
        self.check_names = check_names

    def before_run(self, runner) -> None:
        model = unwrapped(runner.model)
        loops = dict(training=runner._train_loop, validation=runner._val_loop, test=runner._test_loop)
        splits = {name: getattr(getattr(loop, 'dataloader', None), 'dataset', None) for name, loop in loops.items()}
        # First the splits: a folder that lacks a class is not a model with too many of them.
        check_same_classes(splits)
        for name, dataset in splits.items():
            classes = classes_of(dataset)
            if classes is not None and len(classes) != model.num_classes:
                raise UserError(
                    f'the model has {model.num_classes} classes, and the {name} data in {folder_of(dataset)} has '
                    f'{len(classes)}: set num_classes={len(classes)} of its backbone, or use the data that this '
                    f'config was written for.'
                )

    def before_train(self, runner) -> None:
        model = unwrapped(runner.model)
        checkpoint = getattr(model, 'checkpoint', None)
        if runner.iter or not self.check_names or not checkpoint or '://' in checkpoint:
            return  # resumed: they are renumbered; published weights name no classes
        if isinstance(model, LinearProbe) or getattr(model, 'new_head', False):
            return  # it learns a classifier of its own
        path, switch = find_checkpoint(checkpoint), 'set default_hooks.num_class_check.check_names=False'
        said = match_classes(model, load_checkpoint(path), runner.train_dataloader.dataset, path, switch)
        if said:
            runner.logger.info(said)
