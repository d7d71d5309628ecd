"""Levers that make the step faster and leave its mathematics alone; tests/cuda has the same on a GPU."""

import pytest
import torch
from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.models.folding import fold_batchnorms, fold_teacher
from tests.engine.levers import assert_same_step, networks, step


@pytest.fixture(scope='module')
def nets():
    torch.set_num_threads(1)
    return networks()


@pytest.fixture(scope='module')
def plain(nets):
    return step(*nets, set())


@pytest.mark.parametrize(
    'levers',
    [{'fold_bn'}, {'channels_last'}, {'fold_bn', 'channels_last', 'compile'}],
    ids=lambda each: '+'.join(sorted(each)),
)
def test_a_step_is_the_same(levers, nets, plain) -> None:
    assert_same_step(plain, step(*nets, levers, backend='aot_eager'))


def test_no_batchnorm_is_left_in_a_resnet(nets) -> None:
    _, teacher = networks()
    norms = [each for each in teacher.modules() if isinstance(each, nn.BatchNorm2d)]
    assert fold_teacher(teacher.eval()) == len(norms)
    assert not [each for each in teacher.modules() if isinstance(each, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    'backbone, left',
    [
        (dict(type='TimmBackbone', model_name='efficientnet_b0'), 0),  # BatchNorm and activation in one module
        (dict(type='WideResNet', depth=10, widen_factor=1), None),  # BatchNorm before the convolution
    ],
    ids=['efficientnet', 'wide_resnet'],
)
def test_other_networks_fold_what_follows_a_convolution(backbone, left) -> None:
    torch.manual_seed(0)
    teacher = Classifier(dict(backbone, num_classes=3)).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before, folded, after = teacher.logits(images), fold_teacher(teacher), teacher.logits(images)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    rest = [each for each in teacher.modules() if isinstance(each, nn.BatchNorm2d)]
    assert folded > 0 and (len(rest) == left if left is not None else rest)


class ReadTwice(nn.Module):
    """The output of the convolution is also read before it is normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        nn.init.constant_(self.norm.running_mean, 1.0)

    def forward(self, images):
        features = self.conv(images)
        return features.exp() + self.norm(features)


def test_a_network_that_folding_would_change_is_refused() -> None:
    net, images = ReadTwice().eval(), torch.randn(2, 3, 8, 8)
    with pytest.raises(UserError, match='should not change what the teacher computes'):
        fold_batchnorms(net, lambda: net(images))
    with pytest.raises(UserError, match='in training mode'):
        fold_batchnorms(net.train(), lambda: net(images))


def test_hooks_are_reached_from_a_config(config, run, tmp_path) -> None:
    from hsakd_mm.models.distillers.hsakd import HSAKDTeacher

    cfg = config('teacher').model
    torch.save(dict(state_dict=HSAKDTeacher(cfg.backbone).state_dict(), meta={}), tmp_path / 'teacher.pth')
    changes = {
        'default_hooks.distillation.checkpoint': str(tmp_path / 'teacher.pth'),
        'default_hooks.distillation.check': False,
        'default_hooks.distillation.fold_bn': True,
        'custom_hooks': [dict(type='CompileHook', fullgraph=True, backend='eager')],
    }
    runner = run(config('hsakd', **changes))
    assert runner.iter == 2
    assert not [each for each in runner.model.teacher.modules() if isinstance(each, nn.BatchNorm2d)]
    assert '_orig_mod' not in ''.join(runner.model.state_dict())
