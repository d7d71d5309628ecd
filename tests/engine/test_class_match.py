"""Equal numbers of classes under other names or in another order: a teacher, and a checkpoint that is tested."""

import json
import shutil

import pytest
import torch

from hsakd_mm.checkpoints.class_names import class_names
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.reading_files import METADATA
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.hsakd import HSAKDTeacher
from hsakd_mm.models.distillers.plain import Classifier
from tests.conftest import REPO
from tests.tools.commands import assert_sentence, python

DIGITS = tuple(map(str, range(10)))
TURNED = ('1', '0', *DIGITS[2:])
RENAMED = (*DIGITS[:8], 'z8', '9')
NARROW = ['model.backbone.channels=[8,8,16,16]', 'test_dataloader.num_workers=0']


@pytest.fixture
def teacher_file(config, tmp_path):
    def make(classes: tuple) -> str:
        torch.manual_seed(0)
        teacher = HSAKDTeacher(config('teacher').model.backbone)
        path = tmp_path / 'teacher.pth'
        torch.save(dict(state_dict=teacher.state_dict(), meta=dict(dataset_meta=dict(classes=classes))), path)
        return str(path)

    return make


def distil(config, path: str, **overrides):
    options = {'default_hooks.distillation.checkpoint': path, 'default_hooks.distillation.check': False}
    return config('hsakd', **options, **overrides)


@pytest.mark.parametrize('classes', [DIGITS, TURNED, DIGITS[::-1], (*DIGITS[5:], *DIGITS[:5])])
def test_a_teachers_classes_are_numbered_as_the_datas(config, run, teacher_file, classes) -> None:
    path = teacher_file(classes)
    teacher = run(distil(config, path)).model.teacher
    theirs = load_checkpoint(path)['state_dict']
    for label, name in enumerate(DIGITS):
        old = classes.index(name)
        assert torch.equal(teacher.backbone.fc.weight[label], theirs['backbone.fc.weight'][old])
        joint = theirs['branches.0.fc.bias'][4 * old : 4 * old + 4]
        assert torch.equal(teacher.branches[0].fc.bias[4 * label : 4 * label + 4], joint)


@pytest.mark.parametrize('classes', [RENAMED, tuple('abcdefghij'), ('0', *DIGITS[:9])])
def test_a_teacher_of_other_classes_is_refused(config, run, teacher_file, classes) -> None:
    with pytest.raises(UserError, match='only the data has .*check_classes=False'):
        run(distil(config, teacher_file(classes)))


def test_names_that_mean_the_same_can_be_allowed(config, run, teacher_file) -> None:
    cfg = distil(config, teacher_file(RENAMED), **{'default_hooks.distillation.check_classes': False})
    assert run(cfg).iter == 2


def frozen(config, tmp_path, classes: tuple, **overrides):
    """A teacher on a frozen backbone that was trained on ``classes``."""
    torch.manual_seed(1)
    backbone = config('teacher').model.backbone
    path = tmp_path / 'plain.pth'
    state_dict = Classifier(backbone).state_dict()
    torch.save(dict(state_dict=state_dict, meta=dict(dataset_meta=dict(classes=classes))), path)
    options = {'model.frozen_backbone': True, 'model.checkpoint': str(path)}
    return config('teacher', **options, **overrides), state_dict


@pytest.mark.parametrize('classes', [DIGITS, TURNED, DIGITS[::-1]])
def test_a_frozen_backbones_classes_are_numbered_as_the_datas(config, run, tmp_path, classes) -> None:
    cfg, before = frozen(config, tmp_path, classes)
    weight = run(cfg).model.backbone.fc.weight
    for label, name in enumerate(DIGITS):
        assert torch.equal(weight[label], before['backbone.fc.weight'][classes.index(name)])


def test_a_frozen_backbone_of_other_classes_is_refused(config, run, tmp_path) -> None:
    cfg, _ = frozen(config, tmp_path, RENAMED)
    with pytest.raises(UserError, match="only the data has '8': .*num_class_check.check_names=False"):
        run(cfg)
    cfg, _ = frozen(config, tmp_path, RENAMED, **{'default_hooks.num_class_check.check_names': False})
    assert run(cfg).iter == 2


@pytest.mark.parametrize(
    'meta, found',
    [
        (dict(dataset_meta=dict(classes=['a', 'b'])), ('a', 'b')),
        (dict(CLASSES=('a', 'b')), ('a', 'b')),
        (dict(dataset_meta=dict(CLASSES=('a', 'b'))), ('a', 'b')),
        ({METADATA: dict(classes=['a', 'b'])}, ('a', 'b')),
        (dict(dataset_meta=dict(classes=[0, 1])), ('0', '1')),
        (dict(dataset_meta=None), None),
        ({}, None),
    ],
)
def test_where_the_names_stand(meta, found) -> None:
    assert class_names(dict(state_dict={}, meta=meta)) == found


def test_a_checkpoint_is_tested_with_the_classes_it_was_trained_on(config, run, demo_data, tmp_path) -> None:
    """Folders that change their names, with the checkpoint's names, change nothing."""
    own = f'{run(config("plain", epochs=3)).work_dir}/epoch_3.pth'
    content = load_checkpoint(own)
    content['meta']['dataset_meta']['classes'] = ('9', *DIGITS[1:9], '0')
    turned, data = tmp_path / 'turned.pth', tmp_path / 'other'
    torch.save(dict(state_dict=content['state_dict'], meta=content['meta']), turned)
    shutil.copytree(demo_data / 'digits', data)
    for split in data.iterdir():
        for old, new in (('0', 'a'), ('9', '0'), ('a', '9')):
            (split / old).rename(split / new)

    def tested(checkpoint, folder, *options):
        args = [
            REPO / 'configs' / 'demo' / 'plain.py',
            checkpoint,
            '--work-dir',
            tmp_path / 'w',
            '--out',
            out,
            *options,
        ]
        changed = ['--cfg-options', *NARROW, f'test_dataloader.dataset.data_root={folder}']
        return python(REPO / 'tools' / 'test.py', *args, *changed, cwd=tmp_path)

    out, metrics = tmp_path / 'out.json', []
    for checkpoint, folder in ((own, demo_data / 'digits'), (turned, data)):
        done = tested(checkpoint, folder)
        assert done.returncode == 0, done.stderr
        assert ('have another order' in done.stdout + done.stderr) == (checkpoint == turned)
        metrics.append(json.loads(out.read_text())['metrics'])
    assert metrics[0] == metrics[1]
    for split in data.iterdir():
        (split / '8').rename(split / 'z8')
    assert_sentence(tested(turned, data), "only the checkpoint has '8'", "only the data has 'z8'", 'ignore-class-names')
    assert tested(turned, data, '--ignore-class-names').returncode == 0
