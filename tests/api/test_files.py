"""Files of the library: read by timm, MMDetection, the commands, and itself."""

import numpy as np
import pytest
import timm
import torch

from hsakd_mm import api
from hsakd_mm.checkpoints.backbone_file import read_backbone
from hsakd_mm.checkpoints.export import export_all
from hsakd_mm.errors import UserError
from tests.api.networks import NARROW, branched_teacher, loader, narrow, pictures
from tests.engine.conftest import config, run  # noqa: F401  fixtures
from tests.trained_backbones import write_checkpoint

IMAGES, LABELS = pictures()


def trained(**arguments) -> api.Network:
    """A network with statistics that a forgotten buffer would show."""
    torch.manual_seed(0)
    student = narrow(**arguments)
    for buffer in student.backbone.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return student.eval()


def test_settings_of_numpy_and_torch_are_written_as_numbers(tmp_path) -> None:
    scalars = dict(mean=np.array([10.0, 20.0, 30.0]), std=torch.tensor([40.0, 50.0, 60.0]))
    student = trained(**scalars, drop_path_rate=np.float64(0.1), block_args=dict(attn_layer=None))
    teacher = narrow(np.int64(10))
    distillation = api.distill(student, teacher, method='KD', temperature=np.float32(3), kd_weight=torch.tensor(0.5))
    api.save(distillation, tmp_path / 'student.pth', classes=np.arange(10).astype(str))
    found = api.load(tmp_path / 'student.pth').eval()
    assert torch.equal(found(IMAGES), student.eval()(IMAGES)) and found.classes == tuple('0123456789')
    assert (found.mean, found.std) == ([10, 20, 30], [40, 50, 60])
    assert (found.model.temperature, found.model.kd_weight) == (3, 0.5)


@pytest.mark.parametrize('ending', ['pth', 'safetensors'])
def test_export_and_load(tmp_path, ending) -> None:
    student = trained(mean=[10.0, 20.0, 30.0], std=[40.0, 50.0, 60.0])
    names = [f'digit {number}' for number in range(10)]
    done = api.export(student, tmp_path / f'student.{ending}', with_head=True, classes=names)
    found = api.load(getattr(done, ending)).eval()
    assert torch.equal(found(IMAGES), student(IMAGES))
    assert (found.mean, found.std, found.classes) == (student.mean, student.std, tuple(names))


def test_an_export_without_classifier(tmp_path) -> None:
    student = trained()
    done = api.export(student, tmp_path / 'student.pth')
    with pytest.raises(UserError, match='exported without its classifier: set num_classes'):
        api.load(done.pth)
    found = api.load(done.pth, num_classes=3).eval()
    assert found(IMAGES).shape == (8, 3)
    assert torch.equal(found.backbone.forward_taps(IMAGES / 1.0)[-1], student.backbone.forward_taps(IMAGES / 1.0)[-1])
    net = timm.create_model('resnet18', num_classes=0, **NARROW)
    net.load_state_dict(torch.load(done.pth))
    vector = student.backbone.pooled(student.backbone.forward_intermediates(IMAGES / 1.0)[0])
    torch.testing.assert_close(net.eval()(IMAGES / 1.0), vector)


@torch.no_grad()
def test_a_detector_loads_an_export(tmp_path) -> None:
    backbones = pytest.importorskip('mmdet.models.backbones', reason='mmdet is not installed')
    torch.manual_seed(0)
    student = api.build_network('resnet18', 10, channels=(8, 16, 32, 64)).eval()
    done = api.export(student, tmp_path / 'student')
    start = dict(type='hsakd_mm.StrictPretrained', checkpoint=done.pth)
    detector = backbones.ResNet(18, stem_channels=64, base_channels=8, init_cfg=start)
    detector.init_weights()
    detector.eval()
    images = torch.rand(2, 3, 64, 96)
    for ours, theirs in zip(student.backbone.forward_taps(images), detector(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_an_export_is_that_of_the_command(tmp_path) -> None:
    teacher = branched_teacher()
    distillation = api.distill(trained().train(), teacher, loader())
    api.save(distillation, tmp_path / 'student.pth', classes=list('abcdefghij'))
    ours = api.export(distillation.networks[0], tmp_path / 'ours', classes=list('abcdefghij'))
    (theirs,) = export_all(str(tmp_path / 'student.pth'))
    ours, theirs = (read_backbone(export.pth) for export in (ours, theirs))
    assert ours.state_dict.keys() == theirs.state_dict.keys()
    assert all(torch.equal(value, theirs.state_dict[name]) for name, value in ours.state_dict.items())
    for file in (ours, theirs):
        for name in ('source', 'source_sha256'):
            file.metadata.pop(name)
    assert ours.metadata == theirs.metadata and ours.metadata['method'] == 'HSAKD'


def test_a_saved_teacher_teaches_here_and_in_a_run(tmp_path, config, run) -> None:  # noqa: F811
    teacher = branched_teacher()
    api.save(teacher, tmp_path / 'teacher.pth')
    found = api.load(tmp_path / 'teacher.pth')
    student = narrow()
    state = {name: value.clone() for name, value in student.state_dict().items()}
    losses = []
    for each in (teacher, found):
        student.load_state_dict(state)
        torch.manual_seed(0)
        losses.append(float(api.distill(student, each)(IMAGES, LABELS)['loss'].detach()))
    assert losses[0] == losses[1]
    overrides = {'checkpoint': str(tmp_path / 'teacher.pth'), 'check': False}
    cfg = config('hsakd', **{f'default_hooks.distillation.{name}': value for name, value in overrides.items()})
    theirs = run(cfg).model.teacher.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in teacher.model.state_dict().items())


def test_a_checkpoint_of_a_run(tmp_path) -> None:
    backbone = write_checkpoint(tmp_path / 'run' / 'epoch_3.pth')
    network = api.build_network('resnet18', 10, weights=tmp_path / 'run', **NARROW).eval()
    assert (network.mean, network.std) == ([10, 20, 30], [40, 50, 60])  # as the checkpoint says
    assert torch.equal(network.backbone(IMAGES / 1.0), backbone(IMAGES / 1.0))
    with pytest.raises(UserError, match='but for the classifier it fits: for a new .* set new_head=True'):
        narrow(3, weights=tmp_path / 'run')
    assert narrow(3, weights=tmp_path / 'run', new_head=True)(IMAGES).shape == (8, 3)
    with pytest.raises(UserError, match='was trained on images with mean'):
        narrow(weights=tmp_path / 'run', mean=[1.0] * 3, std=[2.0] * 3)
    with pytest.raises(UserError, match=r'missing: branches'):  # it has not all that its config says
        api.load(tmp_path / 'run')


def test_a_checkpoint_of_a_run_with_mixed_images(config, run) -> None:  # noqa: F811
    mix = dict(type='MixUp', alpha=0.4, num_classes=10)
    trained = run(config('plain', **{'model.data_preprocessor.batch_mix': mix}))
    assert trained.model.data_preprocessor.batch_mix is not None
    network = api.load(trained.work_dir)
    assert network.model.data_preprocessor.batch_mix is None
    assert torch.equal(network.backbone.conv1.weight, trained.model.backbone.conv1.weight)
    api.distill(narrow(), network, method='KD')(IMAGES, LABELS)


EVIL = "model = dict(type='os.system', command='touch {}', backbone=dict())"
NESTED = "model = dict(type='Classifier', backbone=dict(type='subprocess.run', args=['touch', '{}']))"
OTHERS = "model = dict(type='ImageClassifier', backbone=dict(type='ResNet'))"


@pytest.mark.parametrize(
    'text, said',
    [
        (EVIL, "another project's"),
        (NESTED, "made with 'subprocess.run', which is not registered"),
        (OTHERS, "another project's"),
    ],
)
def test_nothing_in_a_file_is_executed(tmp_path, text, said) -> None:
    meta = dict(cfg=text.format(tmp_path / 'executed'))
    torch.save(dict(meta=meta, state_dict={'backbone.conv1.weight': torch.ones(1)}), tmp_path / 'x.pth')
    with pytest.raises(UserError, match=said):
        api.load(tmp_path / 'x.pth')
    assert not (tmp_path / 'executed').exists()


def test_what_cannot_be_loaded_or_written(tmp_path) -> None:
    student, pair = trained(), [narrow(), narrow()]
    torch.save(student.backbone.state_dict(), tmp_path / 'plain.pth')
    with pytest.raises(UserError, match='does not say which network it holds: use build_network'):
        api.load(tmp_path / 'plain.pth')
    several = api.distill(pair, method='DML')
    api.save(several, tmp_path / 'pair.pth')
    with pytest.raises(UserError, match='holds several that taught each other'):
        api.load(tmp_path / 'pair.pth')
    with pytest.raises(UserError, match='it is a Distillation: give one of its networks'):
        api.export(several, tmp_path / 'pair')
    api.save(student, tmp_path / 'student.pth')
    with pytest.raises(UserError, match=r'leave it out, or use build_network\(name, 3'):
        api.load(tmp_path / 'student.pth', num_classes=3)
    with torch.no_grad():
        student.backbone.conv1.weight.fill_(float('nan'))
    for write in (api.export, api.save):
        with pytest.raises(UserError, match='NaN or infinity'):
            write(student, tmp_path / 'nan.pth')
    assert not (tmp_path / 'nan.pth').exists()


@pytest.mark.parametrize('method', ['CSS', 'DML'])
def test_networks_that_taught_each_other(tmp_path, method) -> None:
    pair = [narrow(), narrow()]
    distillation = api.distill(pair, None, loader(), method=method)
    for losses in distillation:
        losses['loss'].backward()
    assert distillation.logits(IMAGES).shape == (8, 2, 10)
    for network, backbone in zip(pair, distillation.model.backbones, strict=True):
        done = api.export(network, tmp_path / 'one')
        weights = read_backbone(done.pth).state_dict
        assert all(torch.equal(value, backbone.state_dict()[name]) for name, value in weights.items())
