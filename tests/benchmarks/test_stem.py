"""The candidate for a first convolution on a GPU: the same numbers, the same gradients, one graph."""

import pytest
import torch
from torch import nn

from benchmarks.stem import use_blocks
from hsakd_mm.registry import MODELS

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize('layout', LAYOUTS)
def test_blocks_are_the_convolution(layout) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, 7, 2, 3, bias=False).double().to(memory_format=layout)
    images = torch.randn(2, 3, 12, 18, dtype=torch.double).to(memory_format=layout).requires_grad_()
    wanted = conv(images)
    gradients = torch.autograd.grad(wanted.square().sum(), [images, conv.weight])
    assert use_blocks(conv) == 1
    found = conv(images)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), [images, conv.weight]), gradients)


def test_the_stem_of_a_backbone_and_no_other() -> None:
    backbone = MODELS.build(
        dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(4, 4, 8, 8))
    ).eval()
    images = torch.randn(2, 3, 32, 32)
    wanted = backbone(images)
    assert use_blocks(backbone) == 1 and use_blocks(nn.Conv2d(3, 4, 3)) == 0
    compiled = torch.compile(backbone, fullgraph=True, backend='aot_eager')
    torch.testing.assert_close(compiled(images), wanted)
