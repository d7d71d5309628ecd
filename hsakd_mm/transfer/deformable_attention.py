"""``mmcv._ext``'s multi-scale deformable attention (DINO, Deformable DETR) by torch's ``grid_sample``.

mmcv itself does so on the CPU; on a GPU it calls its compiled operator, for which these stand in.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def ms_deform_attn_forward(
    value: Tensor, spatial_shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor, im2col_step: int
) -> Tensor:
    """The attended values ``[B, Q, M * D]``.

    Args:
        value (Tensor): ``[B, K, M, D]``, the keys of all L levels one after another.
        spatial_shapes (Tensor): ``[L, 2]``, height and width of each level.
        starts (Tensor): ``[L]``, the first key of each level; follows from the shapes.
        locations (Tensor): ``[B, Q, M, L, P, 2]``, x and y of the points, 0 to 1.
        weights (Tensor): ``[B, Q, M, L, P]``.
        im2col_step (int): Of the compiled kernel only.
    """
    return _attend(value, spatial_shapes, locations, weights)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    starts: Tensor,
    locations: Tensor,
    weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_locations: Tensor,
    grad_weights: Tensor,
    im2col_step: int,
) -> None:
    """Fill the gradients of value, locations and weights."""
    with torch.enable_grad():
        inputs = [tensor.detach().requires_grad_() for tensor in (value, locations, weights)]
        output = _attend(inputs[0], spatial_shapes, *inputs[1:])
    found = torch.autograd.grad(output, inputs, grad_output)
    for filled, gradient in zip((grad_value, grad_locations, grad_weights), found):
        filled.copy_(gradient)


def _attend(value: Tensor, spatial_shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    batch, _, heads, width = value.shape
    queries, first = locations.shape[1], 0
    attended = value.new_zeros(batch * heads, width, queries)
    for level, (rows, columns) in enumerate(spatial_shapes.tolist()):
        keys = value[:, first : first + rows * columns]
        first += rows * columns
        keys = keys.permute(0, 2, 3, 1).reshape(batch * heads, width, rows, columns)
        points = 2 * locations[:, :, :, level].transpose(1, 2).flatten(0, 1) - 1  # grid_sample's -1 to 1
        sampled = F.grid_sample(keys, points, align_corners=False)
        attended = attended + (sampled * weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]).sum(3)
    return attended.view(batch, heads * width, queries).transpose(1, 2).contiguous()
