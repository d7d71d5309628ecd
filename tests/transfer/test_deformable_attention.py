"""The stand-in for compiled deformable attention against mmcv's own way on the CPU."""

import sys

import pytest
import torch

import hsakd_mm  # noqa: F401  puts the stand-in in place
from hsakd_mm.transfer.operators import NAME, StandIn

pytest.importorskip('mmcv', reason='mmcv is not installed')
if not isinstance(sys.modules.get(NAME), StandIn):
    pytest.skip('compiled mmcv is installed, and its operators are used', allow_module_level=True)

from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction, multi_scale_deformable_attn_pytorch


def test_values_and_gradients_are_mmcvs() -> None:
    torch.manual_seed(0)
    shapes = torch.tensor([[6, 4], [3, 2]])
    starts = torch.tensor([0, 24])
    value = torch.randn(2, 30, 3, 8, dtype=torch.float64)
    locations = 1.4 * torch.rand(2, 5, 3, 2, 4, 2, dtype=torch.float64) - 0.2  # some are outside
    weights = torch.rand(2, 5, 3, 2, 4, dtype=torch.float64)
    found = []
    for attend in (
        lambda *inputs: MultiScaleDeformableAttnFunction.apply(inputs[0], shapes, starts, *inputs[1:], 64),
        lambda *inputs: multi_scale_deformable_attn_pytorch(inputs[0], shapes, *inputs[1:]),
    ):
        inputs = [tensor.clone().requires_grad_() for tensor in (value, locations, weights)]
        output = attend(*inputs)
        found.append((output, *torch.autograd.grad(output.square().sum(), inputs)))
    for ours, theirs in zip(*found):
        torch.testing.assert_close(ours, theirs)
