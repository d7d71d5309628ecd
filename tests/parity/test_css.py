"""CSS against numbers of the reference implementation, in float64 to 1e-6 relative."""

import json
import re

import pytest
import torch
from torch import Tensor

import hsakd_mm.models.backbones.wide_bottleneck  # noqa: F401  registers wide_resnet20_8
from hsakd_mm.models.distillers.css import CSS, CSSNet

from .fill import fill_tensor
from .networks import CSS_BACKBONES
from .test_hsakd import RELATIVE, batch, grad_norm

NETS = dict(t='net1', s='net2')  # theirs, ours


def our_key(key: str) -> str:
    """Our name, within a net, for one of ``resnet_css.py``."""
    found = re.fullmatch(r'(layer3|classifier3)_(\d+)\.(.+)', key)
    if not found:
        return f'backbone.{key}'
    part, branch, rest = found[1], int(found[2]), found[3]
    if branch == 0:
        return f'backbone.{"layer3" if part == "layer3" else "fc"}.{rest}'
    return f'tails.{branch - 1}.{"stages.0" if part == "layer3" else "fc"}.{rest}'


@pytest.fixture(scope='module')
def case(css_file):
    """A vector file, with the weights of both nets under our names."""
    vectors = json.loads(css_file.read_text())
    vectors['weights'] = {
        f'{ours}.{our_key(key)}': fill_tensor(f'{theirs}.{key}', shape)
        for theirs, ours in NETS.items()
        for key, shape in vectors[f'keys_{theirs}']
    }
    return vectors


def build(case: dict, **kwargs) -> CSS:
    """The model of ``case`` in float64; every key of theirs is used once, every one of ours set."""
    nets = [dict(backbone=dict(CSS_BACKBONES[case[f'net_{net}']], num_classes=case['num_classes'])) for net in NETS]
    model = CSS(nets, case['branches'], case['temperature'], **kwargs)
    statistics = {name for name, _ in model.named_buffers()}
    model.load_state_dict(
        {key: value.clone() if key in statistics else value for key, value in case['weights'].items()}, assign=True
    )
    return model


def check(got: Tensor, want: dict) -> None:
    scale = RELATIVE * want['norm']  # a sum of terms of both signs may cancel
    assert got.flatten()[:6].tolist() == pytest.approx(want['first'], rel=RELATIVE, abs=1e-9)
    assert got.norm().item() == pytest.approx(want['norm'], rel=RELATIVE)
    assert got.sum().item() == pytest.approx(want['sum'], rel=RELATIVE, abs=scale)


def test_parameters_and_logits(case) -> None:
    model = build(case).eval()
    params = [sum(parameter.numel() for parameter in net.parameters()) for net in (model.net1, model.net2)]
    assert params == case['params']
    with torch.no_grad():
        joint = dict(t=model.net1(batch(case)[0]), s=model.net2(batch(case)[0]))
        samples = model.predict(*batch(case))
    expected = case['eval']
    for name, logits in joint.items():
        check(model.aggregate(logits), expected[f'aggregate_{name}'])
        if f'branch_logits_{name}' in expected:
            for got, want in zip(logits, expected[f'branch_logits_{name}'], strict=True):
                check(got, want)
    check(torch.stack([sample['ensemble_scores'] for sample in samples]), expected['ensemble'])


@pytest.mark.parametrize('variant', ['official', 'detached'])
def test_step(case, variant) -> None:
    model = build(case, detach=variant == 'detached').train()
    losses, expected = model.loss(*batch(case)), case[f'loss_{variant}']
    for theirs, ours in NETS.items():
        ce, kl = losses[f'loss_ce_{ours}'], losses[f'loss_kl_{ours}']
        assert ce.item() == pytest.approx(expected[f'ce_{theirs}'], rel=RELATIVE)
        plain = kl / losses[f'utility_{ours}'] / case['temperature'] ** 2
        assert plain.item() == pytest.approx(expected[f'kl_{theirs}'], rel=RELATIVE)
        assert (ce + kl).item() == pytest.approx(expected[f'loss_{theirs}'], rel=RELATIVE)
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    for theirs, ours in NETS.items():
        norm = grad_norm(getattr(model, ours))
        assert norm == pytest.approx(expected[f'grad_norm_{theirs}'], rel=RELATIVE)


@pytest.mark.parametrize(
    'name, one, three',
    [  # papers.md 3, of the official model code, N=100
        ('resnet56', 0.614, 1.715),
        ('resnet110', 1.171, 3.116),
        ('wide_resnet20_8', 6.871, 17.508),
    ],
)
def test_sizes(name, one, three) -> None:
    backbone = dict(CSS_BACKBONES[name], num_classes=100)
    with torch.device('meta'):
        nets = [CSSNet(backbone, branches, False) for branches in (1, 3)]
    params = [sum(parameter.numel() for parameter in net.parameters()) / 1e6 for net in nets]
    assert params == pytest.approx([one, three], abs=5e-4)
