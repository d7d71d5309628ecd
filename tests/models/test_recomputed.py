"""Activation checkpointing in pretraining: the same step, and less that is kept for the backward pass."""

import pytest
import torch

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.distillers.hsakd import HSAKDTeacher

NARROW = dict(channels=(8, 8, 16, 16), layers=(2, 2, 2, 2))
NETWORKS = {
    'resnet18': (NARROW, 'TailBranches'),
    'resnetv2_18': (dict(channels=(8, 16, 24, 32)), 'TailBranches'),  # pre-activation
    'convnext_atto': (dict(dims=(8, 16, 24, 32), depths=(2, 2, 2, 2), drop_path_rate=0.5), 'LightBranches'),
    'densenet121': (dict(growth_rate=4, block_config=(2, 2, 2, 2)), 'LightBranches'),
    'test_vit': (dict(drop_path_rate=0.5), 'LightBranches'),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_a_step_is_the_same_and_keeps_less(name) -> None:
    arguments, design = NETWORKS[name]
    images, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 1])
    steps = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = dict(type='TimmBackbone', model_name=name, num_classes=3, with_cp=with_cp, **arguments)
        model = HSAKDTeacher(backbone, branches=dict(type=design, with_cp=with_cp)).train()
        kept: list = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda value, kept=kept: kept.append(value) or value, lambda v: v
        ):
            losses = model.loss(images, labels)
        sum(losses.values()).backward()
        kept = {value.data_ptr(): value.numel() for value in kept}
        steps.append((losses, dict(model.named_parameters()), dict(model.named_buffers()), sum(kept.values())))
    (losses, weights, buffers, numbers), (other, others, others_buffers, fewer) = steps
    assert fewer < numbers / 2
    for key, value in losses.items():
        assert torch.equal(other[key], value), key
    for key, value in weights.items():
        torch.testing.assert_close(others[key].grad, value.grad, msg=key)
    for key, value in buffers.items():
        assert torch.equal(others_buffers[key], value), key


def test_says_where_timm_cannot() -> None:
    with pytest.raises(UserError, match="timm does not do this for the feature maps of 'crossvit_tiny_240'"):
        TimmBackbone('crossvit_tiny_240', num_classes=3, with_cp=True)
