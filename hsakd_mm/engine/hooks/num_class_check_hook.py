"""Classes of the data against classes of the model, before the first step."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from hsakd_mm.errors import UserError
from hsakd_mm.registry import HOOKS


@HOOKS.register_module()
class NumClassCheckHook(Hook):
    """Refuses data whose number of classes is not the model's, or differs between splits."""

    def before_run(self, runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        loops = [('training', runner._train_loop), ('validation', runner._val_loop), ('test', runner._test_loop)]
        seen = None
        for split, loop in loops:
            dataset = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
            classes = getattr(dataset, 'metainfo', {}).get('classes')
            if classes is None:
                continue
            if len(classes) != model.num_classes:
                raise UserError(
                    f'the model has {model.num_classes} classes, and the {split} data '
                    f'at {getattr(dataset, "data_root", None)} has {len(classes)}: set '
                    f'num_classes={len(classes)} of its backbone, or use the data that this '
                    f'config was written for.'
                )
            if seen and classes != seen[1]:
                odd = sorted(set(classes) ^ set(seen[1]))
                what = f'{odd[0]!r} is in one only' if odd else 'their order differs'
                raise UserError(
                    f'the {seen[0]} and the {split} data must have the same classes, and '
                    f'{what}: use two splits of one dataset.'
                )
            seen = seen or (split, classes)
