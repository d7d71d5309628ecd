"""Checks before a run starts."""

import argparse
import os
import shutil
from collections import namedtuple

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from hsakd_mm.engine import launch, preflight
from hsakd_mm.engine.launch import prepare_launcher
from hsakd_mm.engine.options import Options
from hsakd_mm.engine.preflight import (
    check_disk,
    check_same_checkpoint,
    find_checkpoint_to_resume,
    last_checkpoint,
    load_config,
    load_weights,
    prepare_work_dir,
    warn_if_lr_is_not_scaled,
)
from hsakd_mm.engine.user_messages import user_message
from hsakd_mm.errors import UserError
from tests.tools.commands import TINY
from tests.tools.tiny import TinyModel


def test_config_not_found_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match='tiny_config.py'):
        load_config(str(TINY.with_name('tiny_confg.py')))
    with pytest.raises(UserError, match='no such file'):
        load_config(str(tmp_path / 'nowhere' / 'a.py'))


@pytest.mark.parametrize(
    'text, word',
    [
        ('model = dict(', 'SyntaxError'),
        ('model = undefined', 'undefined'),
        ("_base_ = './missing.py'", 'missing.py'),
        ("custom_imports = dict(imports=['no_such_module'])", 'no_such_module'),
    ],
)
def test_config_that_cannot_be_read(tmp_path, text, word):
    path = tmp_path / 'broken.py'
    path.write_text(text + '\n')
    with pytest.raises(UserError, match=word):
        load_config(str(path))


def test_part_of_a_config(tmp_path):
    path = tmp_path / 'part.py'
    path.write_text('train_cfg = dict(by_epoch=True)\n')
    with pytest.raises(UserError, match='sets no model, optim_wrapper'):
        load_config(str(path), needs=('model', 'train_cfg', 'optim_wrapper'))


def test_config_of_a_package_that_is_absent(tmp_path, monkeypatch):
    path = tmp_path / 'detection.py'
    path.write_text("default_scope = 'mmdet'\n")
    monkeypatch.setattr(preflight, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='mmdet.*not installed.*tools/setup_env.sh'):
        load_config(str(path))


def test_options():
    cfg = load_config(str(TINY), {'optim_wrapper.optimizer.lr': 0.5, 'find_unused_parameters': True, 'model.new': 1})
    assert cfg.optim_wrapper.optimizer.lr == 0.5 and cfg.find_unused_parameters
    with pytest.raises(UserError, match='did you mean optim_wrapper'):
        load_config(str(TINY), {'optim_wraper.optimizer.lr': 0.5})
    with pytest.raises(UserError, match='cannot be applied'):
        load_config(str(TINY), {'train_cfg.max_epochs.x': 0.5})


def test_option_that_comes_too_late(tmp_path):
    path = tmp_path / 'varied.py'
    path.write_text('width = 4\nmodel = dict(width=width)\n')
    with pytest.raises(UserError, match='width is a variable of the config file'):
        load_config(str(path), {'width': 8})
    early = {
        'data_preprocessor.mean': [2],
        'custom_imports.imports': ['json'],
        'auto_scale_lr.enable': True,
        'default_hooks.logger': dict(type='LoggerHook', interval=1),
        'load_from': 'a',
        'env_cfg.cudnn_benchmark': True,
        'visualizer.name': 'x',
        'work_dir': 'y',
    }
    assert load_config(str(path), early).data_preprocessor.mean == [2]  # the model has none
    path.write_text('model = dict(data_preprocessor=dict(mean=[1]))\n')
    with pytest.raises(UserError, match='set the place.*model.data_preprocessor'):
        load_config(str(path), {'data_preprocessor.mean': [2]})


def test_loader_without_workers():
    cfg = load_config(
        str(TINY),
        {
            'train_dataloader.persistent_workers': True,
            'train_dataloader.prefetch_factor': 4,
            'val_dataloader.persistent_workers': True,
            'val_dataloader.num_workers': 1,
        },
    )
    assert not cfg.train_dataloader.persistent_workers
    assert 'prefetch_factor' not in cfg.train_dataloader
    assert cfg.val_dataloader.persistent_workers


def test_option_without_a_value(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=Options)
    assert parser.parse_args(['--cfg-options', 'a.b=[1,2]']).cfg_options == {'a.b': [1, 2]}
    with pytest.raises(SystemExit) as info:
        parser.parse_args(['--cfg-options', 'a.b'])
    assert info.value.code == 2 and "takes KEY=VALUE, and 'a.b'" in capsys.readouterr().err


def test_launcher_without_a_launcher(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(UserError, match='use --gpus N in its place'):
        prepare_launcher(load_config(str(TINY)), 'pytorch')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.delenv('SLURM_JOB_ID', raising=False)
    with pytest.raises(UserError, match='mpi needs GPUs'):
        prepare_launcher(load_config(str(TINY)), 'mpi')
    with pytest.raises(UserError, match='slurm expects to be started by srun'):
        prepare_launcher(load_config(str(TINY)), 'slurm')


def test_work_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = Config(dict())
    prepare_work_dir(cfg, None, 'configs/a_b.py')
    assert cfg.work_dir == os.path.join('work_dirs', 'a_b') and os.path.isdir(cfg.work_dir)
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file.*cannot be written to'):
        prepare_work_dir(cfg, 'file/below', 'a.py')


def test_resume(tmp_path):
    cfg = Config(dict(work_dir=str(tmp_path)))
    assert find_checkpoint_to_resume(cfg, None) is None
    assert find_checkpoint_to_resume(cfg, 'auto') is None and not cfg.resume  # nothing there: from the beginning
    with pytest.raises(UserError, match='no such file'):
        find_checkpoint_to_resume(cfg, str(tmp_path / 'none.pth'))
    text = tmp_path / 'text.pth'
    text.write_text('not a checkpoint')
    with pytest.raises(UserError, match='cannot be read'):
        find_checkpoint_to_resume(cfg, str(text))
    weights = tmp_path / 'weights.pth'
    torch.save(TinyModel().state_dict(), weights)
    with pytest.raises(UserError, match='load_from='):
        find_checkpoint_to_resume(cfg, str(weights))


def test_last_checkpoint_of_a_moved_work_dir(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('/gone/epoch_1.pth')
    with pytest.raises(UserError, match='--resume FILE'):
        last_checkpoint(str(tmp_path))
    save(tmp_path / 'epoch_1.pth')
    assert last_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_1.pth')


@pytest.mark.parametrize('pointer', ['', '/gone/epoch_9.pth', 'epoch_3.pth'])
def test_last_checkpoint_after_a_kill(tmp_path, pointer, capsys):
    (tmp_path / 'last_checkpoint').write_text(pointer)
    (tmp_path / 'epoch_3.pth').write_text('truncated')
    with pytest.raises(UserError, match='can be read: name one'):
        last_checkpoint(str(tmp_path))
    save(tmp_path / 'epoch_1.pth')
    save(tmp_path / 'epoch_2.pth')
    os.utime(tmp_path / 'epoch_1.pth', (1, 1))
    assert last_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_2.pth')
    assert capsys.readouterr().out.count('taking epoch_2.pth') == 1


def save(path, **more) -> None:
    torch.save(dict(state_dict=TinyModel().state_dict(), **more), path)


def test_resume_needs_optimizer_and_schedule(tmp_path):
    cfg = Config(dict(work_dir=str(tmp_path), param_scheduler=dict(type='MultiStepLR')))
    run = dict(meta=dict(epoch=1, iter=4), message_hub={})
    path = str(tmp_path / 'best_accuracy_epoch_1.pth')
    for state in ({}, dict(optimizer={}), dict(param_schedulers=[])):
        save(path, **run, **state)
        with pytest.raises(UserError, match='optimizer and schedule.*epoch_N.pth'):
            find_checkpoint_to_resume(cfg, path)
    save(path, **run, optimizer={}, param_schedulers=[])
    assert find_checkpoint_to_resume(cfg, path)['meta']['iter'] == 4
    save(path, **run, optimizer={})
    cfg.param_scheduler = None  # then there is none to save
    assert find_checkpoint_to_resume(cfg, path) is not None


def test_ranks_that_would_start_apart(monkeypatch):
    content = dict(meta=dict(epoch=2, iter=8))
    check_same_checkpoint(content)
    check_same_checkpoint(None)
    monkeypatch.setattr(preflight, 'all_gather_object', lambda mine: [mine, None])
    check_same_checkpoint(None)
    with pytest.raises(UserError, match='rank 0 from epoch 2, iteration 8, rank 1 from the begin'):
        check_same_checkpoint(content)


def test_lr_for_another_batch(capsys):
    cfg = load_config(str(TINY))  # 4 images a process, lr for 8
    warn_if_lr_is_not_scaled(cfg, 2)
    assert not capsys.readouterr().out
    warn_if_lr_is_not_scaled(cfg, 4)
    out = capsys.readouterr().out
    assert 'lr is for 8 images a step and this run has 16: add --auto-scale-lr' in out
    cfg.auto_scale_lr.enable = True
    warn_if_lr_is_not_scaled(cfg, 4)
    assert not capsys.readouterr().out


def test_port_of_a_slurm_job(monkeypatch):
    joined = []
    monkeypatch.setattr(launch, '_join', lambda **options: joined.append(os.environ['MASTER_PORT']))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    names = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_PORT')
    for job in (7001, 7002):
        with monkeypatch.context() as patched:
            for name in names:
                patched.setenv(name, '')
                patched.delenv(name)
            task = dict(JOB_ID=job, PROCID=1, LOCALID=0, NTASKS=2)
            for name, value in task.items():
                patched.setenv(f'SLURM_{name}', str(value))
            patched.setenv('MASTER_ADDR', 'node1')
            prepare_launcher(Config(), 'slurm')
            assert os.environ['RANK'] == '1' and os.environ['WORLD_SIZE'] == '2'
    assert joined[0] != joined[1] and 'MASTER_PORT' not in os.environ


@pytest.fixture
def runner(tmp_path):
    cfg = load_config(str(TINY))
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = tmp_path.name
    return Runner.from_cfg(cfg)


def test_weights_of_another_architecture(runner):
    weights = TinyModel().state_dict()
    load_weights(runner, dict(state_dict=weights), 'a.pth')
    assert torch.equal(runner.model.line.weight, weights['line.weight'])
    with pytest.raises(UserError, match=r'a\.pth.*line\.weight \(here \[3, 4\]'):
        load_weights(runner, dict(state_dict=TinyModel(classes=5).state_dict()), 'a.pth')
    with pytest.raises(UserError, match=r'1 missing: line\.bias'):
        load_weights(runner, {'state_dict': {'line.weight': weights['line.weight']}}, 'a.pth')


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.', 'ema.model.'])
def test_weights_under_a_prefix_are_tested_and_not_resumed(runner, prefix):
    """mmengine resumes by the names that it expects."""
    weights = TinyModel().state_dict()
    content = dict(state_dict={prefix + name: value for name, value in weights.items()})
    load_weights(runner, content, 'a.pth')
    assert torch.equal(runner.model.line.weight, weights['line.weight'])
    with pytest.raises(UserError, match='2 missing: line.weight'):
        load_weights(runner, content, 'a.pth', resumed=True)


def test_wrong_argument_of_a_loop(runner):
    runner._train_loop['max_epoch'] = 4
    with pytest.raises(TypeError) as info:
        runner.train()
    assert 'max_epoch,' in user_message(info.value)


def test_disk(runner, monkeypatch):
    usage = namedtuple('usage', 'free')
    # 15 parameters and their momentum, 4 bytes each; 2 kept, 1 best, 1 being written.
    needed = 15 * 2 * 4 * 4
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(needed))
    check_disk(runner)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(needed - 1))
    with pytest.raises(UserError, match=r'are free there.*--work-dir\.'):
        check_disk(runner)
    # Checkpoints of the same run are replaced, so that their space counts.
    with open(os.path.join(runner.work_dir, 'epoch_1.pth'), 'wb') as file:
        file.write(b'0' * 120)
    check_disk(runner)
