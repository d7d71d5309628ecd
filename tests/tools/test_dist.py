"""dist_train.sh and dist_test.sh on two gloo processes, and the launcher's own refusals."""

import json
import socket

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from hsakd_mm.engine import launch, torchrun
from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS
from tests.faults.jobs import free_port
from tests.tools.commands import ROOT, TINY, assert_sentence, bash, python
from tests.tools.test_train import weights


@pytest.fixture
def port() -> int:
    return free_port()


def test_two_processes_train_as_one_does(tmp_path, port):
    """Twice 4 images a step and once 8: the same weights, metrics over all images once."""
    two = bash('dist_train.sh', TINY, 2, '--work-dir', 'two words', cwd=tmp_path, PORT=port)
    assert two.returncode == 0, two.stderr
    one = python(
        ROOT / 'tools' / 'train.py',
        TINY,
        '--work-dir',
        'one',
        '--cfg-options',
        'train_dataloader.batch_size=8',
        cwd=tmp_path,
    )
    assert one.returncode == 0, one.stderr
    ours = weights(tmp_path / 'two words' / 'epoch_2.pth')
    theirs = weights(tmp_path / 'one' / 'epoch_2.pth')
    for key in theirs:
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-5, atol=1e-6)

    done = bash('dist_test.sh', TINY, tmp_path / 'two words/epoch_2.pth', 2, '--out', 'm.json', cwd=tmp_path, PORT=port)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / 'm.json').read_text())['metrics']['tiny/images'] == 16
    assert done.stdout.count('tiny/images: ') == 1
    assert not (tmp_path / '.dist_test').exists()  # of mmengine, which may not be allowed to write here
    assert not list(tmp_path.rglob('.collect'))


def test_synchronised_batch_norm_needs_gpus(tmp_path, port):
    done = bash('dist_train.sh', TINY, 1, '--cfg-options', 'sync_bn=torch', cwd=tmp_path, PORT=port)
    assert_sentence(done, "sync_bn='torch' needs GPUs", 'sync_bn=None')
    with pytest.raises(UserError, match=r"'torch' or 'mmcv', and it is True"):
        launch.check_sync_bn(Config(dict(sync_bn=True, launcher='none')))


def test_all_ranks_failing_alike_say_it_once(tmp_path, port):
    done = bash('dist_train.sh', TINY, 2, '--cfg-options', 'model.clases=4', cwd=tmp_path, PORT=port)
    assert_sentence(done, 'clases')
    assert 'ChildFailedError' not in done.stderr


def test_a_rank_failing_alone_is_heard(tmp_path, port):
    done = bash('dist_train.sh', TINY, 2, '--cfg-options', 'train_dataloader.dataset.broken=1', cwd=tmp_path, PORT=port)
    assert_sentence(done, 'sample 1 cannot be read', '(rank 1)')


def test_port_in_use(tmp_path):
    with socket.create_server(('', 0)) as taken:
        port = taken.getsockname()[1]
        done = bash('dist_train.sh', TINY, 2, cwd=tmp_path, PORT=port)
    assert_sentence(done, f'port {port} is already in use', 'PORT=')
    assert not (tmp_path / 'work_dirs').exists()


def test_nodes_that_cannot_meet(tmp_path):
    for script, args in (('dist_train.sh', [TINY]), ('dist_test.sh', [TINY, 'a.pth'])):
        done = bash(script, *args, 2, cwd=tmp_path, NNODES=2)
        assert_sentence(done, '2 nodes need an address', 'MASTER_ADDR')


def test_distillation_in_two_processes(tmp_path, demo_data, port):
    """The demo's own config: the teacher takes part on each rank, and is in no checkpoint."""
    config = ROOT / 'configs' / 'demo' / 'hsakd.py'
    cfg = Config.fromfile(config)
    narrow = cfg.default_hooks.distillation.teacher
    narrow.backbone.channels = [8, 8, 16, 16]
    with DefaultScope.overwrite_default_scope('hsakd_mm'):
        teacher = MODELS.build(narrow)
    torch.save(dict(state_dict=teacher.state_dict()), tmp_path / 'teacher.pth')
    options = [
        'default_hooks.distillation.check=False',
        'default_hooks.distillation.checkpoint=teacher.pth',
        'train_cfg.max_epochs=1',
        'train_dataloader.batch_size=4',
        'train_dataloader.dataset.indices=16',
    ]
    options += [f'{part}.backbone.channels=[8,8,16,16]' for part in ('model', 'default_hooks.distillation.teacher')]
    options += [
        f'{part}_dataloader.{name}'
        for part in ('train', 'val', 'test')
        for name in (f'dataset.data_root={demo_data / "digits"}', 'num_workers=0')
    ]
    done = bash(
        'dist_train.sh',
        config,
        2,
        '--no-validate',
        '--work-dir',
        'run',
        '--cfg-options',
        *options,
        cwd=tmp_path,
        PORT=port,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('lr is for 32 images a step and this run has 8') == 1
    with DefaultScope.overwrite_default_scope('hsakd_mm'):
        cfg.model.backbone.channels = [8, 8, 16, 16]
        student = MODELS.build(cfg.model)
    assert set(weights(tmp_path / 'run' / 'epoch_1.pth')) == set(student.state_dict())


def test_numbers_of_processes(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    assert torchrun._check_processes('4') == 4 and torchrun._check_processes('gpu') == 4
    with pytest.raises(UserError, match='8 GPUs were asked for, and this machine has 4'):
        torchrun._check_processes('8')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    assert torchrun._check_processes('8') == 8  # processes on the CPU
    for wrong in ('0', '-1', 'many'):
        with pytest.raises(UserError, match='positive number'):
            torchrun._check_processes(wrong)
