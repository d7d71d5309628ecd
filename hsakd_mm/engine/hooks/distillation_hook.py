"""The teacher's life: built, loaded, checked, frozen, attached, never saved."""
import glob
import os

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from hsakd_mm.checkpoint import load_checkpoint, load_strict, sha256
from hsakd_mm.engine.preflight import last_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.teacher_check import measure_teacher
from hsakd_mm.registry import HOOKS, MODELS


@HOOKS.register_module()
class DistillationHook(Hook):
    """Gives a student its teacher and keeps the teacher out of everything else.

    The teacher is attached outside module registration, so that no checkpoint, optimizer group,
    EMA copy or DDP bucket of the student can hold it. It runs in the student's autocast context
    (``--amp``), that is in the same compute format, without gradient.

    Args:
        teacher (dict): Config of the teacher, as it was trained.
        checkpoint (str): Its checkpoint, or its work directory, in which the best checkpoint is
            taken and, where there is none, the last.
        ramp_up_epochs (float): The distillation weight grows linearly from 0 to 1 over so many
            epochs; 0 (the paper) means 1 from the start.
        check (bool): Measure the teacher on the validation set before training: its top-1, and its
            branches' joint accuracy. One no better than chance then stops the run.

    Raises:
        UserError: No such checkpoint, a checkpoint of another network, a teacher no better than
            chance, or a model that takes no teacher.
    """

    priority = 'VERY_HIGH'  # before hooks that look at the model, such as EMAHook

    def __init__(self, teacher: dict, checkpoint: str, ramp_up_epochs: float = 0.,
                 check: bool = True) -> None:
        self.teacher_cfg = teacher
        self.checkpoint = checkpoint
        self.ramp_up_epochs = ramp_up_epochs
        self.check = check

    def preflight(self) -> None:
        """Called by tools/train.py before any data is read: a missing teacher ends the run there."""
        find_checkpoint(self.checkpoint)

    def before_train(self, runner) -> None:
        # Not before_run: that happens before a mere test as well, which needs no teacher.
        student = _unwrap(runner.model)
        if not hasattr(student, 'attach_teacher'):
            raise UserError(f'DistillationHook needs a model that takes a teacher, and '
                            f'{type(student).__name__} does not: remove the hook, or use a '
                            f'method such as HSAKD.')
        path = find_checkpoint(self.checkpoint)
        teacher = MODELS.build(self.teacher_cfg)
        content = load_checkpoint(path)
        load_strict(teacher, content['state_dict'], source=path, what='teacher')
        _check_same_input(student.data_preprocessor, content, path)
        teacher.requires_grad_(False).eval()
        teacher.to(next(student.parameters()).device)
        if getattr(student.data_preprocessor, 'channels_last', False):
            teacher.to(memory_format=torch.channels_last)
        student.attach_teacher(teacher)
        runner.logger.info(f'Teacher: {type(teacher).__name__} from {path}, SHA-256 {sha256(path)}')
        if not self.check or runner.val_loop is None:
            runner.logger.warning('Teacher: its accuracy is not checked before training.')
            return
        measured = measure_teacher(teacher, runner.val_dataloader, student.data_preprocessor)
        for what, accuracy in measured.items():
            runner.logger.info(f'Teacher: {what} {accuracy.share:.2%} on {accuracy.count} '
                               f'validation images, {accuracy.chance:.2%} by the best guess')
            accuracy.require_better_than_chance(what, self.checkpoint)
        runner.message_hub.update_info('teacher_top1', measured['top-1'].share)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if self.ramp_up_epochs:
            epochs = runner.iter / len(runner.train_dataloader)
            _unwrap(runner.model).distill_weight = min(1., epochs / self.ramp_up_epochs)


def find_checkpoint(path: str) -> str:
    """The file itself, or the best (else the last) checkpoint of a work directory."""
    if os.path.isfile(path):
        return path
    best = sorted(glob.glob(os.path.join(path, 'best_*.pth')), key=os.path.getmtime)
    found = best[-1] if best else last_checkpoint(path)
    if found is None:
        raise UserError(f'a teacher checkpoint was expected at {path}, and there is none: train '
                        f'the teacher first, or name its file with '
                        f'--cfg-options default_hooks.distillation.checkpoint=FILE.')
    return found


def _check_same_input(preprocessor: nn.Module, content: dict, path: str) -> None:
    """Student and teacher see one normalised batch: it must be what the teacher was trained on."""
    text = (content.get('meta') or {}).get('cfg')
    trained = Config.fromstring(text, '.py').model.get('data_preprocessor') if text else None
    for name in ('mean', 'std'):
        theirs = (trained or {}).get(name)
        ours = getattr(preprocessor, name, None)
        if theirs is not None and (ours is None or ours.flatten().tolist() != torch.tensor(
                theirs, dtype=torch.float32).tolist()):
            raise UserError(
                f'the teacher {path} was trained on images with {name} {list(theirs)}, and the '
                f'student is given {None if ours is None else ours.flatten().tolist()}: use one '
                f'data_preprocessor for both.')


def _unwrap(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model
