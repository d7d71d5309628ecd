"""Every method's whole life on real pictures: trained, interrupted, resumed, tested, exported and
loaded into MMDetection's own ResNet.

The methods are found, not listed: one config of each model type in each method's folder. What that
config says of the method stays; its networks become narrow ResNet-18s, its data the digits.
"""

import copy
import re

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook

from hsakd_mm.checkpoints.export import export_all
from hsakd_mm.checkpoints.work_dir import last_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.registry import MODELS
from tests.configs.catalog import CONFIGS, load
from tests.conftest import REPO
from tests.faults.exact import SignalAt, assert_same, content, start, stop_and_resume

BACKBONE = dict(type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(8, 16, 32, 64))
DIGITS = Config.fromfile(REPO / 'configs/_base_/datasets/digits_bs32.py')
SOME = list(range(0, 256, 8))  # of several classes
# By folder and model type, so that sskd/ gives its teacher as well as its student.
# A method that learns with labels or without is tried with them (what is then left out is less), and in the paper's
# recipe: those for one's own images start from trained weights.
VARIANTS = ('/unlabelled_', '/own_')
METHODS = {
    f'{name.partition("/")[0]}/{load(name).model.type}': name
    for name in sorted(CONFIGS, key=lambda name: not any(variant in name for variant in VARIANTS))
}


@pytest.fixture
def config(demo_data, tmp_path):
    """The config of a method, by name, for two epochs of two steps on 32 digits."""

    def small(name: str) -> Config:
        torch.manual_seed(0)  # of the weights of teachers, whatever ran before
        cfg, plain = load(name), str(tmp_path / 'plain.pth')
        indexed = dict(type='PackInputs', with_index=True)  # CRD needs the images' indices, all take them
        for part, same_as in (('train', 'train'), ('val', 'val'), ('test', 'val')):
            loader = dict(DIGITS[f'{same_as}_dataloader'], num_workers=0, persistent_workers=False, batch_size=16)
            loader['dataset'] = dict(
                loader['dataset'],
                data_root=str(demo_data / 'digits'),
                indices=SOME,
                verify=False,
                pipeline=[dict(type='LoadImage'), indexed],
            )
            cfg[f'{part}_dataloader'] = loader
        for part in ('val', 'test'):
            cfg[f'{part}_evaluator'] = dict(type='Accuracy', topk=(1,))
        cfg.train_cfg.max_epochs = 2
        cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)

        networks(cfg.model)
        if 'teacher_features' in cfg.model:
            cfg.model.teacher_features = BACKBONE['channels'][-1]
        for option in {'checkpoint', 'load_backbone_from'} & {name for name, value in cfg.model.items() if value}:
            cfg.model[option] = plain
            torch.save(dict(state_dict=Classifier(dict(BACKBONE)).state_dict()), plain)
        if hook := cfg.default_hooks.get('distillation'):
            networks(hook.teacher)
            hook.update(checkpoint=str(tmp_path / 'teacher.pth'), check=False)
            torch.save(dict(state_dict=built(hook.teacher).state_dict()), hook.checkpoint)
        return cfg

    return small


def networks(model: dict) -> None:
    """Make its networks, one or several, narrow and of the digits' classes."""
    model.data_preprocessor = DIGITS.data_preprocessor
    for owner in model.get('nets') or [model]:
        owner.backbone = dict(BACKBONE)


def built(model: dict) -> torch.nn.Module:
    return MODELS.build(dict(model))


@pytest.mark.parametrize('method', METHODS)
def test_a_model_can_be_asked_what_it_has(method, config) -> None:
    model = built(config(METHODS[method]).model)
    assert not hasattr(model, 'teacher')  # nobody has attached one
    assert all(isinstance(hasattr(model, name), bool) for name in dir(model))


@pytest.mark.parametrize('method', METHODS)
def test_a_last_batch_of_one_image_is_trained_or_refused(method, config, tmp_path) -> None:
    torch.set_num_threads(1)
    cfg = config(METHODS[method])
    cfg.train_dataloader.update(batch_size=17, drop_last=False)
    cfg.train_dataloader.dataset.indices = [*range(0, 136, 4), 270]
    cfg.train_cfg.max_epochs = 1
    runner, refusal = start(cfg, tmp_path / 'run'), ''
    try:
        runner.train()
    except UserError as error:
        refusal = str(error)
    saved = list((tmp_path / 'run').rglob('*.pth'))
    if refusal:
        assert 'a batch of at least two images' in refusal and not saved
    else:
        assert runner.iter == 3 and saved


class AsksWithProbabilities(Hook):
    """The losses of the first step, by classes and by probabilities that say the same."""

    priority = 'LOWEST'
    refusal = ''

    class Done(Exception):
        pass

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        data = runner.model.data_preprocessor(data_batch, True)
        before = copy.deepcopy(runner.model.state_dict())
        self.hard = self._losses(runner.model, data)
        runner.model.load_state_dict(before)  # BatchNorm's statistics have moved
        try:
            self.soft = self._losses(runner.model, {**data, 'labels': F.one_hot(data['labels'], 10).float()})
        except UserError as error:
            self.refusal = str(error)
        raise self.Done

    @staticmethod
    def _losses(model, data: dict) -> dict:
        torch.manual_seed(0)
        return {name: value.detach() for name, value in model(**data, mode='loss').items()}


@pytest.mark.parametrize('method', METHODS)
def test_labels_as_probabilities_are_learnt_or_refused(method, config, tmp_path) -> None:
    torch.set_num_threads(1)
    runner = start(config(METHODS[method]), tmp_path / 'run')
    asked = AsksWithProbabilities()
    runner.register_hook(asked)
    with pytest.raises(AsksWithProbabilities.Done):
        runner.train()
    if type(runner.model).takes_soft_labels:
        torch.testing.assert_close(asked.soft, asked.hard)
    else:
        assert 'the images are mixed: leave model.data_preprocessor.batch_mix out' in asked.refusal


@pytest.mark.parametrize('method', METHODS)
def test_classes_can_be_renumbered(method, config) -> None:
    torch.manual_seed(0)
    model, order = built(config(METHODS[method]).model).eval(), [3, 0, 9, 1, 2, 8, 7, 4, 6, 5]
    images = torch.randn(4, 3, 32, 32)
    before = model.logits(images)
    model.reorder_classes(order)
    torch.testing.assert_close(model.logits(images), before[..., order])
    if hasattr(model, 'branched_nets'):
        model.reorder_classes([order.index(label) for label in range(10)])
        rows = [4 * old + view for old in order for view in range(4)]
        was = [net.forward_branches(images)[1] for net in model.branched_nets]
        model.reorder_classes(order)
        now = [net.forward_branches(images)[1] for net in model.branched_nets]
        torch.testing.assert_close(now, [[branch[:, rows] for branch in branches] for branches in was])


@pytest.mark.parametrize('method', METHODS)
def test_a_backbone_starts_from_weights_of_other_classes(method, config, tmp_path) -> None:
    torch.manual_seed(0)
    given = Classifier(dict(BACKBONE, num_classes=7)).backbone.state_dict()
    torch.save(given, tmp_path / 'seven.pth')
    cfg = config(METHODS[method]).model
    cfg.load_backbone_from = str(tmp_path / 'seven.pth')
    if cfg.get('checkpoint'):
        with pytest.raises(UserError, match=r'model\.checkpoint'):  # where a frozen backbone comes from
            built(cfg)
        return
    model = built(cfg)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.init_weights()
    for name, value in model.state_dict().items():
        inside = re.sub(r'^(net\d+\.)?backbone\.', '', name)
        expected = before[name] if inside.startswith('fc.') else before[name] if inside == name else given[inside]
        assert torch.equal(value, expected), name


@pytest.mark.parametrize('method', METHODS)
def test_from_the_first_step_into_a_detector(method, config, tmp_path, seen) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cfg = config(METHODS[method])
    whole = start(cfg, tmp_path / 'whole')
    whole.train()
    top1 = whole.message_hub.get_scalar('val/accuracy/top1').current()

    stop_and_resume(cfg, tmp_path / 'stopped', SignalAt(step=3))
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'stopped'))
    checkpoint, other = (last_checkpoint(str(tmp_path / name)) for name in ('whole', 'stopped'))
    seen('Stopped at a step and resumed', 'SIGTERM in epoch 2', 'the same bits', method=method)

    tested = start(cfg, tmp_path / 'tested', load_from=other)
    assert tested.test()['accuracy/top1'] == top1

    exports = export_all(checkpoint)
    assert len(exports) == len(whole.model.backbones)
    for export, backbone in zip(exports, whole.model.backbones):
        # The detector's layout, for after two epochs at this rate another's rounding is enlarged.
        assert_the_same_features(export, backbone.eval().to(memory_format=torch.contiguous_format))


@torch.no_grad()
def assert_the_same_features(export, backbone) -> None:
    backbones = pytest.importorskip('mmdet.models.backbones', reason='mmdet is not installed')
    detector = backbones.ResNet(
        18, stem_channels=64, base_channels=8, init_cfg=dict(type='hsakd_mm.StrictPretrained', checkpoint=export.pth)
    )
    detector.init_weights()
    detector.eval()
    images = torch.rand(2, 3, 64, 96)
    for ours, theirs in zip(backbone.forward_taps(images), detector(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
