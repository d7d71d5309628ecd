"""A config's training step in its variants: ours with one set of levers or another, and the reference.

A variant's name is a precision and levers, joined by "+": ``amp+channels_last+fold_bn+compile``. Precisions:

* ``fp32``: float32 throughout.
* ``tf32``: float32 whose products are rounded to TF32 on the GPU; no difference on a CPU.
* ``amp``: bfloat16 autocast, as ``tools/train.py --amp``.

Levers: ``channels_last`` (NHWC), ``fold_bn`` (the teacher's BatchNorms), ``compile`` (CompileHook), ``fused`` (the
optimizer's kernel), ``stem`` (benchmarks/stem.py, a candidate), and two of a CPU, which ``tools/train.py`` uses by
itself: ``keep_memory`` (freed memory stays with the process), ``small_maps`` (with ``channels_last``, convolutions with
outputs of 2x2 and less as matrix products).
``reference:fp32`` is benchmarks/reference_step.py at that precision.
"""

import copy

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn

from benchmarks.reference_step import AuxiliaryResNet, ReferenceStep, normalised
from benchmarks.stem import use_blocks
from benchmarks.timing import Phases, timed
from hsakd_mm.engine.frozen_teacher import freeze_teacher
from hsakd_mm.engine.hooks import CompileHook
from hsakd_mm.engine.optim import use_amp
from hsakd_mm.engine.small_maps import use_matrix_products
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.student import UnregisteredModule
from hsakd_mm.registry import HOOKS, MODELS

PRECISIONS = ('fp32', 'tf32', 'amp')
LEVERS = ('channels_last', 'fold_bn', 'compile', 'fused', 'keep_memory', 'small_maps', 'stem')


def parse(name: str) -> tuple[str, set]:
    """Precision and levers of a variant's name without ``reference:``."""
    precision, *levers = name.split('+')
    if precision not in PRECISIONS or set(levers) - set(LEVERS):
        raise UserError(
            f'a variant is one of {", ".join(PRECISIONS)}, followed by any of +{", +".join(LEVERS)}, and this one '
            f'is {name!r}: write amp+channels_last, for example.'
        )
    return precision, set(levers)


def set_precision(precision: str) -> None:
    """Whether float32 products may be rounded to TF32, for all that runs from now on."""
    tf32 = precision != 'fp32'
    torch.set_float32_matmul_precision('high' if tf32 else 'highest')
    torch.backends.cudnn.allow_tf32 = tf32


class Networks:
    """A config's student and teacher, built once: every variant starts from a copy.

    Args:
        cfg (Config): Of a run with a student, and with a teacher where the method has one.
        random_teacher (bool): Do not load the teacher's checkpoint: the time is the same.
    """

    def __init__(self, cfg: Config, random_teacher: bool) -> None:
        self.cfg = cfg = copy.deepcopy(cfg)
        hook = (cfg.get('default_hooks') or {}).get('distillation')
        for part in (cfg.model, (hook or {}).get('teacher') or {}):
            if part.get('data_preprocessor') is not None:  # built in NCHW: weights are not turned back
                part.data_preprocessor.channels_last = False
        self.student = MODELS.build(copy.deepcopy(cfg.model))
        self.hook_cfg = None if hook is None else dict(hook)
        self.teacher = None
        if hook is None:
            return
        teacher_cfg = dict(hook.teacher)
        if teacher_cfg.get('data_preprocessor') is None:
            teacher_cfg['data_preprocessor'] = self.student.data_preprocessor
        if random_teacher:
            self.teacher = MODELS.build(teacher_cfg)
            set_statistics(self.teacher, getattr(self.teacher, 'forward_branches', self.teacher.logits))
        else:
            self.teacher = HOOKS.build({**self.hook_cfg, 'fold_bn': False})._load_teacher(
                self.student, MMLogger.get_current_instance()
            )

    def ours(self, variant: str, device: str, phases: Phases) -> 'OurStep':
        precision, levers = parse(variant)
        cfg, student = copy.deepcopy(self.cfg), copy.deepcopy(self.student)
        student.data_preprocessor.channels_last = 'channels_last' in levers
        student.match_memory_format()
        student.to(device).train()
        if self.teacher is not None:
            teacher = copy.deepcopy(self.teacher)
            student._teacher = UnregisteredModule()  # copies of a student share their teacher
            freeze_teacher(teacher, student, 'fold_bn' in levers)
            student.attach_teacher(teacher)
        if 'stem' in levers:
            use_blocks(student)
            if self.teacher is not None:
                use_blocks(teacher)
        if 'small_maps' in levers:
            use_matrix_products(student)
            if self.teacher is not None:
                use_matrix_products(teacher)
        if precision == 'amp':
            use_amp(cfg)
        cfg.optim_wrapper.optimizer.pop('fused', None)
        if 'fused' in levers:
            cfg.optim_wrapper.optimizer.fused = True
        wrapper = build_optim_wrapper(student, cfg.optim_wrapper)
        if 'compile' in levers:
            CompileHook(fullgraph=True).compile(student)
        elif self.teacher is not None:
            entry = 'forward_branches' if hasattr(teacher, 'forward_branches') else 'logits'
            timed(teacher, entry, phases, 'teacher forward')
        return OurStep(student, wrapper, phases)

    def reference(self, precision: str, device: str, phases: Phases) -> 'TheirStep':
        names = [self.cfg.model.backbone.get('model_name'), self.hook_cfg['teacher']['backbone'].get('model_name')]
        if set(names) - {'resnet18', 'resnet34'} or self.cfg.model.type != 'HSAKD':
            raise UserError(
                f'the reference is written for HSAKD of resnet18 and resnet34, and this config has '
                f'{self.cfg.model.type} of {" and ".join(map(str, names))}: leave out --against.'
            )
        step = ReferenceStep(*names, self.cfg.model.backbone.num_classes, device, precision == 'amp', phases)
        set_statistics(step.teacher, step.teacher)
        return TheirStep(step)


class OurStep:
    """mmengine's own ``train_step``, with its phases timed.

    Args:
        model, wrapper: The student with its teacher attached, and its optimizer wrapper.
        phases (Phases): Times.
    """

    def __init__(self, model: nn.Module, wrapper, phases: Phases) -> None:
        self.model, self.wrapper = model, wrapper
        timed(model.data_preprocessor, 'forward', phases, 'copy')
        timed(model, '_run_forward', phases, 'forward')
        timed(wrapper, 'backward', phases, 'backward')
        timed(wrapper, 'step', phases, 'optimizer')

    def __call__(self, images: Tensor, labels: Tensor) -> dict:
        return self.model.train_step(dict(inputs=images, labels=labels), self.wrapper)

    @staticmethod
    def batches(images: Tensor) -> Tensor:
        """What its loader gives: uint8."""
        return images

    def static_bytes(self) -> int:
        return static_bytes(self.model, self.model.teacher if hasattr(self.model, 'teacher') else None)


class TheirStep:
    """The reference, called as :class:`OurStep`."""

    def __init__(self, step: ReferenceStep) -> None:
        self.step = step

    def __call__(self, images: Tensor, labels: Tensor) -> dict:
        return self.step(images, labels)

    @staticmethod
    def batches(images: Tensor) -> Tensor:
        """What its loader gives: float32, normalised."""
        return normalised(images)

    def static_bytes(self) -> int:
        return static_bytes(self.step.net, self.step.teacher)


def static_bytes(student: nn.Module, teacher: nn.Module | None) -> int:
    """Weights, gradients and momentum of the student, and the weights of the teacher."""
    own = 3 * sum(each.numel() * each.element_size() for each in student.parameters())
    return own + sum(each.numel() * each.element_size() for each in (teacher.parameters() if teacher else ()))


@torch.no_grad()
def set_statistics(net: nn.Module, run) -> None:
    """Give BatchNorms that nobody trained the statistics of random images, so that nothing overflows."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    parameter = next(net.parameters())
    net.train()
    for norm in norms:
        norm.momentum = 1.0
    run(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(parameter.device))
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    net.eval()


def reference_weights(theirs: AuxiliaryResNet, ours: nn.Module) -> None:
    """Copy the weights of a ``TimmBackbone`` ResNet and its ``TailBranches`` into the reference's network."""
    theirs.backbone.load_state_dict(ours.backbone.state_dict())
    for branch, classifier, source in zip(theirs.branches, theirs.classifiers, ours.branches):
        values = list(source.stages.state_dict().values())
        branch.load_state_dict(dict(zip(branch.state_dict(), values, strict=True)))
        classifier.load_state_dict(source.fc.state_dict())
