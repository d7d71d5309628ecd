"""Mixed precision on this machine, and on one without a GPU."""

import pytest
import torch
from mmengine.optim import AmpOptimWrapper

from hsakd_mm.engine import optim
from hsakd_mm.engine.optim import (
    AutocastOptimWrapper,
    check_amp,
    match_layout,
    product_seconds,
    use_amp,
    warn_if_bfloat16_is_slow,
)
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from tests.tools.commands import TINY
from tests.tools.tiny import TinyModel


def test_autocast_wrapper_trains_and_accumulates():
    torch.manual_seed(0)
    model = TinyModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = AutocastOptimWrapper(optimizer=optimizer, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    inputs, labels = torch.randn(8, 4), torch.arange(8) % 3
    weights = []
    for _ in range(4):
        with wrapper.optim_context(model):
            losses = model(inputs, labels, mode='loss')
        wrapper.update_params(losses['loss'])
        weights.append(model.line.weight.detach().clone())
    assert losses['half'] == 1
    assert weights[0].dtype == torch.float32
    assert torch.equal(weights[1], weights[2]) and not torch.equal(weights[0], weights[1])
    with pytest.raises(UserError, match='AmpOptimWrapper'):
        AutocastOptimWrapper(dtype='float16', optimizer=optimizer)


def test_amp_on_this_machine():
    cfg = load_config(str(TINY))
    use_amp(cfg)
    old_gpu = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] < 8
    assert cfg.optim_wrapper.type == ('AmpOptimWrapper' if old_gpu else 'hsakd_mm.AutocastOptimWrapper')
    assert cfg.optim_wrapper.optimizer.lr == 0.1
    cfg.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(UserError, match='ApexOptimWrapper'):
        use_amp(cfg)


@pytest.mark.parametrize('name', ['AmpOptimWrapper', 'mmengine.AmpOptimWrapper', AmpOptimWrapper])
def test_scaling_wrapper_without_a_gpu(name, monkeypatch):
    monkeypatch.setattr(optim, 'get_device', lambda: 'cpu')
    cfg = load_config(str(TINY), {'optim_wrapper.loss_scale': 'dynamic'})
    cfg.optim_wrapper.type = name
    with pytest.raises(UserError, match='add --amp'):
        check_amp(cfg)
    use_amp(cfg)
    check_amp(cfg)
    assert cfg.optim_wrapper.type == 'hsakd_mm.AutocastOptimWrapper'
    assert 'loss_scale' not in cfg.optim_wrapper


@pytest.mark.parametrize('relative, warns', [(0.3, True), (1.7, False)])
def test_a_cpu_that_is_slower_in_bfloat16_is_told(relative, warns, monkeypatch, capsys) -> None:
    """The rates stand in for the CPUs that are not at hand."""
    monkeypatch.setattr(optim, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(optim, 'product_seconds', lambda dtype: relative if dtype == torch.float32 else 1.0)
    cfg = load_config(str(TINY))
    warn_if_bfloat16_is_slow(cfg)  # without autocast there is nothing to say
    assert not capsys.readouterr().out
    use_amp(cfg)
    warn_if_bfloat16_is_slow(cfg)
    assert ('0.3 of the rate of float32 on this CPU' in capsys.readouterr().out) is warns


def test_a_fused_optimizer_with_a_scaler_is_refused() -> None:
    cfg = load_config(str(TINY))
    cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='float16')
    cfg.optim_wrapper.optimizer.fused = True
    with pytest.raises(UserError, match='momentum is undefined after a skipped first step'):
        check_amp(cfg)


@pytest.mark.parametrize('fused', [False, True])
def test_a_state_of_another_layout_gives_the_same_step(fused) -> None:
    """As after a resume with another ``channels_last``."""

    def after_two_steps(second: torch.memory_format, match: bool) -> torch.Tensor:
        torch.manual_seed(0)
        net = torch.nn.Conv2d(4, 6, 3)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, fused=fused)
        for layout in (torch.contiguous_format, second):
            net.to(memory_format=layout)
            for parameter in net.parameters():
                parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape))
            if match:
                match_layout(optimizer)
            optimizer.step()
        return net.weight.detach().contiguous()

    expected = after_two_steps(torch.contiguous_format, match=False)
    assert torch.equal(after_two_steps(torch.channels_last, match=True), expected)
    assert torch.equal(after_two_steps(torch.channels_last, match=False), expected) is not fused


def test_timing_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    assert product_seconds(torch.bfloat16) > 0
    assert torch.equal(torch.get_rng_state(), before)
