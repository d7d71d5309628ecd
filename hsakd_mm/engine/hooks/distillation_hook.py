"""The teacher's life: built, loaded, checked, frozen, attached, never saved."""
import glob
import math
import os

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from hsakd_mm.checkpoint import load_checkpoint, load_strict, sha256
from hsakd_mm.engine.preflight import last_checkpoint
from hsakd_mm.errors import UserError
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
        check (bool): Measure the teacher's top-1 accuracy on the validation set before training.
            A teacher no better than chance then stops the run.

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

    def before_train(self, runner) -> None:
        # Not before_run: that happens before a mere test as well, which needs no teacher.
        student = _unwrap(runner.model)
        if not hasattr(student, 'attach_teacher'):
            raise UserError(f'DistillationHook needs a model that takes a teacher, and '
                            f'{type(student).__name__} does not: remove the hook, or use a '
                            f'method such as HSAKD.')
        path = find_checkpoint(self.checkpoint)
        teacher = MODELS.build(self.teacher_cfg)
        load_strict(teacher, load_checkpoint(path)['state_dict'], source=path, what='teacher')
        _check_same_input(student.data_preprocessor, teacher.data_preprocessor)
        teacher.requires_grad_(False).eval()
        teacher.to(next(student.parameters()).device)
        student.attach_teacher(teacher)
        runner.logger.info(f'Teacher: {type(teacher).__name__} from {path}, SHA-256 {sha256(path)}')
        if self.check and runner.val_loop is not None:
            self._check_better_than_chance(runner, student, teacher)

    def _check_better_than_chance(self, runner, student: nn.Module,
                                  teacher: nn.Module) -> None:
        classes = teacher.backbone.num_classes
        correct, seen = measure_top1(teacher, runner.val_dataloader, student.data_preprocessor,
                                     classes)
        images = int(seen.sum())
        top1, chance = correct / images, seen.max().item() / images
        runner.logger.info(f'Teacher: top-1 {top1:.2%} on the {images} validation images')
        runner.message_hub.update_info('teacher_top1', top1)
        # Three standard deviations of a guess: a lucky one on a small set is no teacher either.
        bound = chance + 3 * math.sqrt(chance * (1 - chance) / images)
        if top1 <= bound:
            raise UserError(
                f'the teacher names {top1:.2%} of {images} validation images correctly, which is '
                f'no better than chance ({chance:.2%} by always naming the most frequent of '
                f'{classes} classes): check that {self.checkpoint} is a trained teacher, and that '
                f'its classes and input normalisation are those of this data.')

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if self.ramp_up_epochs:
            epochs = runner.iter / len(runner.train_dataloader)
            _unwrap(runner.model).distill_weight = min(1., epochs / self.ramp_up_epochs)


@torch.no_grad()
def measure_top1(model: nn.Module, dataloader, preprocessor: nn.Module, classes: int) -> tuple:
    """Images named correctly, and images seen of each class, over all ranks' shares of a loader.

    A plain forward of the backbone. Samplers pad the last shares, so that with several ranks up
    to a handful of images count twice: enough to tell a trained network from a wrong file.

    Returns:
        tuple[int, Tensor]: Correct ones, and ``[classes]``.
    """
    counts = torch.zeros(classes + 1, dtype=torch.int64)
    for batch in dataloader:
        batch = preprocessor(batch, False)
        correct = model.backbone(batch['inputs']).argmax(1) == batch['labels']
        counts[0] += correct.sum().cpu()
        counts[1:] += batch['labels'].bincount(minlength=classes).cpu()
    counts = counts.to(next(model.parameters()).device)  # NCCL reduces on the GPU only
    all_reduce(counts)
    return counts[0].item(), counts[1:]


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


def _check_same_input(student: nn.Module, teacher: nn.Module) -> None:
    """Student and teacher see one normalised batch, so both must expect the same normalisation."""
    for name in ('mean', 'std'):
        ours, theirs = getattr(student, name, None), getattr(teacher, name, None)
        if theirs is not None and (ours is None or not torch.equal(ours.cpu(), theirs.cpu())):
            raise UserError(
                f'the teacher was trained on images with {name} {theirs.flatten().tolist()}, and '
                f'the student is given {None if ours is None else ours.flatten().tolist()}: use '
                f'one data_preprocessor for both.')


def _unwrap(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model
