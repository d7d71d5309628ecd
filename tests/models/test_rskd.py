import copy
import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper

from hsakd_mm.checkpoints.export import export_backbone, networks_in
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.models.distillers.rskd import RSKD, ResidualAdapter, relative_gap
from hsakd_mm.models.losses import kl_loss
from tests.engine.conftest import config, run  # noqa: F401

SMALL = dict(type='TimmBackbone', model_name='resnet18', num_classes=5, channels=(8, 8, 16, 16))
OTHER = dict(type='CifarResNet', depth=8, num_classes=5)


@pytest.fixture
def batch() -> tuple:
    torch.manual_seed(0)
    return torch.randn(3, 3, 32, 32), torch.tensor([0, 3, 4])


def make(backbone: dict = SMALL, **kwargs) -> RSKD:
    torch.manual_seed(1)
    return RSKD(backbone, **kwargs)


def differing(backbone: dict = SMALL, **kwargs) -> RSKD:
    """In eval mode, its pseudo-teacher another network, its residual head not zero."""
    model = make(backbone, **kwargs)
    model.pseudo_teacher.copy_from(Classifier(backbone).backbone)
    if model.residual_head is not None:
        torch.nn.init.normal_(model.residual_head.weight, std=0.1)
    for adapter in model.adapters or ():
        torch.nn.init.normal_(adapter[1].weight)
    return model.eval()


@pytest.mark.parametrize('backbone', [SMALL, OTHER], ids=['timm', 'CIFAR family'])
def test_the_terms(batch, backbone) -> None:
    images, labels = batch
    model = differing(backbone, residual_weight=0.7, feature_weight=0.3)
    model.ramp = 0.5
    losses = model.loss(images, labels)

    own, theirs = model.backbone, model.pseudo_teacher.network
    taps, teacher_taps = own.forward_taps(images), theirs.forward_taps(images)
    logits = own(images)
    residual = F.linear(own.pooled(taps[-1]), model.residual_head.weight, model.residual_head.bias)
    target, learner = F.softmax(theirs(images) / 3, 1), F.softmax((logits + residual) / 3, 1)
    divergence = (target * (target / learner).log()).sum(1).mean()
    squares = 0.0
    for depth, adapter in enumerate(model.adapters):
        mine, other = taps[depth + 1], teacher_taps[depth + 1]
        gap = (other - mine) / ((other**2).mean() + (mine**2).mean()) ** 0.5
        assert gap.square().mean() <= 2
        stride = taps[depth].shape[-1] // gap.shape[-1]
        said = torch.nn.Sequential(*adapter)(F.avg_pool2d(taps[depth], stride))
        squares += ((said - gap) ** 2).mean()
    torch.testing.assert_close(losses['loss_ce'], F.cross_entropy(logits, labels))
    torch.testing.assert_close(losses['loss_residual'], 0.5 * 0.7 * 9 * divergence)
    torch.testing.assert_close(losses['loss_features'], 0.5 * 0.3 * squares)


def test_the_same_network_leaves_nothing_to_learn(batch) -> None:
    model = make().eval()
    model.pseudo_teacher.update(model.backbone)
    taps, logits = model.pseudo_teacher(batch[0])
    torch.testing.assert_close(logits, model.backbone(batch[0]), rtol=0, atol=0)
    for own, theirs in zip(model.backbone.forward_taps(batch[0]), taps, strict=True):
        assert torch.equal(own, theirs) and relative_gap(own, theirs).abs().max() == 0
    losses = model.loss(*batch)
    assert losses['agreement'] == 1 and losses['loss_residual'].abs() < 1e-6
    losses['loss_residual'].backward()
    assert model.residual_head.weight.grad.abs().max() < 1e-6


def test_in_training_the_same_weights_leave_nothing_to_learn(batch) -> None:
    """By its statistics, which lag behind the weights, its logits differed by more than what there was to learn."""
    model = make().train()
    before = copy.deepcopy(dict(model.pseudo_teacher.network.named_buffers()))
    losses = model(*batch, mode='loss')  # the first update copies the student's weights
    assert losses['agreement'] == 1 and losses['loss_residual'].abs() < 1e-6
    assert losses['loss_features'] < 1e-6  # the adapters start as zero, as the head does
    torch.testing.assert_close(model.pseudo_teacher(batch[0])[1], model.backbone(batch[0]))
    for name, value in model.pseudo_teacher.network.named_buffers():  # the batch is not added to its statistics
        assert torch.equal(value, before[name]), name
    _, logits = make(batch_statistics=False).train().pseudo_teacher(batch[0])
    assert torch.equal(logits, make().eval().backbone(batch[0]))


def test_the_residual_moves_the_features_and_not_the_classifier(batch) -> None:
    model = differing(OTHER)
    losses = model.loss(*batch)
    (losses['loss_residual'] + losses['loss_features']).backward()
    assert all(weight.grad is None for weight in model.backbone.fc.parameters())
    assert model.residual_head.weight.grad.abs().sum() > 0
    assert model.backbone.conv1.weight.grad.abs().sum() > 0

    model.zero_grad()
    vector = model.backbone.pooled(model.backbone.forward_taps(batch[0])[-1]).detach()
    target = model.pseudo_teacher(batch[0])[1]
    # What reaches the last layer's features comes through r alone: with r = 0 nothing does.
    torch.nn.init.zeros_(model.residual_head.weight)
    model.loss(*batch)['loss_residual'].backward()
    assert model.backbone.conv1.weight.grad.abs().max() == 0
    given = kl_loss(model.backbone.classify(vector), target, 3.0)
    torch.testing.assert_close(model.loss(*batch)['loss_residual'], given)


def test_every_weight_learns_and_the_pseudo_teacher_does_not(batch) -> None:
    model = make(ramp_up_epochs=9).train()
    losses = model(*batch, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    named = dict(model.named_parameters())
    assert not any(name.startswith('pseudo_teacher') for name in named)
    assert all(parameter.grad is not None for parameter in named.values())
    assert not model.pseudo_teacher.network.training
    assert not any(value.requires_grad for value in model.pseudo_teacher.buffers())


def test_ema_kd_is_the_ablation_without_heads(batch) -> None:
    model = differing(residual_head=False, intermediate=False)
    assert {name.split('.')[0] for name, _ in model.named_parameters()} == {'backbone'}
    losses = model.loss(*batch)
    theirs = model.pseudo_teacher.network(batch[0])
    torch.testing.assert_close(losses['loss_residual'], kl_loss(model.backbone(batch[0]), theirs, 3.0))
    losses['loss_residual'].backward()
    assert model.backbone.fc.weight.grad.abs().sum() > 0


def test_starts_and_predicts_as_a_plain_network(batch) -> None:
    torch.manual_seed(1)
    plain, then = Classifier(OTHER).eval(), torch.rand(2)
    model = make(OTHER).eval()
    assert torch.equal(torch.rand(2), then)
    for one, other in zip(plain.predict(*batch), model.predict(*batch), strict=True):
        assert torch.equal(one['pred_scores'], other['pred_scores'])


def test_the_average_is_that_of_each_step(batch) -> None:
    """Three steps of SGD: weights and BatchNorm statistics, against float64."""
    model = make(OTHER, momentum=0.15).train()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    naive = None
    for step in range(4):
        seen = {key: value.double() for key, value in model.backbone.state_dict().items()}
        momentum = [0, 1 / 10, 0.15, 0.15][step]
        naive = seen if naive is None else {key: momentum * naive[key] + (1 - momentum) * seen[key] for key in seen}
        model.train_step(dict(inputs=batch[0], labels=batch[1]), wrapper)
        for key, value in model.pseudo_teacher.network.state_dict().items():
            wanted = seen[key] if key.endswith('num_batches_tracked') else naive[key]
            torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-6)
    model.eval()(*batch, mode='loss')
    assert model.pseudo_teacher.updates == 4


def test_moves_with_the_model_but_is_not_trained_or_converted_with_it() -> None:
    model = make(OTHER)
    torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.train()
    norm = model.pseudo_teacher.network.bn1
    assert type(norm) is torch.nn.BatchNorm2d
    assert norm.training and not model.pseudo_teacher.network.layer1.training
    assert not model.eval().pseudo_teacher.network.bn1.training
    model.double()
    assert all(value.dtype == torch.float64 for value in model.pseudo_teacher.buffers() if value.is_floating_point())
    copied = copy.deepcopy(model).train()
    assert copied.pseudo_teacher.network.bn1.training and not norm.training
    assert copied.pseudo_teacher.network.conv1.weight is not model.pseudo_teacher.network.conv1.weight


def test_sizes_that_do_not_divide() -> None:
    adapter = ResidualAdapter(4, 6)
    assert adapter(torch.randn(2, 4, 9, 8), (5, 4)).shape == (2, 6, 5, 4)
    assert adapter(torch.randn(2, 4, 8, 8), (8, 8)).shape == (2, 6, 8, 8)


def test_in_bfloat16_losses_are_float32(batch) -> None:
    model = make().train()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(*batch, mode='loss')
    assert losses['loss_residual'].dtype == losses['loss_features'].dtype == torch.float32


def rskd(config, tmp_path, name: str, epochs: int, **overrides):  # noqa: F811
    """The demo's plain training turned into RSKD's; pictures as they are, so that it repeats."""
    cfg = config('plain', epochs=epochs, **{'model.type': 'RSKD', **overrides})
    cfg.train_dataloader.dataset.pipeline = [dict(type='LoadImage'), dict(type='PackInputs')]
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.work_dir = str(tmp_path / name)
    return cfg


@pytest.mark.parametrize('kind', ['ema', 'last_epoch'])
def test_resumes_bit_for_bit(config, run, tmp_path, kind) -> None:  # noqa: F811
    options = {'model.pseudo_teacher': kind, 'model.ramp_up_epochs': 4.0, 'model.momentum': 0.8}
    whole = run(rskd(config, tmp_path, 'whole', 3, **options))
    run(rskd(config, tmp_path, 'parts', 2, **options))
    rest = run(rskd(config, tmp_path, 'parts', 3, resume=True, **options))
    assert whole.iter == rest.iter == 6
    assert whole.model.ramp == rest.model.ramp == math.exp(-5 * (1 - 2.5 / 4) ** 2)
    wanted, found = whole.model.state_dict(), rest.model.state_dict()
    assert any(key.startswith('pseudo_teacher.') for key in wanted)
    assert wanted.keys() == found.keys()
    for key, value in wanted.items():
        assert torch.equal(value, found[key]), key
    if kind == 'last_epoch':
        saved = torch.load(tmp_path / 'parts' / 'epoch_2.pth')['state_dict']
        for key, value in rest.model.pseudo_teacher.network.state_dict().items():
            assert torch.equal(value, saved[f'backbone.{key}']), key


def test_without_weights_it_is_plain_training_and_exports_the_plain_backbone(config, run, tmp_path) -> None:  # noqa: F811
    plain = run(rskd(config, tmp_path, 'plain', 1, **{'model.type': 'Classifier'}))
    off = run(rskd(config, tmp_path, 'off', 1, **{'model.residual_weight': 0.0, 'model.feature_weight': 0.0}))
    theirs = off.model.backbone.state_dict()
    for key, value in plain.model.backbone.state_dict().items():
        assert torch.equal(value, theirs[key]), key
    path = str(tmp_path / 'off' / 'epoch_1.pth')
    saved = torch.load(path)
    assert networks_in(saved['state_dict']) == ['backbone.']
    indices = saved['optimizer']['param_groups'][0]['params']
    assert len(indices) == len(list(off.model.parameters()))
    export = export_backbone(path, with_head=True)
    written = torch.load(export.pth)
    assert written.get('state_dict', written).keys() == plain.model.backbone.state_dict().keys()


def test_what_was_loaded_before_training_is_followed(batch) -> None:
    model = make(OTHER)
    model.backbone.load_state_dict(Classifier(OTHER).backbone.state_dict())
    model.train()(*batch, mode='loss')
    assert torch.equal(model.pseudo_teacher.network.fc.weight, model.backbone.fc.weight)


@pytest.mark.parametrize(
    'options, said',
    [
        (dict(pseudo_teacher='last_batch'), "it is 'last_batch': choose one"),
        (dict(momentum=1.0), r'a momentum in \[0, 1\), and it is 1.0'),
    ],
)
def test_refuses_in_a_sentence(options, said) -> None:
    with pytest.raises(UserError, match=said):
        make(**options)
