"""What only a GPU can show; benchmarks/on_gpu.sh runs these. CUDA_VISIBLE_DEVICES and a free NCCL are all they need."""

import os
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from hsakd_mm.checkpoints.export import export_all
from hsakd_mm.checkpoints.work_dir import last_checkpoint
from hsakd_mm.engine.frozen_teacher import freeze_teacher
from hsakd_mm.engine.hooks.finite_hook import _all_finite
from hsakd_mm.engine.optim import use_amp
from tests.engine.levers import assert_same_step, networks, step
from tests.faults.exact import SignalAt, content, start, stop_and_resume
from tests.test_every_method import METHODS, config  # noqa: F401
from tests.tools.commands import ROOT, TINY
from tests.tools.commands import run as run_command

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='needs an NVIDIA GPU, and torch finds none'),
]


@pytest.fixture(autouse=True)
def no_search(monkeypatch) -> None:
    """Configs turn cuDNN's search on and nothing turns it off; kernels that it picks anew round otherwise."""
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', False)


@pytest.mark.parametrize('method', METHODS)
def test_two_steps_in_mixed_precision(method, config, tmp_path) -> None:  # noqa: F811
    cfg = config(METHODS[method])
    cfg.train_cfg.max_epochs = 1
    cfg.env_cfg.cudnn_benchmark = False
    use_amp(cfg)
    runner = start(cfg, tmp_path / 'run')
    runner.train()
    assert runner.iter == 2
    for parameter in runner.model.parameters():
        assert parameter.is_cuda and parameter.dtype == torch.float32 and parameter.isfinite().all()
    assert len(export_all(last_checkpoint(str(tmp_path / 'run')))) == len(runner.model.backbones)


@pytest.mark.parametrize('levers', [False, True])
def test_a_resumed_run_is_the_run(levers, config, tmp_path, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setattr(torch.backends.cudnn, 'deterministic', True)
    cfg = config(METHODS['hsakd/HSAKD'])
    cfg.env_cfg.cudnn_benchmark = False
    if levers:
        cfg.model.data_preprocessor.channels_last = cfg.optim_wrapper.optimizer.fused = True
    start(cfg, tmp_path / 'whole').train()
    stop_and_resume(cfg, tmp_path / 'stopped', SignalAt(step=3))
    whole, resumed = (content(tmp_path / name) for name in ('whole', 'stopped'))
    different = [key for key in whole if not torch.equal(whole[key], resumed[key])]
    print(f'\nresumed on CUDA: {len(different)} of {len(whole)} tensors differ from the uninterrupted run')
    for key in different:
        torch.testing.assert_close(whole[key], resumed[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('levers', ['fold_bn', 'channels_last', 'fold_bn+channels_last+compile'])
def test_exact_levers_leave_the_step_alone(levers, monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    nets = networks()
    assert_same_step(step(*nets, set(), 'cuda'), step(*nets, set(levers.split('+')), 'cuda'))


def test_no_step_waits_for_the_gpu() -> None:
    student, teacher = networks()
    student.to('cuda').train()
    freeze_teacher(teacher, student)
    student.attach_teacher(teacher)
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))))
    use_amp(cfg)
    wrapper = build_optim_wrapper(student, cfg.optim_wrapper)
    images = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8).pin_memory()
    labels = torch.randint(5, (8,)).pin_memory()
    for mode in ('default', 'error'):
        torch.cuda.set_sync_debug_mode(mode)
        try:
            student.train_step(dict(inputs=images, labels=labels), wrapper)
        finally:
            torch.cuda.set_sync_debug_mode('default')
    assert not [module for module in student.modules() if isinstance(module, nn.BatchNorm2d) and not module.training]


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf'), 1.0])
def test_one_number_of_many_gradients_is_found(value) -> None:
    gradients = [torch.ones(size, device='cuda') for size in (3, 70_000)]
    gradients[1][50_000] = value
    assert bool(_all_finite(gradients)) == (value == 1.0)


def test_one_process_with_nccl(tmp_path) -> None:
    done = run_command(
        'bash', ROOT / 'tools/dist_train.sh', TINY, 1, '--amp', '--work-dir', tmp_path / 'run',
        cwd=ROOT, CUDA_VISIBLE_DEVICES=os.environ.get('CUDA_VISIBLE_DEVICES', '0'), NCCL_DEBUG='VERSION',
        PYTHONPATH=os.pathsep.join(sys.path), PORT=29511, PYTHON=sys.executable,  # a fork would see no GPU
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'NCCL version' in done.stdout + done.stderr
    assert (tmp_path / 'run/epoch_2.pth').exists()
