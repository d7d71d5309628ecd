"""A teacher of other classes, as a user makes it: from a file to its student, resumed, and with wrong files."""

import pytest
import torch

from hsakd_mm.checkpoints.class_names import class_names
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.work_dir import last_checkpoint
from hsakd_mm.models.distillers.plain import Classifier
from tests.faults.jobs import free_port
from tests.tools.commands import ROOT, assert_sentence, bash, python

TRAIN = ROOT / 'tools' / 'train.py'
CHOSEN = ['1', '3', '7']  # of the digits, in place of a user's own folders
NETWORK = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))
CONFIG = """
_base_ = '{base}'
few = dict(data_root='{data}', fraction=1.0, metainfo=dict(classes={chosen}), indices=48)
train_dataloader = dict(batch_size=16, num_workers=0, persistent_workers=False, dataset=few)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=few)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
model = dict(backbone=dict(model_name='resnet18', num_classes=3, channels=(8, 8, 16, 16)), {model})
{rest}
"""
FROZEN = "branches=dict(type='LightBranches'), frozen_backbone=True, new_head=True, checkpoint='five.pth'"


@pytest.fixture
def folder(tmp_path):
    """With ``five.pth``, weights of five other classes."""
    torch.manual_seed(0)
    torch.save(Classifier(NETWORK).backbone.state_dict(), tmp_path / 'five.pth')
    return tmp_path


@pytest.fixture
def start(folder, demo_data):
    """Trains a config of the demo, changed; the finished process."""

    def run(base: str, name: str, *options, model: str = '', rest: str = '', processes: int = 1):
        base = ROOT / 'configs' / 'demo' / f'{base}.py'
        text = CONFIG.format(base=base, data=demo_data / 'digits', chosen=CHOSEN, model=model, rest=rest)
        (folder / f'{name}.py').write_text(text)
        if processes > 1:
            return bash('dist_train.sh', f'{name}.py', processes, *options, cwd=folder, PORT=free_port())
        return python(TRAIN, f'{name}.py', *options, cwd=folder)

    return run


def trained(folder, name: str) -> tuple:
    path = last_checkpoint(str(folder / 'work_dirs' / name))
    return path, load_checkpoint(path)


def assert_only_the_head_differs(content: dict, folder) -> None:
    for name, value in torch.load(folder / 'five.pth').items():
        own = content['state_dict'][f'backbone.{name}']
        assert torch.equal(own, value) == (not name.startswith('fc.')), name


def test_from_a_file_of_five_classes_to_a_student_of_three(folder, start) -> None:
    done = start('teacher', 'teacher', model=FROZEN)
    assert done.returncode == 0, done.stderr
    assert 'The teacher backbone starts from five.pth (SHA-256 ' in done.stdout + done.stderr
    path, content = trained(folder, 'teacher')
    assert_only_the_head_differs(content, folder)
    assert class_names(content) == tuple(CHOSEN)
    assert export_backbone(path, with_head=True).metadata['classes'] == CHOSEN

    hook = "dict(distillation=dict(checkpoint='work_dirs/teacher', check=False, teacher=dict("
    hook += "backbone=dict(model_name='resnet18', num_classes=3, channels=(8, 8, 16, 16)), "
    hook += "branches=dict(type='LightBranches'))))"
    done = start('hsakd', 'student', rest=f'default_hooks = {hook}')
    assert done.returncode == 0, done.stderr
    assert f'Teacher: HSAKDTeacher from {path.removeprefix(str(folder) + "/")}' in done.stdout + done.stderr
    assert trained(folder, 'student')[1]['meta']['epoch'] == 1


def test_two_processes_start_and_refuse_as_one_does(folder, start) -> None:
    done = start('teacher', 'teacher', model=FROZEN, processes=2)
    assert done.returncode == 0, done.stderr
    assert_only_the_head_differs(trained(folder, 'teacher')[1], folder)
    assert (done.stdout + done.stderr).count('The teacher backbone starts from') == 1
    done = start('plain', 'plain', model="load_backbone_from='none.pth'", processes=2)
    assert_sentence(done, 'none.pth', 'there is none')


def test_a_resumed_run_does_not_start_again(folder, start) -> None:
    done = start('plain', 'plain', model="load_backbone_from='five.pth'")
    assert done.returncode == 0, done.stderr
    assert 'The backbone starts from five.pth (SHA-256 ' in done.stdout + done.stderr
    before = trained(folder, 'plain')[1]['state_dict']
    (folder / 'five.pth').unlink()
    more = ['--resume', '--cfg-options', 'train_cfg.max_epochs=2', 'optim_wrapper.optimizer.lr=0']
    done = start('plain', 'plain', *more, model="load_backbone_from='five.pth'")
    assert done.returncode == 0, done.stderr
    assert 'model.load_backbone_from (five.pth) is not loaded again' in done.stdout + done.stderr
    after = trained(folder, 'plain')[1]['state_dict']
    assert torch.equal(before['backbone.conv1.weight'], after['backbone.conv1.weight'])


@pytest.mark.parametrize(
    'base, model, options, words',
    [
        ('plain', "load_backbone_from='none.pth'", (), ('none.pth', 'there is none', 'model.load_backbone_from=FILE')),
        ('plain', "load_backbone_from='five.pth'", ('load_from=five.pth',), ('starts from one place',)),
        ('plain', "load_backbone_from='wide.pth'", (), ('without its classifier', 'of another shape: conv1.weight')),
        ('teacher', FROZEN.replace('five', 'none'), (), ('none.pth', 'there is none')),
        ('teacher', FROZEN.replace('new_head=True, ', ''), (), ('fc.weight', 'set model.new_head=True')),
    ],
)
def test_a_wrong_file_ends_in_one_sentence(folder, start, base, model, options, words) -> None:
    torch.save({**torch.load(folder / 'five.pth'), 'conv1.weight': torch.ones(64, 3, 3, 3)}, folder / 'wide.pth')
    done = start(base, 'wrong', *(['--cfg-options', *options] if options else []), model=model)
    assert_sentence(done, *words)
