"""How a network is cut into stages: from one run of a probe image, not from tables.

Most CNNs of timm are chains: each module takes the one tensor that the module before it gave. One
image run through ``forward_features`` with hooks shows the chain, the stride after each of its
points, and what lies inside a module. What is no chain is refused, saying where it breaks.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from hsakd_mm.errors import UserError

STRIDES = (4, 8, 16, 32)  # of the taps: what detectors' necks expect


class NotAChain(Exception):
    """Why a network cannot be cut, as the end of a sentence that begins with its name."""


@dataclass
class Call:
    """One call of a module during the probe."""

    name: str
    module: nn.Module
    given: tuple | None  # shape of what it takes, None if that is not one tensor
    gave: tuple | None
    chained: bool  # whether it takes just what the call before it, among its siblings, gave
    children: list = field(default_factory=list)
    ends: bool = False  # whether its last child's output is its own

    @property
    def is_chain(self) -> bool:
        return bool(self.children) and self.ends and all(call.chained for call in self.children)


@dataclass
class Cut:
    """A network's modules by name, in order.

    Args:
        stem (list[str]): What the first stage begins with: the first convolution, and what
            follows it without one (normalisation, activation, pooling).
        stages (list[list[str]]): One list a stage; the first begins with the stem.
        neck (list[str]): Those between the last tap and pooling: ``conv_head``, ``norm`` ...
        block (str): A block of the last stage that keeps width and resolution, or None.
        repeat (int): Blocks of that kind in the last stage.
    """

    stem: list
    stages: list
    neck: list
    block: str | None
    repeat: int


@torch.no_grad()
def cut(net: nn.Module, image: Tensor) -> Cut:
    """Find the stages of ``net``, which is in eval mode, with ``image: [1, 3, H, H]``.

    Taps lie at the strides 4, 8, 16 and 32: each at the last point of its stride, the fourth at
    the end of that child of the network which gets there (what follows is the neck). Where a
    stage would then hold no weights, because a stage ends with its pooling instead of beginning
    with it (VGG), each tap is the first point of its stride.

    Raises:
        NotAChain: The network is not a chain of modules, or has no such feature maps.
    """
    calls, features = _record(net, image)
    if not isinstance(features, Tensor):
        raise NotAChain(f'gives {len(features)} feature maps at once: parallel branches')
    if _stride(features.shape, image) is None:
        raise NotAChain(
            f'gives features of shape {list(features.shape)} for images of '
            f'{list(image.shape)}: no maps at strides 4 to 32'
        )
    points = _expand(calls, image)
    strides = [_stride(call.gave, image) for call in points]
    missing = [stride for stride in STRIDES if stride not in strides]
    if missing:
        raise NotAChain(
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
    return Cut(names[0], names[1:-1], names[-1], block, repeat)


def _record(net: nn.Module, image: Tensor) -> tuple:
    """The outermost calls, with those inside them, and what ``forward_features`` gives."""
    root = Call('', net, None, None, True)
    stack, given = [root], []
    latest = {id(root): image}  # what each call's latest child gave; for the first: what it takes

    def before(name):
        def hook(module, args, kwargs):
            parent = stack[-1]
            single = len(args) == 1 and not kwargs and isinstance(args[0], Tensor)
            call = Call(
                name, module, tuple(args[0].shape) if single else None, None, single and args[0] is latest[id(parent)]
            )
            parent.children.append(call)
            stack.append(call)
            given.append(args)  # alive until the end, so that no id is used twice
            latest[id(call)] = args[0] if single else None

        return hook

    def after(module, args, output):
        call = stack.pop()
        call.gave = tuple(output.shape) if isinstance(output, Tensor) else None
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
        raise NotAChain(_break(root))
    return root.children, features


def _break(call: Call) -> str:
    """Where the modules inside a call stop to be a chain."""
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
    """The chain, where calls that pass over the end of a stage are replaced by what is inside."""
    points = []
    for call in calls:
        start, end = _stride(call.given, image), _stride(call.gave, image)
        if call.given and call.gave is None:
            raise NotAChain(f'is not a chain of modules: {call.name!r} gives several tensors')
        if (
            start and end and any(start < stride < end for stride in STRIDES) and call.children
        ):  # in a single layer there is no point between
            if not call.is_chain:
                raise NotAChain(_break(call))
            points += _expand(call.children, image)
        else:
            points.append(call)
    return points


def _stride(shape: tuple | None, image: Tensor) -> int | None:
    """Down-sampling of a map ``[1, C, h, h]``; None for what is not one."""
    if shape is None or len(shape) != 4 or shape[2] != shape[3] or image.shape[2] % shape[2]:
        return None
    return image.shape[2] // shape[2]


def _last(strides: list, stride: int) -> int:
    return len(strides) - 1 - strides[::-1].index(stride)


def _last_of_child(points: list, strides: list) -> int:
    """The last point at stride 32 within that child of the network which gets there."""
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
    """A block that keeps the stage's output as it is in width and resolution; how many there are.

    Looked for in the stage, then in what its modules consist of, as long as these are chains.
    """
    out = stage[-1].gave
    while stage:
        blocks = [call for call in stage if _is_block(call)]
        for block in blocks:
            if block.given == block.gave == out:
                return block.name, sum(type(other.module) is type(block.module) for other in blocks)
        stage = [child for call in stage if call.is_chain for child in call.children]
    return None, 0


def _is_block(call: Call) -> bool:
    """Several layers, a spatial convolution among them, that are not just a list."""
    kernels = (weight.shape[2:] for weight in call.module.parameters() if weight.dim() == 4)
    return (
        not isinstance(call.module, nn.Sequential)
        and call.given is not None
        and bool(call.children)
        and any(max(kernel) > 1 for kernel in kernels)
    )


def probe(net: nn.Module, sizes: tuple) -> tuple:
    """``(Cut, image)`` of a network in eval mode, with the first of ``sizes`` that it can take.

    Raises:
        NotAChain: As in :func:`cut`, or it runs at none of the sizes.
    """
    for size in sizes:
        image = torch.linspace(-2, 2, 3 * size * size).sin().view(1, 3, size, size)
        try:
            return cut(net, image), image
        except (RuntimeError, AssertionError, ValueError) as error:  # too small, or of a fixed one
            reason = str(error) or type(error).__name__
    raise NotAChain(f'cannot be run on an image of {sizes[-1]} pixels ({reason})')


def single_stride(module: nn.Module) -> nn.Module:
    """Take away down-sampling: convolutions get stride 1, poolings that stride become nothing."""
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


def refuse(model_name: str, reason: str) -> UserError:
    """The sentence for a network that cannot be cut."""
    return UserError(
        f'TimmBackbone needs a chain of modules with feature maps at strides 4, 8, '
        f'16 and 32, and {model_name!r} {reason}: choose a network that is one, such '
        f'as resnet18, regnetx_002, efficientnet_b0 or convnext_atto.'
    )
