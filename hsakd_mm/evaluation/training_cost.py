"""What a training image costs, in multiply-adds of a real step: views, branches, teacher and backward included."""

import copy
from collections.abc import Iterator
from types import SimpleNamespace

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from hsakd_mm.models.distillers.student import UnregisteredModule
from hsakd_mm.models.distillers.teacher_targets import TeacherTargets
from hsakd_mm.registry import MODELS, type_name

BATCH = 2  # the fewest images that BatchNorm takes at 1 x 1


def training_macs(cfg: Config, size: int) -> float:
    """Multiply-adds of one training image of ``cfg``: of convolutions and matrix products, forward and backward.

    Counted by torch in a step of the method itself, so that whatever it computes is in it; the mean over
    ``branch_interval`` steps, over the sizes of a ProgressiveResizeHook, and over epochs in which a teacher's outputs
    are remembered or not (``cached_crops``). Augmentation and optimizer are not in it.

    Args:
        cfg (Config): Of a training run; its checkpoints are not read.
        size (int): Height and width of an image in pixels.

    Raises:
        UserError: The config's model cannot be built.
    """
    model = build_with_teacher(cfg)
    interval = getattr(model, 'branch_interval', 1)
    crops = ((cfg.get('default_hooks') or {}).get('distillation') or {}).get('cached_crops', 0)
    total = 0.0
    for share, pixels in _sizes(cfg, size):
        epochs = cfg.get('train_cfg', {}).get('max_epochs')  # None of a run that counts steps: as if each crop were new
        asked = min(1.0, crops / (share * epochs)) if crops and epochs else 1.0
        first, *others = (_count(model, pixels, step, bool(crops)) for step in range(min(2, interval)))
        for count in [first, *others * (interval - 1)]:
            total += share * (asked * count[0] + (1 - asked) * count[-1]) / interval
    return total


def train_size(cfg: Config) -> int:
    """Pixels of the images that a config trains on; 224 where its pipeline does not say."""
    pipeline = ((cfg.get('train_dataloader') or {}).get('dataset') or {}).get('pipeline') or []
    sizes = [step['size'] for step in pipeline if isinstance(step.get('size'), int)]
    return sizes[-1] if sizes else 224


def build_with_teacher(cfg: Config) -> nn.Module:
    """The model of ``cfg`` in training mode, with random weights and a random teacher attached where it has one."""
    model = MODELS.build(copy.deepcopy(cfg.model)).train()
    hook = (cfg.get('default_hooks') or {}).get('distillation')
    if hook:
        teacher = dict(copy.deepcopy(hook.teacher))
        if teacher.get('data_preprocessor') is None:
            teacher['data_preprocessor'] = model.data_preprocessor
        model.attach_teacher(MODELS.build(teacher).requires_grad_(False).eval())
    return model


def _sizes(cfg: Config, size: int) -> Iterator[tuple[float, int]]:
    """Shares of the steps and their sizes."""
    for hook in cfg.get('custom_hooks') or ():
        if type_name(hook.get('type')) == 'ProgressiveResizeHook':
            starts = [share for share, _ in hook['sizes']]
            for (start, pixels), end in zip(hook['sizes'], [*starts[1:], 1]):
                yield end - start, pixels
            return
    yield 1.0, size


def _count(model: nn.Module, size: int, step: int, remembered: bool) -> list[float]:
    """Of one image in the step of this number and, with ``remembered``, in another one with the same images."""
    hub = MessageHub.get_current_instance()
    before = hub.runtime_info.get('iter')
    hub.update_info('iter', step)
    try:
        try:  # shapes are all that counts
            return _macs(_without_weights(model), size, 'meta', remembered)
        except (NotImplementedError, RuntimeError):  # a step that looks at values
            return _macs(_copied(model), size, 'cpu', remembered)
    finally:
        hub.update_info('iter', before or 0)


def _copied(model: nn.Module) -> nn.Module:
    copied = copy.deepcopy(model)
    if hasattr(model, 'teacher'):  # which copies of a student share
        copied._teacher = UnregisteredModule(copy.deepcopy(model.teacher))
    return copied


def step_macs(model: nn.Module, size: int) -> float:
    """Multiply-adds of one image in a step of a model with its teacher attached, which is not changed.

    Only shapes are computed, and no weight is copied: a second or two, and no memory.

    Raises:
        NotImplementedError, RuntimeError: The step looks at values.
    """
    return _macs(_without_weights(model), size, 'meta', False)[0]


def _without_weights(model: nn.Module) -> nn.Module:
    """A copy on the meta device."""
    bare = copy.deepcopy(model, _meta_tensors(model))
    vars(bare).pop('loss', None)  # CompileHook's, which belongs to the model itself
    if hasattr(model, 'teacher'):
        bare._teacher = UnregisteredModule(copy.deepcopy(model.teacher, _meta_tensors(model.teacher)))
    return bare


def _meta_tensors(model: nn.Module) -> dict:
    """What ``deepcopy`` is to put in the place of a model's tensors."""
    memo: dict = {}
    for value in (*model.parameters(), *model.buffers()):
        bare = torch.empty_like(value, device='meta')
        memo[id(value)] = nn.Parameter(bare, value.requires_grad) if isinstance(value, nn.Parameter) else bare
    return memo


def _macs(model: nn.Module, size: int, device: str, remembered: bool) -> list[float]:
    model.to(device)
    if hasattr(model, 'teacher'):
        model.attach_teacher(model.teacher.to(device))
    if hasattr(model, 'attach_dataset'):
        model.attach_dataset(_Images(model.num_samples, model.num_classes))
    inputs = torch.zeros(BATCH, 3, size, size, device=device)
    indices = torch.arange(BATCH, device=device)
    if remembered:
        model.targets = TeacherTargets(BATCH, crops=1)
        model.targets.select([*range(BATCH)], crop=0)
    counts = []
    for _ in range(1 + remembered):
        counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _backward})
        with counter, sdpa_kernel(SDPBackend.MATH):  # the CPU's fused kernel of attention is not counted
            losses = model(inputs, indices % model.num_classes, mode='loss', indices=indices)
            sum(value for name, value in losses.items() if 'loss' in name).backward()
        counts.append(counter.get_total_flops() / 2 / BATCH)
    return counts


def _backward(grad_shape, x_shape, w_shape, *args, out_shape=None, **kwargs) -> int:
    """FLOPs of a convolution's backward: each gradient takes what the forward takes.

    torch's own count of a weight's gradient leaves the groups out, and is C times too large for a depthwise layer.
    """
    *_, transposed, _, _, wanted = args
    return conv_flop_count(list(x_shape), list(w_shape), list(grad_shape), transposed) * sum(wanted[:2])


class _Images(SimpleNamespace):
    """As many images as a method remembers, each of the next class."""

    def __init__(self, number: int, classes: int) -> None:
        super().__init__(number=number, classes=classes)

    def __len__(self) -> int:
        return self.number

    def get_data_info(self, index: int) -> dict:
        return dict(sample_idx=index, gt_label=index % self.classes)
