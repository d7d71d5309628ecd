"""The teacher's life, seen through mmengine's Runner on real digits."""

import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmengine.dataset import default_collate

from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.hsakd import HSAKDTeacher
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.models.distillers.sskd import SSKDTeacher
from hsakd_mm.registry import DATASETS, MODELS


@pytest.fixture
def teacher_file(config, tmp_path):
    """A teacher that nobody trained, in a checkpoint of its own."""
    torch.manual_seed(0)
    cfg = config('teacher').model
    teacher = HSAKDTeacher(cfg.backbone)
    path = tmp_path / 'teacher.pth'
    torch.save(dict(state_dict=teacher.state_dict(), meta={}), path)
    return path


def distil(config, teacher_file, **overrides):
    return config(
        'hsakd',
        **{
            'default_hooks.distillation.checkpoint': str(teacher_file),
            'default_hooks.distillation.check': False,
            **overrides,
        },
    )


def test_twenty_steps_leave_the_teacher_alone(config, run, teacher_file) -> None:
    cfg = distil(config, teacher_file, epochs=10)
    cfg.custom_hooks = [dict(type='EMAHook')]
    runner = run(cfg)
    assert runner.iter == 20
    student = runner.model

    before = load_checkpoint(str(teacher_file))['state_dict']
    after = student.teacher.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key].cpu()) for key in before)
    assert not any(module.training for module in student.teacher.modules())

    theirs = {id(parameter) for parameter in student.teacher.parameters()}
    for group in runner.optim_wrapper.optimizer.param_groups:
        assert not theirs & {id(parameter) for parameter in group['params']}
    assert any(type(hook).__name__ == 'SyncBuffersHook' for hook in runner.hooks)  # beside the user's own
    averaged = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model
    own = sum(parameter.numel() for parameter in student.parameters())
    assert sum(parameter.numel() for parameter in averaged.parameters()) == own

    saved = load_checkpoint(f'{cfg.work_dir}/epoch_10.pth')
    assert saved['state_dict'].keys() == student.state_dict().keys()
    assert not [key for key in saved['ema_state_dict'] if 'teacher' in key]
    assert len(saved['optimizer']['state']) == len(list(student.parameters()))


def test_a_teacher_no_better_than_chance_stops_the_run(config, run, teacher_file) -> None:
    cfg = distil(config, teacher_file, **{'default_hooks.distillation.check': True})
    with pytest.raises(UserError, match=r'no better than chance \(.*% by always naming.*distillation.check=False'):
        run(cfg)


def with_good_backbone(config, tmp_path, branches: bool = False):
    """A config whose teacher has learnt forty digits by heart, and is measured on these."""
    images = list(range(0, 1000, 25))  # the folders are in order of class
    cfg = distil(config, tmp_path / 'teacher', **{'default_hooks.distillation.check': True})
    cfg.val_dataloader.dataset.update(split='train', indices=images)
    torch.manual_seed(0)
    teacher = MODELS.build(cfg.default_hooks.distillation.teacher)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    batch = teacher.data_preprocessor(default_collate([dataset[i] for i in range(len(images))]))
    optimizer = torch.optim.Adam(teacher.parameters(), lr=0.01)
    for _ in range(60):
        if branches:
            losses = teacher.loss(batch['inputs'], batch['labels'])
            loss = sum(losses.values())
        else:
            loss = F.cross_entropy(teacher.backbone(batch['inputs']), batch['labels'])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    (tmp_path / 'teacher').mkdir()
    torch.save(dict(state_dict=teacher.state_dict()), tmp_path / 'teacher' / 'epoch_1.pth')
    (tmp_path / 'teacher' / 'last_checkpoint').write_text(str(tmp_path / 'teacher/epoch_1.pth'))
    return cfg


def test_a_good_teacher_is_measured_and_taken_from_its_folder(config, run, tmp_path) -> None:
    runner = run(with_good_backbone(config, tmp_path, branches=True))
    assert runner.message_hub.get_info('teacher_top1') > 0.5
    assert runner.iter == 2


def test_ramp_up(config, run, teacher_file) -> None:
    cfg = distil(config, teacher_file, epochs=2, **{'default_hooks.distillation.ramp_up_epochs': 4.0})
    assert run(cfg).model.distill_weight == pytest.approx(3 / 8)  # the fourth of two-step epochs


def wrong_network(folder):
    wide = dict(type='TimmBackbone', model_name='resnet18', num_classes=10)
    return dict(state_dict=HSAKDTeacher(wide).state_dict())


def no_branches(folder):
    narrow = dict(type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(8, 8, 16, 16))
    return dict(state_dict=Classifier(narrow).state_dict())


def other_classes(folder):
    narrow = dict(type='TimmBackbone', model_name='resnet18', num_classes=7, channels=(8, 8, 16, 16))
    return dict(state_dict=HSAKDTeacher(narrow).state_dict())


def no_rotations(folder):
    narrow = dict(type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(8, 8, 16, 16))
    return dict(state_dict=HSAKDTeacher(narrow, pretext=dict(type='Identity')).state_dict())


@pytest.mark.parametrize(
    'content, said',
    [
        (other_classes, 'only the number of classes differs, 10 here and 7 in the file, so set num_classes=7 of its'),
        (no_rotations, '8 of another shape: .*: use a checkpoint of the same architecture'),
        (wrong_network, 'the teacher has .* tensors .* missing: .* of another shape: '),
        (no_branches, 'missing: branches.0.stages'),
        (lambda folder: {'epoch': 3}, 'holds no state dict'),
    ],
)
def test_refuses_another_checkpoint(config, run, tmp_path, content, said) -> None:
    path = tmp_path / 'other.pth'
    torch.save(content(tmp_path), path)
    with pytest.raises(UserError, match=said):
        run(distil(config, path))


def test_refuses_what_is_no_checkpoint(config, run, tmp_path) -> None:
    path = tmp_path / 'notes.pth'
    path.write_text('not a checkpoint')
    with pytest.raises(UserError, match='cannot be read as one'):
        run(distil(config, path))
    with pytest.raises(UserError, match='train it first'):
        run(distil(config, tmp_path / 'nowhere'))


def test_refuses_a_model_that_takes_no_teacher(config, run, teacher_file) -> None:
    hook = copy.deepcopy(distil(config, teacher_file).default_hooks.distillation)
    plain = config('plain')
    plain.default_hooks.distillation = hook
    with pytest.raises(UserError, match='Classifier does not'):
        run(plain)


def plain_teacher(config, checkpoint):
    """The demo's student under KD of a plain ResNet-18."""
    cfg = distil(config, checkpoint)
    cfg.model.type = 'KD'
    cfg.default_hooks.distillation.teacher = dict(
        type='Classifier',
        backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=10),
        data_preprocessor=dict(type='ImagePreprocessor', mean=[127.5] * 3, std=[127.5] * 3),
    )
    return cfg


def test_a_backbone_from_elsewhere_teaches_in_its_own_normalisation(config, run, tmp_path) -> None:
    torch.manual_seed(0)
    path = tmp_path / 'resnet18.pth'
    weights = torchvision.models.resnet18(num_classes=10).state_dict()
    torch.save(weights, path)
    runner = run(plain_teacher(config, path))
    student = runner.model
    assert torch.equal(student.teacher.backbone.layer4[1].conv2.weight.cpu(), weights['layer4.1.conv2.weight'])
    batch = next(iter(runner.train_dataloader))
    ours, theirs = (net.data_preprocessor(batch)['inputs'] for net in (student, student.teacher))
    torch.testing.assert_close(student.normalize_for_teacher(ours), theirs)
    assert not torch.allclose(ours, theirs)


def test_whatever_a_teacher_has_beside_its_backbone_arrives(config, run, tmp_path) -> None:
    cfg = distil(config, tmp_path / 'teacher.pth')
    cfg.model.type = 'SSKD'
    cfg.default_hooks.distillation.teacher.update(type='SSKDTeacher')
    teacher = SSKDTeacher(cfg.default_hooks.distillation.teacher.backbone)
    torch.nn.init.constant_(teacher.ssp_head[0].bias, 3)
    torch.save(dict(state_dict=teacher.state_dict()), tmp_path / 'teacher.pth')
    student = run(cfg).model
    assert student.teacher.ssp_head[0].bias.tolist() == teacher.ssp_head[0].bias.tolist()


def test_refuses_a_backbone_that_does_not_fit(config, run, tmp_path) -> None:
    path = tmp_path / 'resnet34.pth'
    torch.save(torchvision.models.resnet34(num_classes=10).state_dict(), path)
    with pytest.raises(UserError, match='left over: layer1.2.conv1.weight'):
        run(plain_teacher(config, path))
    with pytest.raises(UserError, match="timm has no weights named 'resnet81': did you mean"):
        run(plain_teacher(config, 'timm://resnet81'))


def test_refuses_another_normalisation(config, run, teacher_file) -> None:
    content = torch.load(teacher_file)
    content['meta']['cfg'] = 'model = dict(data_preprocessor=dict(mean=[0., 0., 0.], std=[1.]))'
    torch.save(content, teacher_file)
    with pytest.raises(UserError, match=r'trained on images with mean \[0.0, 0.0, 0.0\], and'):
        run(distil(config, teacher_file))


def test_refuses_branches_that_nobody_trained(config, run, tmp_path) -> None:
    """As of a frozen-backbone teacher stopped at once: its top-1 is that of the backbone."""
    with pytest.raises(UserError, match='joint accuracy of branch 1 of .* no better than chance'):
        run(with_good_backbone(config, tmp_path))


def test_number_of_classes(config, run) -> None:
    with pytest.raises(UserError, match='the model has 7 classes, and the training data .* has 10'):
        run(config('plain', **{'model.backbone.num_classes': 7}))
