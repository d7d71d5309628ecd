"""Cheaper variants of HSAKD and HSSAKD: what they compute, what it costs, and that a resumed run is the run."""

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub

from hsakd_mm.engine.hooks import CompileHook, ProgressiveResizeHook
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.training_cost import step_macs, training_macs
from hsakd_mm.models.distillers.hsakd import HSAKD
from hsakd_mm.models.distillers.kd import KD
from hsakd_mm.models.distillers.teacher_targets import TeacherTargets
from hsakd_mm.models.pretext import Rotation
from hsakd_mm.registry import MODELS
from tests.faults.exact import SignalAt, assert_same, content, start, stop_and_resume
from tests.faults.test_exact_resume import augmented  # noqa: F401  a fixture
from tests.test_every_method import METHODS, config  # noqa: F401  a fixture

SMALL = dict(type='CifarResNet', depth=8, num_classes=5, width=(4, 4, 8, 8))
TEACHER = dict(type='HSAKDTeacher', backbone=dict(SMALL, depth=14))
SIZES = [(0, 16), (0.5, 24), (0.75, 32)]
VARIANTS = {
    'sampled': {'model.pretext.sampled': 1},
    'branch_interval': {'model.branch_interval': 2},
    'resize': {'custom_hooks': [dict(type='ProgressiveResizeHook', sizes=SIZES)]},
    'cached_crops': {'default_hooks.distillation.cached_crops': 1},
    'all': {
        'model.pretext': dict(type='Rotation', sampled=2),
        'custom_hooks': [dict(type='ProgressiveResizeHook', sizes=SIZES)],
        'default_hooks.distillation.cached_crops': 1,
    },
}


def built(model: dict, teacher: dict | None = None) -> torch.nn.Module:
    torch.manual_seed(0)
    made = MODELS.build(dict(model))
    if teacher:
        made.attach_teacher(MODELS.build(dict(teacher)).eval().requires_grad_(False))
    return made


def of_turns(*turns: int) -> Rotation:
    pretext = Rotation()
    pretext.turns = turns
    return pretext


@pytest.fixture
def batch() -> tuple:
    torch.manual_seed(1)
    return torch.randn(4, 3, 16, 16), torch.tensor([0, 3, 4, 1])


@pytest.fixture
def step():
    """Sets the number of the running step."""
    hub = MessageHub.get_current_instance()
    yield lambda number: hub.update_info('iter', number)
    hub.update_info('iter', 0)


@pytest.mark.parametrize('name', VARIANTS)
def test_stopped_and_resumed(name, augmented, tmp_path) -> None:  # noqa: F811
    cfg = augmented(METHODS['hsakd/HSAKD'])
    cfg.train_cfg.max_epochs = 2
    cfg.train_dataloader.dataset.indices = list(range(0, 64, 4))
    cfg.merge_from_dict(VARIANTS[name])
    start(cfg, tmp_path / 'whole').train()
    stop_and_resume(cfg, tmp_path / 'stopped', SignalAt(step=3))
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'stopped'))


@pytest.mark.parametrize('sampled', [1, 2])
def test_a_step_sees_the_unrotated_images_and_some_rotations(sampled, batch) -> None:
    pretext, drawn = Rotation(sampled), set()
    for _ in range(40):
        views = pretext.draw()
        drawn.add(views.turns)
        rows, labels = views.expand(batch[0]), views.joint_labels(batch[1])
        assert torch.equal(views.unrotated(rows), batch[0])
        for place, turns in enumerate(views.turns):
            assert torch.equal(rows[place :: 1 + sampled], torch.rot90(batch[0], turns, (2, 3)))
            assert torch.equal(labels[place :: 1 + sampled], 4 * batch[1] + turns)
    assert len(drawn) == 3 and all(turns[0] == 0 for turns in drawn)
    with pytest.raises(UserError, match='1 or 2 of the three rotations'):
        Rotation(sampled=3)


@pytest.mark.parametrize('model', ['HSAKD', 'HSSAKDOnline'])
def test_the_loss_of_some_views_is_that_of_their_rows(model, batch) -> None:
    """All losses of a step are means over rows: the same as of the whole step with the other rows left out."""
    cfg = dict(type=model, pretext=dict(type='Rotation', sampled=1))
    cfg.update(nets=[dict(backbone=SMALL)] * 2) if model == 'HSSAKDOnline' else cfg.update(backbone=SMALL)
    net = built(cfg, TEACHER if model == 'HSAKD' else None).eval()
    torch.manual_seed(3)
    losses = net.loss(*batch)
    torch.manual_seed(3)
    turns = net.pretext.draw().turns
    net.pretext = of_turns(*turns)
    again = net.loss(*batch)
    assert losses.keys() == again.keys()
    for name in losses:
        torch.testing.assert_close(losses[name], again[name])


@pytest.mark.parametrize('model', ['HSAKD', 'HSSAKDOnline'])
def test_branches_in_every_second_step(model, batch, step) -> None:
    cfg = dict(type=model, branch_interval=2)
    cfg.update(nets=[dict(backbone=SMALL)] * 2) if model == 'HSSAKDOnline' else cfg.update(backbone=SMALL)
    net = built(cfg, TEACHER if model == 'HSAKD' else None).eval()
    seen = []
    for number in range(4):
        step(number)
        seen.append(any('branch' in name for name in net.loss(*batch)))
    assert seen == [True, False, True, False]
    with pytest.raises(UserError, match='at least 1, and it is 0'):
        built(dict(cfg, branch_interval=0))


def test_a_step_without_branches_is_kd(batch, step) -> None:
    student = built(dict(type='HSAKD', backbone=SMALL, branch_interval=2), TEACHER).eval()
    kd = KD(SMALL, temperature=3.0, ce_weight=1.0, kd_weight=1.0).eval()
    kd.backbone.load_state_dict(student.backbone.state_dict())
    kd.attach_teacher(student.teacher)
    step(1)
    ours, theirs = student.loss(*batch), kd.loss(*batch)
    torch.testing.assert_close(ours['loss_ce'], theirs['loss_ce'])
    torch.testing.assert_close(ours['loss_kl_logits'], theirs['loss_kd'])


def test_the_teacher_is_asked_once_for_each_crop(augmented, tmp_path, monkeypatch) -> None:  # noqa: F811
    cfg = augmented(METHODS['hsakd/HSAKD'])
    cfg.train_cfg.max_epochs = 6
    cfg.train_dataloader.dataset.indices = list(range(0, 64, 4))  # two steps
    cfg.merge_from_dict({'default_hooks.distillation.cached_crops': 2, 'model.pretext.sampled': 1})
    asked, images = [], []
    ask, loss = HSAKD._ask, HSAKD.loss
    monkeypatch.setattr(HSAKD, '_ask', lambda self, rows, pretext: asked.append(len(rows)) or ask(self, rows, pretext))
    monkeypatch.setattr(HSAKD, 'loss', lambda self, *batch: images.append(batch) or loss(self, *batch))
    start(cfg, tmp_path / 'run').train()
    assert asked == [8 * 4] * 4  # all views of two crops of 16 images, 8 a step
    epochs = [
        torch.cat([inputs for inputs, _ in images[2 * epoch : 2 * epoch + 2]]).flatten(1).sum(1).sort().values
        for epoch in range(6)
    ]
    torch.testing.assert_close(epochs[0], epochs[4], rtol=0, atol=0)
    torch.testing.assert_close(epochs[1], epochs[5], rtol=0, atol=0)
    assert not torch.equal(epochs[0], epochs[1])


def test_remembered_targets_are_the_teachers(batch) -> None:
    student = built(dict(type='HSAKD', backbone=SMALL), TEACHER).eval()
    student.pretext = of_turns(0, 3)
    fresh = student.loss(*batch)
    student.targets = TeacherTargets(images=9, crops=2)
    for _ in range(2):
        student.targets.select([8, 2, 0, 5], crop=1)
        losses = student.loss(*batch)
        for name in fresh:
            torch.testing.assert_close(losses[name], fresh[name])
    student.targets.select([5, 8], crop=1)
    two = student.loss(batch[0][[3, 0]], batch[1][[3, 0]])
    student.targets = None
    torch.testing.assert_close(two, student.loss(batch[0][[3, 0]], batch[1][[3, 0]]))


MIXED = {'model.data_preprocessor.batch_mix': dict(type='MixUp', num_classes=10)}


@pytest.mark.parametrize('options', [{'model.branch_interval': 2}, {'model.type': 'SSKD'}, MIXED])
def test_what_cannot_be_remembered_is_refused(options, augmented, tmp_path) -> None:  # noqa: F811
    cfg = augmented(METHODS['sskd/SSKD' if 'model.type' in options else 'hsakd/HSAKD'])
    cfg.merge_from_dict({**options, 'default_hooks.distillation.cached_crops': 2})
    said = 'and batch_mix mixes' if options is MIXED else 'needs KD, DKD, or HSAKD with branches in every step'
    with pytest.raises(UserError, match=f'cached_crops .*{said}'):
        start(cfg, tmp_path / 'run').train()


@pytest.mark.parametrize('variant', ['sampled', 'branch_interval', 'cached_crops'])
def test_compiled_steps_are_the_same(variant, batch, step) -> None:
    """The graph breaks where steps differ; the losses of two are those without compilation."""
    options = dict(sampled=dict(pretext=dict(sampled=1)), branch_interval=dict(branch_interval=2)).get(variant, {})
    plain, compiled = (built(dict(type='HSAKD', backbone=SMALL, **options), TEACHER).eval() for _ in range(2))
    for net in (plain, compiled) if variant == 'cached_crops' else ():
        net.targets = TeacherTargets(images=4, crops=1)
        net.targets.select([0, 1, 2, 3], crop=0)
    CompileHook(backend='aot_eager').compile(compiled)
    for number in range(2):
        step(number)
        losses = []
        for net in (plain, compiled):
            torch.manual_seed(number)
            losses.append(net.loss(*batch))
        torch.testing.assert_close(losses[0], losses[1])


def test_a_compiled_model_is_counted_and_left_alone() -> None:
    plain, compiled = (built(dict(type='HSAKD', backbone=SMALL), TEACHER).train() for _ in range(2))
    CompileHook(backend='aot_eager').compile(compiled)
    assert step_macs(compiled, 16) == step_macs(plain, 16) > 0
    assert int(compiled.backbone.state_dict()['bn1.num_batches_tracked']) == 0


def test_what_does_not_compile_is_refused(augmented, tmp_path) -> None:  # noqa: F811
    narrow = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(4, 4, 8, 8), with_cp=True)
    recomputed = MODELS.build(dict(type='HSAKD', backbone=narrow))
    with pytest.raises(UserError, match='with_cp of one is True'):
        CompileHook().compile(recomputed)
    cfg = augmented(METHODS['hsakd/HSAKD'])
    cfg.merge_from_dict({'default_hooks.distillation.ramp_up_epochs': 2, 'custom_hooks': [dict(type='CompileHook')]})
    with pytest.raises(UserError, match='ramp_up_epochs of DistillationHook changes it while training'):
        start(cfg, tmp_path / 'run').train()


def test_a_last_batch_of_one_image_with_cached_crops(augmented, tmp_path) -> None:  # noqa: F811
    cfg = augmented(METHODS['hsakd/HSAKD'])
    cfg.train_cfg.max_epochs = 1
    cfg.train_dataloader.dataset.indices = list(range(cfg.train_dataloader.batch_size + 1))
    cfg.train_dataloader.drop_last = False
    cfg.merge_from_dict(VARIANTS['cached_crops'])
    runner = start(cfg, tmp_path / 'run')
    runner.train()
    assert runner.iter == 2


def test_sizes_follow_the_steps() -> None:
    hook = ProgressiveResizeHook(SIZES)
    assert [hook.size_at(step, 8) for step in range(8)] == [16] * 4 + [24] * 2 + [32] * 2
    for wrong in ([], [16, 32], 16, [(0.2, 16)], [(0, 16), (0, 24)], [(0, 16), (1, 32)]):
        with pytest.raises(UserError, match='rise from 0 and stay below 1'):
            ProgressiveResizeHook(wrong)


def test_images_are_scaled_in_training_only() -> None:
    preprocessor = MODELS.build(dict(type='ImagePreprocessor', mean=[0, 0, 0], std=[255, 255, 255]))
    images = torch.full((2, 3, 32, 32), 51, dtype=torch.uint8)
    preprocessor.train_size = 20
    small = preprocessor(dict(inputs=images), training=True)['inputs']
    assert small.shape == (2, 3, 20, 20) and torch.allclose(small, torch.tensor(0.2))
    assert preprocessor(dict(inputs=images))['inputs'].shape == (2, 3, 32, 32)


def cost(options: dict | None = None, kind: str = 'HSAKD', epochs: int = 10) -> float:
    cfg = Config(
        dict(
            model=dict(type=kind, backbone=SMALL),
            train_cfg=dict(max_epochs=epochs),
            default_hooks=dict(distillation=dict(teacher=TEACHER)) if kind in ('HSAKD', 'KD') else {},
        )
    )
    cfg.merge_from_dict(options or {})
    return training_macs(cfg, 32)


def test_what_the_variants_cost() -> None:
    whole, plain, kd = cost(), cost(kind='Classifier'), cost(kind='KD')
    asked_kd = kd - plain
    assert cost({'model.pretext': dict(type='Rotation', sampled=1)}) == pytest.approx(whole / 2, rel=1e-3)
    assert cost({'model.branch_interval': 4}) == pytest.approx((whole + 3 * kd) / 4)
    remembered = {'default_hooks.distillation.cached_crops': 2}
    assert cost(remembered, 'KD') == pytest.approx(plain + asked_kd / 5)
    assert plain < cost(remembered) < whole
    resized = cost({'custom_hooks': [dict(type='ProgressiveResizeHook', sizes=[(0, 16), (0.5, 32)])]})
    assert resized == pytest.approx(whole * (1 / 4 + 1) / 2, rel=1e-2)


@pytest.mark.parametrize('method', METHODS)
def test_every_method_has_a_cost(method, config) -> None:  # noqa: F811
    cfg = config(METHODS[method])
    plain = Config(dict(model=dict(type='Classifier', backbone=dict(cfg.model.get('nets', [cfg.model])[0].backbone))))
    macs = training_macs(cfg, 32)
    if METHODS[method].startswith(('linear', 'baselines/imagenet')):
        assert macs > 0
    elif not getattr(cfg.model, 'frozen_backbone', method == 'sskd/SSKDTeacher'):
        assert macs >= training_macs(plain, 32)
