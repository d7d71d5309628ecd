"""Checks the classes of the data and of the model before the first step."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from hsakd_mm.datasets.same_classes import check_same_classes, classes_of, folder_of
from hsakd_mm.errors import UserError
from hsakd_mm.registry import HOOKS


@HOOKS.register_module()
class NumClassCheckHook(Hook):
    """Rejects splits whose classes differ, and data whose number of classes is not the model's."""

    def before_run(self, runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
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
