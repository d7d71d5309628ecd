"""Builds, loads, checks, freezes and attaches the teacher, which is never saved."""

import os
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from torch import nn

from hsakd_mm.checkpoints.class_names import class_names
from hsakd_mm.checkpoints.loading import load_checkpoint, sha256
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.datasets.same_classes import classes_of, labelled_parts
from hsakd_mm.engine.class_match import match_classes
from hsakd_mm.engine.frozen_teacher import freeze_teacher, load_trained
from hsakd_mm.engine.small_maps import use_matrix_products
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.teacher_check import measure_teacher
from hsakd_mm.models.distillers.teacher_targets import TeacherTargets
from hsakd_mm.models.unwrapped import unwrapped
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import HOOKS, MODELS


@HOOKS.register_module()
class DistillationHook(Hook):
    """Attaches a teacher to a student.

    The teacher is not registered as a module of the student, so that no checkpoint, optimizer group, EMA
    copy or DDP bucket of the student contains it. It runs in the student's autocast context (``--amp``)
    without gradient.

    Args:
        teacher (dict): Config of the teacher, as it was trained. Its ``data_preprocessor`` defines the
            normalisation of its images, which may differ from the student's; without one, the teacher
            gets the student's images.
        checkpoint (str): Checkpoint or work directory of the teacher; of a work directory the best
            checkpoint is used, or the last if there is no best. For a teacher that is only a backbone,
            such as a ``Classifier``, also weights of a plain backbone: a file of torchvision or timm,
            ``torchvision://resnet34``, ``timm://resnet34.a1_in1k``, ``hf-hub:OWNER/NAME``.
        ramp_up_epochs (float): Epochs over which the distillation weight grows linearly from 0 to 1;
            0 (the paper) means 1 from the start.
        check_classes (bool): Compare the names of the classes in the checkpoint with those of the training data, or
            where it has no labels of the validation data. In another order, the teacher's classes are renumbered; other
            names stop the run. A student that learns without labels has its teacher's names in its checkpoints.
        check (bool): Measure the teacher on the validation set before training: its top-1 and the joint
            accuracy of its branches. A teacher no better than chance stops the run. The head of an SSKD
            teacher is not measured, and no teacher is on images without labels.
        fold_bn (bool): Fold the teacher's BatchNorms into its convolutions
            (:mod:`~hsakd_mm.models.folding`): the same teacher in less time.
        cached_crops (int): Each image is augmented in as many ways, in turn, and the teacher is asked once for each:
            KD, DKD and HSAKD, in one process. The teacher's part of the cost falls to ``cached_crops / epochs``. Its
            outputs stay on the device: of HSAKD images x crops x 4 views x (1 + 4 L) x classes numbers for L branches.
            An image that breaks during the run keeps the target of before. 0: a new augmentation in each epoch, as in
            the papers.

    Raises:
        UserError: The checkpoint does not exist or belongs to another network, the teacher is no better
            than chance, or its classes are not those of the data, or the model takes no teacher.
    """

    priority = 'VERY_HIGH'  # before hooks that look at the model, such as EMAHook

    def __init__(
        self,
        teacher: dict,
        checkpoint: str,
        ramp_up_epochs: float = 0.0,
        check: bool = True,
        check_classes: bool = True,
        fold_bn: bool = False,
        cached_crops: int = 0,
    ) -> None:
        self.teacher_cfg = teacher
        self.checkpoint = checkpoint
        self.ramp_up_epochs = ramp_up_epochs
        self.check, self.check_classes = check, check_classes
        self.fold_bn = fold_bn
        if not isinstance(cached_crops, int) or cached_crops < 0:
            raise UserError(f'cached_crops is a number of crops of each image, 0 for none, and it is {cached_crops!r}.')
        self.cached_crops = cached_crops
        self.classes: tuple | None = None  # of the attached teacher, by name
        self.scope = DefaultScope.get_current_instance()  # of the config that the hook was inherited from

    def preflight(self) -> None:
        """Called by tools/train.py before any data is read: stops the run if the teacher is missing."""
        find_checkpoint(self.checkpoint)

    def before_train(self, runner) -> None:
        # Not in before_run, which is also called before a test, where no teacher is needed.
        student = unwrapped(runner.model)
        if not hasattr(student, 'attach_teacher'):
            raise UserError(
                f'DistillationHook needs a model that takes a teacher, and '
                f'{type(student).__name__} does not: remove the hook, or use a '
                f'method such as HSAKD.'
            )
        dataset = runner.train_dataloader.dataset
        validated = [] if runner.val_loop is None else [runner.val_dataloader.dataset]
        with isolated_rng('teacher'):  # images and their order are the same as without a teacher
            self._attach(student, runner.logger, [dataset, *validated])
            self._check(student, runner)
        if self.cached_crops:
            self._remember(student, runner)
        if hasattr(student, 'attach_dataset'):  # a method with a memory of the training images, such as CRD
            student.attach_dataset(dataset)

    def before_val(self, runner) -> None:
        self._have_it_asked(runner, runner.val_loop)

    def before_test(self, runner) -> None:
        self._have_it_asked(runner, runner.test_loop)

    def _have_it_asked(self, runner, loop) -> None:
        """Have the student predict what its teacher says too, if a metric of this loop compares the two."""
        student = unwrapped(runner.model)
        if hasattr(student, 'attach_teacher'):
            metrics = getattr(loop.evaluator, 'metrics', ())
            student.predict_teacher = any(getattr(metric, 'needs_teacher', False) for metric in metrics)
            if student.predict_teacher and not hasattr(student, 'teacher'):  # nothing was trained before
                with isolated_rng('teacher'):
                    self._attach(student, runner.logger, [loop.dataloader.dataset])

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        if self.classes and not classes_of(runner.train_dataloader.dataset):
            meta = checkpoint['meta']
            meta['dataset_meta'] = dict(meta.get('dataset_meta') or {}, classes=self.classes)

    def _attach(self, student: nn.Module, logger, datasets: list) -> None:
        """Load the teacher, number its classes as the first of ``datasets`` that has any, and attach it."""
        teacher = self._load_teacher(student, logger)
        if student.learns_classes and '://' not in self.checkpoint:  # published weights name no classes
            path, switch = find_checkpoint(self.checkpoint), 'set default_hooks.distillation.check_classes=False'
            content, data = load_checkpoint(path), next(filter(classes_of, datasets), None)
            self.classes = class_names(content)
            known = self.check_classes and data is not None
            if known and (said := match_classes(teacher, content, data, path, switch)):
                logger.info(f'Teacher: {said}')
                self.classes = classes_of(data)
        student.attach_teacher(teacher)

    def _load_teacher(self, student: nn.Module, logger) -> nn.Module:
        """The teacher: built, strictly loaded, frozen, on the student's device."""
        path = find_checkpoint(self.checkpoint)
        cfg = dict(self.teacher_cfg)
        if cfg.get('data_preprocessor') is None:
            cfg['data_preprocessor'] = student.data_preprocessor
        with DefaultScope.overwrite_default_scope(self.scope and self.scope.scope_name):
            teacher = MODELS.build(cfg)
        load_trained(teacher, path, 'teacher')
        freeze_teacher(teacher, student, self.fold_bn)
        use_matrix_products(teacher)
        digest = f', SHA-256 {sha256(path)}' if os.path.isfile(path) else ''
        logger.info(f'Teacher: {type(teacher).__name__} from {path}{digest}')
        return teacher

    def _remember(self, student: nn.Module, runner) -> None:
        """Have the student remember its teacher's outputs, and the images augmented in a fixed number of ways."""
        sampler: Any = getattr(runner.train_loop, 'sampler', None)
        # Of the class itself: a subclass with a loss of its own may ask otherwise.
        fits = vars(type(student)).get('asks_with_targets') and getattr(student, 'branch_interval', 1) == 1
        if not fits or not hasattr(sampler, 'crops') or get_world_size() > 1:
            raise UserError(
                f'cached_crops needs KD, DKD, or HSAKD with branches in every step, in one process and a loop of this '
                f'project; here {type(student).__name__} runs in {get_world_size()}, in a '
                f'{type(runner.train_loop).__name__}: set default_hooks.distillation.cached_crops=0.'
            )
        if getattr(student.data_preprocessor, 'batch_mix', None) is not None:
            raise UserError(
                'cached_crops remembers what the teacher says of an image, and batch_mix mixes each with another one '
                'in every step: set default_hooks.distillation.cached_crops=0, or leave batch_mix out.'
            )
        sampler.crops = self.cached_crops
        student.targets = TeacherTargets(len(runner.train_dataloader.dataset), self.cached_crops)

    def _check(self, student: nn.Module, runner) -> None:
        """Measure the teacher on the validation set; raise UserError if it is no better than chance."""
        if not self.check or runner.val_loop is None:
            runner.logger.warning('Teacher: its accuracy is not checked before training.')
            return
        if not student.learns_classes or False in labelled_parts(runner.val_dataloader.dataset):
            why = 'the validation images have no labels' if student.learns_classes else 'only its features are used'
            runner.logger.info(f'Teacher: its accuracy cannot be checked before training, as {why}.')
            return
        measured = measure_teacher(student.teacher, runner.val_dataloader)
        for what, accuracy in measured.items():
            runner.logger.info(
                f'Teacher: {what} {accuracy.share:.2%} on {accuracy.count} '
                f'validation images, {accuracy.chance:.2%} by the best guess'
            )
            accuracy.require_better_than_chance(what, self.checkpoint)
        runner.message_hub.update_info('teacher_top1', measured['top-1'].share)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if self.ramp_up_epochs:
            epochs = runner.iter / len(runner.train_dataloader)
            unwrapped(runner.model).ramp_up(epochs, self.ramp_up_epochs)
        if self.cached_crops:
            indices, crop = runner.train_loop.batch_indices(batch_idx), runner.train_loop.batch_crop(batch_idx)
            unwrapped(runner.model).targets.select(indices, crop)
