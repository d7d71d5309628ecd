"""A stranger's MMDetection project: a folder of its own, and nothing but installed packages."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch

from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.checkpoints.loading import sha256
from hsakd_mm.models.backbones import TimmBackbone

pytest.importorskip('mmdet', reason='mmdet is not installed')

NETWORK = dict(type='TimmBackbone', model_name='mobilenetv3_small_050', num_classes=10)
CONFIG = """
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['hsakd_mm'], allow_failed_imports=False)
model = dict(
    backbone=dict(
        _delete_=True, type='hsakd_mm.TimmDetBackbone', model_name='mobilenetv3_small_050',
        frozen_stages=1, norm_eval=True, init_cfg=dict(
            type='hsakd_mm.StrictPretrained', checkpoint='student_backbone.pth')),
    neck=dict(in_channels='auto', out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=10)),
    train_cfg=dict(rpn_proposal=dict(nms_pre=100, max_per_img=50)),
    test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=50)))

data = dict(data_root='{data}/', metainfo=dict(classes=tuple('0123456789')))
images = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
          dict(type='Resize', scale=(96, 96), keep_ratio=True)]
workers = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=4, **workers, dataset=dict(
    **data, ann_file='train.json', data_prefix=dict(img='train/'),
    pipeline=[*images, dict(type='PackDetInputs')]))
val_dataloader = dict(batch_size=4, **workers, dataset=dict(
    **data, ann_file='test.json', data_prefix=dict(img='test/'),
    pipeline=[*images, dict(type='PackDetInputs', meta_keys=(
        'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]))
val_evaluator = dict(ann_file='{data}/test.json')
train_cfg = dict(max_epochs=1)
default_hooks = dict(logger=dict(interval=1))
work_dir = 'work_dirs/mine'
"""
TRAIN = """
import sys
from mmengine.config import Config
from mmengine.runner import Runner
runner = Runner.from_cfg(Config.fromfile(sys.argv[1]))
runner.train()
"""


def project(folder, data) -> dict:
    """Writes it; returns the weights in the backbone file that the stranger was given."""
    torch.manual_seed(0)
    net = TimmBackbone(**{key: value for key, value in NETWORK.items() if key != 'type'})
    model = dict(
        type='HSAKD',
        backbone=NETWORK,
        data_preprocessor=dict(type='ImagePreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    )
    checkpoint = folder / 'student.pth'
    torch.save(
        dict(
            meta=dict(cfg=f'model = {model}', epoch=1),
            state_dict={f'backbone.{key}': value for key, value in net.state_dict().items()},
        ),
        checkpoint,
    )
    file = export_backbone(str(checkpoint), str(folder / 'student_backbone.pth')).pth
    checkpoint.unlink()
    (folder / 'mine.py').write_text(CONFIG.format(data=data / 'scenes'))
    (folder / 'train.py').write_text(TRAIN)
    return torch.load(file)


def stranger(folder, *command) -> subprocess.CompletedProcess:
    """Runs Python there; nothing on its path but what is installed."""
    env = {key: value for key, value in os.environ.items() if not key.startswith('PYTHON')}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        env=dict(env, OMP_NUM_THREADS='1'),
        timeout=300,
    )


def test_one_backbone_line_trains_and_evaluates(tmp_path, demo_data) -> None:
    find = "import importlib.util as u, sys; sys.exit(u.find_spec('hsakd_mm') is None)"
    if stranger(tmp_path, '-c', find).returncode:
        pytest.skip('hsakd_mm is not installed here: pip install -e .')
    weights = project(tmp_path, demo_data)
    done = stranger(tmp_path, 'train.py', 'mine.py')
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    digest = sha256(str(tmp_path / 'student_backbone.pth'))
    found = re.search(
        r'StrictPretrained: (\d+) of (\d+) tensors of TimmDetBackbone loaded from '
        rf'student_backbone\.pth, SHA-256 {digest}; left over: 2 tensors behind the '
        r'last stage in use \(conv_head\.weight, conv_head\.bias\)',
        said,
    )
    assert found and int(found[1]) == int(found[2]) == len(weights) - 2

    (scalars,) = (tmp_path / 'work_dirs' / 'mine').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    losses = [line['loss'] for line in lines if 'loss' in line]
    assert len(losses) == 2 and all(0 < loss < 100 for loss in losses)
    assert 0 <= lines[-1]['coco/bbox_mAP'] <= 1

    trained = torch.load(tmp_path / 'work_dirs' / 'mine' / 'epoch_1.pth', weights_only=False)['state_dict']
    own = {key.removeprefix('backbone.'): value for key, value in trained.items() if key.startswith('backbone.')}
    assert own.keys() == {key for key in weights if not key.startswith('conv_head')}
    changed = {key for key in own if not torch.equal(own[key], weights[key])}
    assert 'blocks.5.0.conv.weight' in changed and 'blocks.1.0.conv_pw.weight' in changed
    still = [key for key in changed if key.startswith(('conv_stem', 'bn1', 'blocks.0.')) or 'running' in key]
    assert not still  # the stem, the first stage, and every running statistic
