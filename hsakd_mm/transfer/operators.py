"""``mmcv._ext`` implemented with torchvision's kernels, for an mmcv without compiled operators.

Such are mmcv-lite, and the fork onedl-mmcv as pip builds it by itself.

mmdet imports ``mmcv.ops`` unconditionally, and mmcv-lite has all of that package except the
compiled module. mmcv only asks whether each operator's name exists there, so a module of ours can
take its place. NMS and RoIAlign (Faster R-CNN) and the focal loss (RetinaNet; mmdet calls it on
GPUs only) run on torchvision's kernels, on the CPU and on CUDA, and deformable attention (DINO) on
torch's own. Every other operator raises a UserError when it is called.
"""

import importlib.util
import sys
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

import torch
from torch import Tensor

from hsakd_mm.errors import UserError

from .deformable_attention import ms_deform_attn_backward, ms_deform_attn_forward

NAME = 'mmcv._ext'
BUILD_TIME = 'about 15 minutes on two idle CPU cores'  # measured: 837 s
REMEDY = (
    'pip uninstall -y mmcv-lite && pip install ninja && pip install --no-build-isolation --no-cache-dir mmcv==2.1.0'
)
REMEDY_OF_FORK = (
    'pip install ninja && pip install --force-reinstall --no-deps --no-build-isolation --no-cache-dir onedl-mmcv==2.3.6'
)
OLDER_TORCH = 'pip install torch==2.13.0 torchvision==0.28.0'  # neither mmcv compiles for torch 2.14 or newer


class MissingOperator(UserError, NotImplementedError):
    """An operator without a stand-in was called; the message says how to install it."""


def provide_operators() -> bool:
    """Install the stand-in if mmcv has no compiled operators; imports neither mmcv nor mmdet.

    Returns:
        bool: Whether the stand-in is in use. Compiled operators are never replaced, not even
        broken ones, so that their own error is seen.
    """
    if NAME in sys.modules:
        return isinstance(sys.modules[NAME], StandIn)
    try:
        mmcv = importlib.util.find_spec('mmcv')
    except (ImportError, ValueError):  # its import is blocked, or it is a mock without a spec
        return False
    if mmcv is None or PathFinder.find_spec(NAME, mmcv.submodule_search_locations) is not None:
        return False
    sys.modules[NAME] = StandIn()
    return True


class StandIn(ModuleType):
    """A module that has every public name; operators that are not implemented raise when called.

    It has a ``__spec__``, which mmengine's environment report needs, but no loader, so that
    ``mmcv.utils.ext_loader.check_ops_exist`` still reports no compiled operators.
    """

    def __init__(self) -> None:
        super().__init__(NAME, __doc__)
        self.__spec__ = ModuleSpec(NAME, loader=None, origin=__file__)
        for operator in (
            nms,
            roi_align_forward,
            roi_align_backward,
            sigmoid_focal_loss_forward,
            sigmoid_focal_loss_backward,
            ms_deform_attn_forward,
            ms_deform_attn_backward,
        ):
            setattr(self, operator.__name__, operator)
        # For the environment reports of mmcv and mmdet.
        self.get_compiler_version = lambda: 'none: torchvision kernels stand in (hsakd_mm)'
        self.get_compiling_cuda_version = lambda: 'not available'

    def __getattr__(self, name: str):
        if name.startswith('_'):
            raise AttributeError(f'module {NAME!r} has no attribute {name!r}')
        return _missing(name)


def how_to_compile() -> str:
    """The command that installs compiled operators in this environment."""
    try:
        metadata.version('onedl-mmcv')
        command = REMEDY_OF_FORK
    except metadata.PackageNotFoundError:
        command = REMEDY
    return f'{OLDER_TORCH} && {command}' if torch.__version__ >= (2, 14) else command


def _missing(name: str, what: str = ''):
    def operator(*args, **kwargs):
        raise MissingOperator(
            f'the operator mmcv._ext.{name}{what} needs compiled mmcv, and the installed mmcv has '
            f'no compiled operators (hsakd_mm provides nms, average roi_align, '
            f'sigmoid_focal_loss and ms_deform_attn only): use a model without it, or install mmcv with a C++ compiler '
            f'({BUILD_TIME}): {how_to_compile()}'
        )

    operator.__name__ = name
    return operator


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Returns the indices of the boxes that are kept, best score first.

    Args:
        boxes (Tensor): ``[N, 4]`` as x1, y1, x2, y2.
        scores (Tensor): ``[N]``.
        iou_threshold (float): A box is dropped if its IoU with a better one is higher.
        offset (int): 0, or 1 if the pixel at x2, y2 belongs to the box (width x2 - x1 + 1).
    """
    boxes, scores = _to_float32(boxes), _to_float32(scores)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return _kernels().nms(boxes, scores.to(boxes.dtype), iou_threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output [R, C, h, w]`` from ``input [B, C, H, W]`` and ``rois [R, 5]``."""
    _only_average(pool_mode, 'roi_align_forward')
    wide = _to_float32(input)
    output.copy_(
        _kernels().roi_align(
            wide, rois.to(wide.dtype), spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``grad_input [B, C, H, W]`` from ``grad_output [R, C, h, w]``."""
    _only_average(pool_mode, 'roi_align_backward')
    wide = _to_float32(grad_output)
    grad_input.copy_(
        _kernels()._roi_align_backward(
            wide,
            rois.to(wide.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output [N, K]`` from logits ``input [N, K]`` and ``target [N]``, K being background."""
    _without_weight(weight, 'sigmoid_focal_loss_forward')
    output.copy_(_focal_loss(_to_float32(input), target, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input [N, K]`` with the gradient of the summed loss."""
    _without_weight(weight, 'sigmoid_focal_loss_backward')
    with torch.enable_grad():
        logits = _to_float32(input.detach()).requires_grad_()
        (gradient,) = torch.autograd.grad(_focal_loss(logits, target, gamma, alpha).sum(), logits)
    grad_input.copy_(gradient)


def _focal_loss(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    from torchvision.ops import sigmoid_focal_loss

    classes = torch.arange(logits.shape[1], device=logits.device)
    return sigmoid_focal_loss(logits, (target[:, None] == classes).to(logits), alpha, gamma)


def _without_weight(weight: Tensor, name: str) -> None:
    if weight.numel():
        _missing(name, ' with weights of classes')()


def _only_average(pool_mode: int, name: str) -> None:
    if pool_mode != 1:
        _missing(name, " with pool_mode='max'")()


def _to_float32(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 as float32: some kernels lack them, and boxes need whole pixels."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def _kernels():
    import torchvision  # noqa: F401  registers torch.ops.torchvision; only detection needs it

    return torch.ops.torchvision
