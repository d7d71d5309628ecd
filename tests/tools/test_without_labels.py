"""A student that learns without labels, as a user trains, tests and exports it; and what refuses such pictures."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from hsakd_mm.checkpoints.class_names import class_names
from hsakd_mm.checkpoints.export import export_all
from hsakd_mm.checkpoints.loading import load_checkpoint, load_strict
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS
from tests.conftest import REPO
from tests.tools.commands import ROOT, python

NARROW = dict(type='TimmBackbone', num_classes=10, channels=(8, 8, 16, 16))
NAMES = tuple(f'a{digit}' for digit in range(10))

CONFIG = """
_base_ = '{demo}'
_loader = dict(batch_size=16, num_workers=0, persistent_workers=False)
_images = dict(type='UnlabelledImages', data_root='{data}', verify=False)
train_dataloader = dict(**_loader, dataset=dict(**_images, indices=32))
val_dataloader = dict(**_loader, dataset=dict(**_images, indices=40))
test_dataloader = dict(**_loader, dataset=dict(**_images, indices=40))
val_evaluator = dict(_delete_=True, type='TeacherAgreement')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
model = dict(ce_weight=0.0, backbone=dict(channels=(8, 8, 16, 16)))
default_hooks = dict(
    checkpoint=dict(save_best='agreement/top1', rule='greater'),
    distillation=dict(
        checkpoint='{teacher}', teacher=dict(backbone=dict(model_name='resnet18', channels=(8, 8, 16, 16)))))
"""


@pytest.fixture(scope='module')
def folder(demo_data, tmp_path_factory):
    """A teacher that nobody trained, which has names for its classes, and a config without labels."""
    folder = tmp_path_factory.mktemp('unlabelled')
    torch.manual_seed(0)
    teacher = MODELS.build(dict(type='HSAKDTeacher', backbone=dict(NARROW, model_name='resnet18')))
    content = dict(state_dict=teacher.state_dict(), meta=dict(dataset_meta=dict(classes=NAMES)))
    torch.save(content, folder / 'teacher.pth')
    places = dict(demo=REPO / 'configs/demo/hsakd.py', data=demo_data / 'digits', teacher=folder / 'teacher.pth')
    (folder / 'student.py').write_text(CONFIG.format(**places))
    return folder


@pytest.fixture(scope='module')
def trained(folder):
    done = python(ROOT / 'tools/train.py', folder / 'student.py', '--work-dir', folder / 'run', cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_from_a_folder_of_pictures_to_a_backbone_with_the_teachers_classes(folder, trained, tmp_path) -> None:
    assert 'its accuracy cannot be checked before training, as the validation images have no labels' in trained.stdout
    best = find_checkpoint(str(folder / 'run'))
    assert 'best_agreement_top1_epoch_1' in best
    assert class_names(load_checkpoint(best)) == NAMES
    export = export_all(best, out=str(tmp_path / 'backbone'), with_head=True)[0]
    assert tuple(export.metadata['classes']) == NAMES
    backbone = MODELS.build(dict(NARROW, model_name='resnet18'))
    load_strict(backbone, load_checkpoint(export.pth)['state_dict'], source=export.pth, what='backbone')


def test_a_test_asks_the_teacher_too(folder, trained, tmp_path) -> None:
    logged = [
        json.loads(line) for line in next((folder / 'run').glob('*/vis_data/scalars.json')).read_text().splitlines()
    ]
    cfg = Config.fromfile(folder / 'student.py')
    cfg.update(work_dir=str(tmp_path), load_from=find_checkpoint(str(folder / 'run')), experiment_name=str(tmp_path))
    cfg.test_dataloader = cfg.val_dataloader
    assert 'agreement/top1' in logged[-1] and 'accuracy/top1' not in logged[-1]
    assert Runner.from_cfg(cfg).test()['agreement/top1'] == logged[-1]['agreement/top1']


def refused(folder, tmp_path, **changes) -> str:
    cfg = Config.fromfile(folder / 'student.py')
    cfg.merge_from_dict(dict(changes, work_dir=str(tmp_path)))
    cfg.experiment_name = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    with pytest.raises(UserError) as caught:
        runner.train()
    assert runner.iter == 0
    return str(caught.value)


def test_what_reads_labels_is_refused_before_the_first_step(folder, tmp_path, refusal) -> None:
    said = refusal('train.py', folder / 'student.py', '--cfg-options', 'model.ce_weight=1', 'work_dir=other')
    assert 'from which HSAKD learns, and the training data in' in said and 'set model.ce_weight=0 ' in said
    assert not list((tmp_path / 'other').glob('*.pth'))
    assert 'Accuracy compares predictions with labels, and the val data in' in refused(
        folder, tmp_path, val_evaluator=dict(_delete_=True, type='Accuracy')
    )


def test_labelled_validation_data_says_what_the_classes_are(folder, tmp_path) -> None:
    """The teacher's are renumbered as those of the data; other names stop the run."""
    own = Config.fromfile(folder / 'student.py').train_dataloader.dataset
    labelled = dict(
        _delete_=True, type='ImageFolder', data_root=own.data_root, split='val', indices=40, pipeline=own.pipeline[:1]
    )
    labelled['pipeline'] = [*labelled['pipeline'], own.pipeline[-1]]
    content = torch.load(folder / 'teacher.pth')
    content['meta']['dataset_meta']['classes'] = tuple('9876543210')
    torch.save(content, tmp_path / 'teacher.pth')
    cfg = Config.fromfile(folder / 'student.py')
    changes = {
        'val_dataloader.dataset': labelled,
        'val_evaluator': [dict(type='Accuracy'), dict(type='TeacherAgreement')],
        'default_hooks.distillation.check': False,
    }
    assert f'only the checkpoint has {NAMES[0]!r}' in refused(folder, tmp_path / 'other', **changes)
    checkpoint = {'default_hooks.distillation.checkpoint': str(tmp_path / 'teacher.pth')}
    cfg.merge_from_dict(dict(changes, work_dir=str(tmp_path / 'run'), **checkpoint))
    cfg.experiment_name = cfg.work_dir
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert {'val/accuracy/top1', 'val/agreement/top1'} <= set(runner.message_hub.log_scalars)
    assert class_names(load_checkpoint(find_checkpoint(cfg.work_dir))) == tuple('0123456789')
    bias = content['state_dict']['backbone.fc.bias']
    assert torch.equal(runner.model.teacher.backbone.fc.bias.cpu(), bias.flip(0))


def test_pictures_with_labels_and_without_do_not_mix(folder, tmp_path, demo_data) -> None:
    cfg = Config.fromfile(folder / 'student.py')
    own = cfg.train_dataloader.dataset
    labelled = dict(type='ImageFolder', data_root=own.data_root, split='val', verify=False, pipeline=own.pipeline)
    both = dict(_delete_=True, type='ConcatDataset', datasets=[own, labelled], ignore_keys=['classes'])
    said = refused(folder, tmp_path, **{'train_dataloader.dataset': both})
    assert 'some have labels and some have none: read all of them as UnlabelledImages' in said
