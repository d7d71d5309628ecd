"""tools/transfer_det.py: what it takes, what it refuses, and a run from end to end."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from hsakd_mm.checkpoints.source import resolve_source
from hsakd_mm.commands import transfer_det
from hsakd_mm.engine.loggers import run as loggers
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.child import run_child
from hsakd_mm.experiments.child import tool as tool_path
from tests.conftest import REPO
from tests.tools.prestarted import prestarted
from tests.trained_backbones import NARROW, write_checkpoint

needs_mmdet = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason='mmdet is not installed')
COCO = str(REPO / 'configs' / 'transfer' / 'faster-rcnn_r18_fpn_1x_coco.py')

DEMO = str(REPO / 'configs' / 'demo' / 'faster_rcnn.py')


def tool(*args, cwd) -> subprocess.CompletedProcess:
    env = {**os.environ, 'PYTHON': prestarted(), 'OMP_NUM_THREADS': '1'}
    return subprocess.run(
        ['bash', str(REPO / 'tools' / 'transfer_det.sh'), *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=env,
    )


def test_without_arguments_and_without_students(refusal) -> None:
    assert 'there is no such folder' in refusal('transfer_det.py')


@needs_mmdet
def test_without_arguments_the_choice_is_said_and_the_data_asked_for(tmp_path) -> None:
    write_checkpoint(tmp_path / 'work_dirs' / 'student' / 'epoch_3.pth', (64, 128, 256, 512))
    done = tool(cwd=tmp_path)
    assert 'taking the newest distilled student, work_dirs/student/epoch_3.pth' in done.stdout
    assert 'faster-rcnn_r18_fpn_1x_coco.py' in done.stdout
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    (told,) = done.stderr.splitlines()
    assert told.startswith('error: ')
    for path in (
        'data/coco/annotations/instances_train2017.json',
        'data/coco/train2017/',
        'data/coco/annotations/instances_val2017.json',
        'data/coco/val2017/',
    ):
        assert path in told
    assert not (tmp_path / 'work_dirs' / 'transfer').exists()


@needs_mmdet
def test_the_recipes() -> None:
    coco = Config.fromfile(COCO)
    voc = Config.fromfile(REPO / 'configs' / 'transfer' / 'faster-rcnn_r18_fpn_voc0712.py')
    for cfg in (coco, voc):
        backbone = cfg.model.backbone
        assert (backbone.depth, backbone.frozen_stages, backbone.norm_eval) == (18, 1, True)
        assert backbone.norm_cfg.requires_grad and cfg.default_scope == 'mmdet'
        assert set(backbone.init_cfg) == {'type', 'checkpoint'}
        assert cfg.model.neck.in_channels == 'auto'
        assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=16)
        assert cfg.optim_wrapper.optimizer.weight_decay == 1e-4
    assert coco.optim_wrapper.optimizer.lr == 0.02 and coco.train_cfg.max_epochs == 12
    warm_up, steps = coco.param_scheduler
    assert (warm_up.start_factor, warm_up.end, steps.milestones) == (0.001, 500, [8, 11])
    assert voc.optim_wrapper.optimizer.lr == 0.01 and voc.train_cfg.max_epochs == 4
    assert voc.param_scheduler[0].milestones == [3]
    train = voc.train_dataloader.dataset
    assert train.times == 3 and len(train.dataset.datasets) == 2
    assert voc.model.roi_head.bbox_head.num_classes == 20


@needs_mmdet
@pytest.mark.parametrize(
    'args, said',
    [
        (['absent.pth', COCO], 'a checkpoint was expected at absent.pth'),
        (['random', 'absent.py'], 'a config was expected at absent.py'),
        (['random', str(REPO / 'configs' / 'demo' / 'plain.py')], 'a detection config was expected'),
        (['random', COCO, '0'], 'the number of GPUs'),
        (
            ['random', DEMO, '--cfg-options', 'model.neck.in_channels=[64,128,256,512]'],
            "have [16, 32, 64, 128]: set model.neck.in_channels=[16, 32, 64, 128], or 'auto'",
        ),
    ],
)
def test_refusals(args, said, refusal) -> None:
    assert said in refusal('transfer_det.py', *args)


@needs_mmdet
def test_on_several_machines_the_first_reports(started, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv('NNODES', '2')
    monkeypatch.setenv('NODE_RANK', '1')
    second = started()
    second.train()
    assert started.commands[-1][:2] == ['bash', tool_path('dist_train.sh')]
    assert second.report() == {}
    assert os.listdir(second.work_dir) == ['faster_rcnn.py']
    monkeypatch.setenv('NODE_RANK', '0')
    first = started()
    first.train()
    assert os.path.isfile(os.path.join(first.work_dir, 'transfer.json'))


@needs_mmdet
def test_a_seed_has_its_own_folder(started) -> None:
    assert started().work_dir == os.path.join('work_dirs', 'transfer', 'random-faster_rcnn')
    assert started(seed=0).work_dir.endswith('-faster_rcnn-seed0')
    assert started(seed=1, work_dir='here').work_dir == 'here'


@needs_mmdet
@pytest.mark.parametrize(
    'options',
    [
        {'optim_wrapper.optimizer.lr': 0.5},
        {'optim_wrapper.optimizer.weight_decay': 0.5},
        {'param_scheduler.1.milestones': [1, 2]},
        {'train_cfg.max_epochs': 2},
        {'train_dataloader.batch_size': 1},
        {'model.roi_head.bbox_head.num_classes': 3},
    ],
)
def test_a_resumed_run_is_the_run_that_was_stopped(started, options) -> None:
    started(work_dir='here').train()
    with pytest.raises(UserError, match='that has another config or other options'):
        started(work_dir='here', options=options).train(resume='auto')


@needs_mmdet
def test_without_any_measure_nothing_starts(started) -> None:
    nothing = {f'{part}_{name}': None for part in ('val', 'test') for name in ('dataloader', 'cfg', 'evaluator')}
    with pytest.raises(UserError, match='a transfer ends in an AP'):
        started(options=nothing)


@pytest.mark.parametrize('status, raised', [(130, SystemExit), (1, KeyboardInterrupt)])
def test_an_interrupted_child_that_said_so_is_not_repeated(status, raised) -> None:
    code = f'import os, signal, sys; os.kill(os.getppid(), signal.SIGINT); sys.exit({status})'
    with pytest.raises(raised):
        run_child([sys.executable, '-c', code])


@needs_mmdet
def test_from_checkpoint_to_report_and_again(demo_data, tmp_path, refusal) -> None:
    write_checkpoint(tmp_path / 'student' / 'epoch_3.pth', channels=(8, 16, 32, 64))
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'demo').symlink_to(demo_data)
    config = REPO / 'configs' / 'demo' / 'faster_rcnn.py'
    options = [
        '--cfg-options',
        'model.backbone.base_channels=8',
        'model.neck.in_channels=[8,16,32,64]',
        'train_cfg.max_epochs=1',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'val_dataloader.num_workers=0',
        'val_dataloader.persistent_workers=False',
    ]
    logger = ['--tensorboard'] if importlib.util.find_spec('tensorboard') else []
    done = tool('student/epoch_3.pth', config, '--seed', '5', *logger, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    work_dir = tmp_path / 'work_dirs' / 'transfer' / 'student-epoch_3-faster_rcnn-seed5'
    backbone = resolve_source(str(tmp_path / 'student' / 'epoch_3_backbone.pth')).backbone
    loaded = f'of {len(backbone.state_dict)} tensors of ResNet loaded from'
    assert done.stdout.count(loaded) == 2  # checked before, and done in training
    assert done.stdout.count(backbone.sha256) >= 3

    (row,) = json.loads((work_dir / 'report.json').read_text())['rows']
    assert row['name'] == 'HSAKD' and row['seed'] == 5
    assert row['checkpoint_sha256'] == backbone.sha256
    assert row['parameters'] == backbone.parameters
    assert {'AP', 'AP50', 'AP75', 'command', 'commit', 'hardware'} <= set(row)
    # Of this narrow ResNet: stem, layer1, and every BatchNorm's statistics.
    assert '(conv1, bn1, layer1)' in row['frozen'] and row['frozen'] in done.stdout
    assert 'statistics of 21 of 21 BatchNorm layers stay' in row['frozen']
    assert 'Learning rate 0.001 for 8 images a step.' in row['frozen']
    found = json.loads((work_dir / 'detections.json').read_text())
    assert len(found['images']) == 4 and found['truth'] and found['classes'] == list('0123456789')
    assert backbone.sha256 in (work_dir / 'report.md').read_text()
    assert (work_dir / 'epoch_1.pth').exists()
    assert len(list(work_dir.rglob('events.out.*'))) == len(logger)

    # Another backbone cannot go on with that run.
    write_checkpoint(tmp_path / 'other' / 'epoch_3.pth', channels=(8, 16, 32, 64), hooks='')
    content = torch.load(tmp_path / 'other' / 'epoch_3.pth')
    content['state_dict']['backbone.conv1.weight'] += 1
    torch.save(content, tmp_path / 'other' / 'epoch_3.pth')
    assert 'started from student/epoch_3_backbone.pth' in refusal(
        'transfer_det.py', 'other/epoch_3.pth', config, '--work-dir', work_dir, '--resume', '--seed', 5, *options
    )
    # Nor can another seed.
    assert 'has seed 5, not 0: add --seed 5' in refusal(
        'transfer_det.py', 'student/epoch_3.pth', config, '--work-dir', work_dir, '--resume', *options
    )

    # Stopped in its last validation: nothing is left to train, and the AP is measured.
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    log.write_text(''.join(line for line in log.open() if 'coco/' not in line))
    done = tool('student/epoch_3.pth', config, '--seed', '5', '--resume', *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (again,) = json.loads((work_dir / 'report.json').read_text())['rows']
    assert [again[key] for key in ('AP', 'AP50', 'AP75')] == pytest.approx([row[key] for key in ('AP', 'AP50', 'AP75')])


@needs_mmdet
def test_a_backbone_that_does_not_fit_stops_before_training(demo_data, tmp_path, refusal) -> None:
    write_checkpoint(tmp_path / 'student' / 'epoch_3.pth', channels=NARROW)
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'demo').symlink_to(demo_data)
    told = refusal('transfer_det.py', 'student/epoch_3.pth', REPO / 'configs' / 'demo' / 'faster_rcnn.py')
    assert 'of another shape: layer1.0.conv1.weight' in told
    assert "holds TimmBackbone(model_name='resnet18', num_classes=10, channels=[8, 8," in told
    assert "the detector's backbone is ResNet(depth=18, base_channels=16, num_stages=4): " in told
    assert not (tmp_path / 'work_dirs').exists()


@needs_mmdet
def test_a_loggers_package_is_missed_before_anything_runs(monkeypatch) -> None:
    """The mock stands for an environment without the package, which the tests' own has."""
    monkeypatch.setattr(loggers, 'find_spec', lambda name: None)
    monkeypatch.setattr(sys, 'argv', ['transfer', 'random', DEMO, '--seeds', '0', '1', '--wandb'])
    with pytest.raises(UserError, match='wandb, which is not installed'):
        transfer_det.main()


@needs_mmdet
def test_a_list_that_is_none(refusal) -> None:
    assert 'one config was expected, and there are two' in refusal('transfer_det.py', 'random', COCO, DEMO)
    assert 'one number of GPUs was expected' in refusal('transfer_det.py', 'random', COCO, 2, 3)
    assert 'a checkpoint was expected at runs/seed3/a.pth' in refusal(
        'transfer_det.py', 'A=runs/seed{seed}/a.pth', COCO, '--seed', 3
    )
    assert 'here is one run' in refusal('transfer_det.py', 'random', '--baseline', 'random')
    assert 'names the checkpoint of one run' in refusal(
        'transfer_det.py', 'random', '--seeds', 0, 1, '--resume', 'epoch_3.pth'
    )


@needs_mmdet
@pytest.mark.parametrize('resume, kept', [(None, 'here.old1'), ('auto', 'here')])
def test_the_result_of_another_config_is_not_overwritten(started, resume, kept) -> None:
    started(work_dir='here').train()
    with pytest.raises(UserError, match='data is not where'):  # which is looked for next
        started(work_dir='here', options={'optim_wrapper.optimizer.lr': 0.5}).check(resume)
    assert os.path.isfile(os.path.join(kept, 'transfer.json'))
