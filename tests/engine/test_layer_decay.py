"""Layer-wise decay of the learning rate: the rate of each layer, and mmengine's options beside it."""

import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS

VIT = dict(model_name='vit_tiny_patch16_224', img_size=32, embed_dim=8, depth=3, num_heads=2)
SWIN = dict(
    model_name='swin_tiny_patch4_window7_224', window_size=2, depths=(1, 2, 1, 1), embed_dim=8, num_heads=(1, 1, 2, 2)
)


class Detector(nn.Module):
    """A backbone with something behind it."""

    def __init__(self, **backbone) -> None:
        super().__init__()
        self.backbone = MODELS.build(dict(backbone, type='TimmDetBackbone'))
        self.neck = nn.Conv2d(8, 4, 1)


def groups(model: nn.Module, layer_decay: float = 0.5, **paramwise) -> dict:
    """By the parameter's name, its group."""
    cfg = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=0.8, weight_decay=0.1),
        constructor='hsakd_mm.LayerDecayConstructor',
        paramwise_cfg=dict(layer_decay=layer_decay, **paramwise),
    )
    wrapper = build_optim_wrapper(model, cfg)
    names = {id(value): name for name, value in model.named_parameters()}
    return {names[id(group['params'][0])]: group for group in wrapper.optimizer.param_groups}


def test_rates_of_a_detector() -> None:
    rates = {name: group['lr'] for name, group in groups(Detector(**VIT)).items()}
    assert rates['neck.weight'] == 0.8
    assert rates['backbone.blocks.2.mlp.fc1.weight'] == rates['backbone.norm.bias'] == 0.4
    assert rates['backbone.blocks.0.norm1.weight'] == 0.1
    for name in ('pos_embed', 'cls_token', 'patch_embed.proj.weight'):
        assert rates[f'backbone.{name}'] == 0.05


def test_the_last_block_has_one_rate_whatever_is_removed_behind_it() -> None:
    """timm removes Swin's last norm with the classifier, and stages behind the last map."""
    whole = {name: group['lr'] for name, group in groups(Detector(**SWIN)).items()}
    assert whole['backbone.layers.3.blocks.0.mlp.fc1.weight'] == 0.4
    assert whole['backbone.layers.1.blocks.1.norm1.weight'] == 2 * whole['backbone.layers.1.blocks.0.norm1.weight']
    half = {name: group['lr'] for name, group in groups(Detector(**SWIN, out_indices=(0, 1))).items()}
    assert half['backbone.layers.1.blocks.1.norm1.weight'] == 0.4


def test_rates_of_a_distiller() -> None:
    model = MODELS.build(
        dict(
            type='HSAKDTeacher',
            backbone=dict(VIT, type='TimmBackbone', num_classes=3),
            branches=dict(type='LightBranches'),
        )
    )
    rates = {name: group['lr'] for name, group in groups(model).items()}
    assert rates['backbone.head.weight'] == 0.8 and rates['backbone.blocks.2.norm2.weight'] == 0.4
    assert all(rate == 0.8 for name, rate in rates.items() if not name.startswith('backbone.'))
    assert len(rates) == len(list(model.parameters()))


def test_a_chain_of_modules_has_layers_too() -> None:
    model = nn.Module()
    model.backbone = MODELS.build(dict(type='TimmDetBackbone', model_name='test_resnet', frozen_stages=0))
    rates = {name: group['lr'] for name, group in groups(model).items()}
    assert not any(name.startswith('backbone.conv1') for name in rates)
    assert rates['backbone.layer4.0.conv1.weight'] > rates['backbone.layer1.0.conv1.weight']


def test_options_of_mmengine_beside_it() -> None:
    model = Detector(**VIT)
    plain = groups(model)
    assert all(group['weight_decay'] == 0.1 for group in plain.values())
    options = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys={'neck': dict(lr_mult=2, decay_mult=3)})
    decays = {name: group['weight_decay'] for name, group in groups(model, **options).items()}
    none = {name for name, decay in decays.items() if decay == 0}
    assert {
        'backbone.pos_embed',
        'backbone.cls_token',
        'backbone.norm.weight',
        'backbone.blocks.0.mlp.fc1.bias',
    } <= none
    assert decays['backbone.blocks.0.mlp.fc1.weight'] == 0.1 and decays['neck.weight'] == pytest.approx(0.3)
    rates = {name: group['lr'] for name, group in groups(model, **options).items()}
    assert rates['neck.weight'] == 1.6 and rates['backbone.norm.bias'] == 0.4


@pytest.mark.parametrize('layer_decay', [None, 0, 1.5, True, 'half'])
def test_a_decay_that_is_none(layer_decay) -> None:
    with pytest.raises(UserError, match='a number above 0 and at most 1, and got'):
        groups(nn.Linear(2, 2), layer_decay=layer_decay)


def test_a_model_without_a_network_of_timm() -> None:
    with pytest.raises(UserError, match='needs a backbone of timm that states its layers'):
        groups(nn.Linear(2, 2))
