"""Splits a network into stages by running one probe image, without tables of known networks.

Most CNNs of timm are chains: each module takes the output of the module before it. Hooks on one run
of ``forward_features`` record the chain, the stride after each module, and the calls inside a module.
For a network that is not a chain of modules the error says where the chain breaks; its taps come from
:mod:`.intermediates`.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

STRIDES = (4, 8, 16, 32)  # of the taps, as the necks of detectors expect them


class NotAChainError(Exception):
    """Why a network cannot be split: the end of a sentence that begins with the name of the network."""


@dataclass
class Call:
    """One call of a module during the probe."""

    name: str
    module: nn.Module
    input_shape: tuple | None  # None where the input is not a single tensor
    output_shape: tuple | None
    chained: bool  # its input is the output of the previous sibling
    children: list = field(default_factory=list)
    ends: bool = False  # its output is the output of its last child

    @property
    def is_chain(self) -> bool:
        return bool(self.children) and self.ends and all(call.chained for call in self.children)


@dataclass
class Partition:
    """Names of a network's modules, in the order of execution.

    Args:
        stem (list[str]): First convolution and the normalisation, activation and pooling after it.
        stages (list[list[str]]): One list for each stage; the first one starts with the stem.
        neck (list[str]): Modules between the last tap and pooling: ``conv_head``, ``norm`` ...
        block (str): A block of the last stage that keeps width and resolution, or None.
        repeat (int): Number of blocks of that type in the last stage.
    """

    stem: list
    stages: list
    neck: list
    block: str | None
    repeat: int


@torch.no_grad()
def partition(net: nn.Module, image: Tensor) -> Partition:
    """Split ``net``, which is in eval mode, into stages, with the probe ``image: [1, 3, H, H]``.

    Taps have strides 4, 8, 16 and 32. A tap is the last output with its stride; the fourth is the
    output of the top-level module that reaches stride 32, and the modules after it are the neck.
    If this leaves a stage without weights, because stages end with their pooling instead of starting
    with it (VGG), each tap is the first output with its stride.

    Raises:
        NotAChainError: The network is not a chain of modules, or has no such feature maps.
    """
    calls, features = _record(net, image)
    if not isinstance(features, Tensor):
        raise NotAChainError(f'gives {len(features)} feature maps at once: parallel branches')
    if _stride(features.shape, image) is None:
        raise NotAChainError(
            f'gives features of shape {list(features.shape)} for images of '
            f'{list(image.shape)}: no maps at strides 4 to 32'
        )
    points = _expand(calls, image)
    strides = [_stride(call.output_shape, image) for call in points]
    missing = [stride for stride in STRIDES if stride not in strides]
    if missing:
        raise NotAChainError(
            f'has no feature map at stride {missing[0]}: along it the strides are '
            f'{sorted({stride for stride in strides if stride})}'
        )
    last = _last_of_child(points, strides)
    ends = [_last(strides, stride) for stride in STRIDES[:-1]] + [last]
    if not all(_has_weights(points[start + 1 : end + 1]) for start, end in pairwise(ends)):
        ends = [strides.index(stride) for stride in STRIDES[:-1]] + [last]
    starts = [0, *(end + 1 for end in ends)]
    stages = [points[start : end + 1] for start, end in zip(starts, ends)]
    block, repeat = _repeatable(stages[-1])
    stem, neck = _stem(stages[0]), points[last + 1 :]
    names = [[call.name for call in part] for part in (stem, *stages, neck)]
    return Partition(names[0], names[1:-1], names[-1], block, repeat)


def _record(net: nn.Module, image: Tensor) -> tuple:
    """The top-level calls, with the calls inside them, and the output of ``forward_features``."""
    root = Call('', net, None, None, True)
    stack, given = [root], []
    latest = {id(root): image}  # output of each call's latest child; before the first child, the call's input

    def before(name):
        def hook(module, args, kwargs):
            parent = stack[-1]
            single = len(args) == 1 and not kwargs and isinstance(args[0], Tensor)
            call = Call(
                name, module, tuple(args[0].shape) if single else None, None, single and args[0] is latest[id(parent)]
            )
            parent.children.append(call)
            stack.append(call)
            given.append(args)  # keep them alive, so that no id is used twice
            latest[id(call)] = args[0] if single else None

        return hook

    def after(module, args, output):
        call = stack.pop()
        call.output_shape = tuple(output.shape) if isinstance(output, Tensor) else None
        call.ends = output is latest[id(call)]
        latest[id(stack[-1])] = output

    handles = []
    for name, module in net.named_modules():
        if module is not net:
            handles += [
                module.register_forward_pre_hook(before(name), with_kwargs=True),
                module.register_forward_hook(after),
            ]
    try:
        features = net.forward_features(image)
    finally:
        for handle in handles:
            handle.remove()
    root.ends = features is latest[id(root)]
    if isinstance(features, Tensor) and _stride(features.shape, image) and not root.is_chain:
        raise NotAChainError(_break(root))
    return root.children, features


def _break(call: Call) -> str:
    """Says where the chain of modules inside a call breaks."""
    where = f'inside {call.name!r} ' if call.name else ''
    before = 'the image'
    for child in call.children:
        if not child.chained:
            return (
                f'is not a chain of modules (it has parallel branches, or works between its '
                f'modules): {where}{child.name!r} does not take just what {before} gave'
            )
        before = repr(child.name)
    return f'is not a chain of modules: {where}something follows {before} outside of any module'


def _expand(calls: list, image: Tensor) -> list:
    """The chain, with each call that spans the end of a stage replaced by the calls inside it."""
    points = []
    for call in calls:
        start, end = _stride(call.input_shape, image), _stride(call.output_shape, image)
        if call.input_shape and call.output_shape is None:
            raise NotAChainError(f'is not a chain of modules: {call.name!r} gives several tensors')
        if (
            start and end and any(start < stride < end for stride in STRIDES) and call.children
        ):  # a single layer cannot be split
            if not call.is_chain:
                raise NotAChainError(_break(call))
            points += _expand(call.children, image)
        else:
            points.append(call)
    return points


def _stride(shape: tuple | None, image: Tensor) -> int | None:
    """Stride of a feature map ``[1, C, h, h]``; None for any other shape."""
    if shape is None or len(shape) != 4 or shape[2] != shape[3] or image.shape[2] % shape[2]:
        return None
    return image.shape[2] // shape[2]


def _last(strides: list, stride: int) -> int:
    return len(strides) - 1 - strides[::-1].index(stride)


def _last_of_child(points: list, strides: list) -> int:
    """Index of the last call with stride 32 inside the top-level module that reaches it."""
    first = strides.index(STRIDES[-1])
    child = points[first].name.split('.')[0]
    return max(
        index
        for index, (call, stride) in enumerate(zip(points, strides))
        if stride == STRIDES[-1] and call.name.split('.')[0] == child
    )


def _has_weights(calls: list) -> bool:
    return any(True for call in calls for _ in call.module.parameters())


def _stem(stage: list) -> list:
    convolutions = [
        index for index, call in enumerate(stage) if any(weight.dim() == 4 for weight in call.module.parameters())
    ]
    return stage[: convolutions[1]] if len(convolutions) > 1 else stage


def _repeatable(stage: list) -> tuple:
    """A block with the width and resolution of the stage's output, and the number of such blocks.

    Searches the modules of the stage, then their children where these are chains.
    """
    out = stage[-1].output_shape
    while stage:
        blocks = [call for call in stage if _is_block(call)]
        for block in blocks:
            if block.input_shape == block.output_shape == out:
                return block.name, sum(type(other.module) is type(block.module) for other in blocks)
        stage = [child for call in stage if call.is_chain for child in call.children]
    return None, 0


def _is_block(call: Call) -> bool:
    """A module of several layers with a spatial convolution among them, and not an ``nn.Sequential``."""
    kernels = (weight.shape[2:] for weight in call.module.parameters() if weight.dim() == 4)
    return (
        not isinstance(call.module, nn.Sequential)
        and call.input_shape is not None
        and bool(call.children)
        and any(max(kernel) > 1 for kernel in kernels)
    )


def probe(net: nn.Module, sizes: tuple) -> tuple:
    """``(Partition, image)`` of a network in eval mode, for the first of ``sizes`` that it accepts.

    Raises:
        NotAChainError: As in :func:`partition`, or it accepts none of the sizes.
    """
    for size in sizes:
        image = torch.linspace(-2, 2, 3 * size * size).sin().view(1, 3, size, size)
        try:
            return partition(net, image), image
        except (RuntimeError, AssertionError, ValueError) as error:  # too small, or the network has a fixed input size
            reason = str(error) or type(error).__name__
    raise NotAChainError(f'cannot be run on an image of {sizes[-1]} pixels ({reason})')


def remove_strides(module: nn.Module) -> nn.Module:
    """Remove down-sampling in place: convolutions get stride 1, strided poolings become identities."""
    for name, child in list(module.named_modules()):
        stride = getattr(child, 'stride', 1)
        if not isinstance(stride, int | tuple | list) or _max(stride) == 1:
            continue
        if isinstance(child, nn.Conv2d):
            child.stride = (1, 1)
            if max(child.kernel_size) % 2 == 0:
                child.padding = 'same'
        elif name and not list(child.parameters()) and not list(child.children()):
            parent, _, leaf = name.rpartition('.')
            setattr(module.get_submodule(parent), leaf, nn.Identity())
    return module


def _max(stride) -> int:
    return max(stride) if isinstance(stride, tuple | list) else stride
