"""What leaves training: torchvision's keys, the same features, and where it came from."""

import os
import subprocess

import pytest
import timm
import torch
import torchvision

from hsakd_mm.checkpoints import backbone_file
from hsakd_mm.checkpoints.backbone_file import read_backbone
from hsakd_mm.checkpoints.class_names import class_names
from hsakd_mm.checkpoints.export import export_all, export_backbone
from hsakd_mm.checkpoints.loading import load_checkpoint, sha256
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.hssakd import HSSAKDOnline
from tests.conftest import REPO
from tests.tools.commands import ROOT, python
from tests.tools.prestarted import prestarted
from tests.trained_backbones import write_checkpoint


@pytest.fixture(scope='module')
def exported(full_width, tmp_path_factory):
    path, net = full_width
    out = tmp_path_factory.mktemp('out')
    return (
        export_backbone(str(path), str(out / 'plain.pth')),
        export_backbone(str(path), str(out / 'head'), with_head=True),
        net,
    )


def taps_of(net, images) -> list:
    """The four stages of a torchvision or timm ResNet."""
    features = net.maxpool(getattr(net, 'relu', getattr(net, 'act1', None))(net.bn1(net.conv1(images))))
    taps = []
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        features = stage(features)
        taps.append(features)
    return taps


def same(taps, others) -> None:
    assert len(taps) == len(others) == 4
    for one, other in zip(taps, others):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('ending', ['pth', 'safetensors'])
@torch.no_grad()
def test_the_same_features_in_torchvision_timm_and_mmdet(exported, ending) -> None:
    plain, head, net = exported
    images = torch.rand(2, 3, 64, 96)
    taps = net.forward_taps(images)
    weights = read_backbone(getattr(head, ending)).state_dict
    for other in (torchvision.models.resnet18(num_classes=10), timm.create_model('resnet18', num_classes=10)):
        other.load_state_dict(weights, strict=True)
        same(taps, taps_of(other.eval(), images))
        assert torch.allclose(net(images), other(images), rtol=1e-5, atol=1e-5)
    backbones = pytest.importorskip('mmdet.models.backbones', reason='mmdet is not installed')
    mmdet = backbones.ResNet(18)
    mmdet.load_state_dict(read_backbone(getattr(plain, ending)).state_dict, strict=True)
    mmdet.eval()
    same(taps, mmdet(images))


def test_without_head_only_the_head_is_missing(exported) -> None:
    plain, head, net = exported
    kept = torch.load(plain.pth)
    assert set(torch.load(head.pth)) == set(net.state_dict())
    assert set(net.state_dict()) - set(kept) == {'fc.weight', 'fc.bias'}
    assert plain.tensors == len(kept)
    for value in kept.values():
        assert value.is_contiguous() and value.device.type == 'cpu'
        assert value.dtype in (torch.float32, torch.int64)


@pytest.mark.parametrize('ending', ['pth', 'safetensors'])
def test_the_metadata_survive_a_safe_load(exported, full_width, ending) -> None:
    plain, _, _ = exported
    file = read_backbone(getattr(plain, ending))
    assert file.normalisation['mean'] == [10.0, 20.0, 30.0]
    assert file.normalisation['std'] == [40.0, 50.0, 60.0]
    assert file.metadata['method'] == 'HSAKD'
    assert file.metadata['model_name'] == 'resnet18'
    assert file.metadata['model_kwargs']['channels'] == [64, 128, 256, 512]
    assert file.metadata['epoch'] == 3
    assert file.metadata['source_sha256'] == sha256(str(full_width[0]))
    assert file.metadata == plain.metadata
    assert file.sha256 == getattr(plain, f'{ending}_sha256') == sha256(file.path)
    assert file.parameters == 11_176_512


def test_the_same_export_has_the_same_bytes(trained, tmp_path) -> None:
    one, two = (export_backbone(str(trained[0]), str(tmp_path / name)) for name in 'ab')
    assert one.pth_sha256 == two.pth_sha256
    assert one.safetensors_sha256 == two.safetensors_sha256


def test_channels_last_half_weights_become_plain(trained, tmp_path) -> None:
    content = torch.load(trained[0])
    key = 'backbone.layer1.0.conv1.weight'
    content['state_dict'][key] = content['state_dict'][key].half().contiguous(memory_format=torch.channels_last)
    torch.save(content, tmp_path / 'odd.pth')
    weight = torch.load(export_backbone(str(tmp_path / 'odd.pth')).pth)['layer1.0.conv1.weight']
    assert weight.is_contiguous() and weight.dtype == torch.float32


def bad_files(folder, trained) -> dict:
    whole = trained.read_bytes()
    (folder / 'cut.pth').write_bytes(whole[: len(whole) // 2])
    (folder / 'empty.pth').touch()
    (folder / 'text.pth').write_text('not a checkpoint')
    torch.save({'epoch': 3}, folder / 'nothing.pth')
    torch.save(torchvision.models.resnet18().state_dict(), folder / 'backbone.pth')
    torch.save(dict(state_dict={'backbone.conv1.weight': torch.zeros(1)}), folder / 'bare.pth')
    torch.save(
        dict(state_dict={'backbone.conv1.weight': torch.zeros(1)}, meta=dict(cfg="model = dict(type='X')")),
        folder / 'unnormalised.pth',
    )
    return {
        'absent.pth': 'no such file',
        'cut.pth': 'cannot be read',
        'empty.pth': 'cannot be',
        'text.pth': 'cannot be read',
        'nothing.pth': 'holds no state dict',
        'backbone.pth': 'looks like a backbone already',
        'bare.pth': 'without the config',
        'unnormalised.pth': 'normalisation',
    }


def test_what_is_no_training_checkpoint_is_refused(trained, tmp_path) -> None:
    for name, sentence in bad_files(tmp_path, trained[0]).items():
        with pytest.raises(UserError, match=sentence):
            export_backbone(str(tmp_path / name))
        assert not (tmp_path / f'{name[:-4]}_backbone.pth').exists()
    with pytest.raises(UserError, match="no backbone under 'net1.'"):
        export_backbone(str(trained[0]), str(tmp_path / 'x'), prefix='net1.')


def test_a_failed_write_leaves_what_was_there(trained, tmp_path, monkeypatch) -> None:
    done = export_backbone(str(trained[0]), str(tmp_path / 'kept'))

    def full(*args) -> None:
        args[1].write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(backbone_file.torch, 'save', full)
    with pytest.raises(UserError, match='No space left'):
        export_backbone(str(trained[0]), str(tmp_path / 'kept'))
    assert sha256(done.pth) == done.pth_sha256
    assert sorted(os.listdir(tmp_path)) == ['kept.pth', 'kept.safetensors']


def test_the_checkpoint_itself_is_never_replaced(tmp_path) -> None:
    path = tmp_path / 'epoch_3.pth'
    write_checkpoint(path)
    before = sha256(str(path))
    with pytest.raises(UserError, match='would overwrite its own checkpoint'):
        export_backbone(str(path), str(path))
    assert sha256(str(path)) == before


def test_the_tool(trained, tmp_path, refusal) -> None:
    done = subprocess.run(
        [prestarted(), str(REPO / 'tools' / 'export_backbone.py'), str(trained[0]), '--out', 'b.pth'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert sha256(str(tmp_path / 'b.pth')) in done.stdout and 'mean [10.0' in done.stdout
    assert 'no such file' in refusal('export_backbone.py', 'absent.pth')


def test_of_two_networks_each_is_written(tmp_path, refusal) -> None:
    path = tmp_path / 'epoch_3.pth'
    nets = [
        dict(type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(8, 8, 16, 16)),
        dict(type='CifarResNet', depth=8, num_classes=10),
    ]
    model = HSSAKDOnline([dict(backbone=net) for net in nets])
    cfg = f"""model = dict(
        type='HSSAKDOnline', nets=[dict(backbone={nets[0]}), dict(backbone={nets[1]})],
        data_preprocessor=dict(type='ImagePreprocessor', mean=[10., 20., 30.], std=[4., 5., 6.]))"""
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=cfg, epoch=3)), path)
    one, two = export_all(str(path))
    for export, net, weights in ((one, 1, model.net1.backbone), (two, 2, model.net2.backbone)):
        assert export.pth == str(tmp_path / f'epoch_3_net{net}_backbone.pth')
        assert export.metadata['backbone_type'] == nets[net - 1]['type']
        kept = torch.load(export.pth)
        heads = weights.state_dict().keys() - kept.keys()
        assert heads == {'fc.weight', 'fc.bias'}
        assert all(torch.equal(value, weights.state_dict()[key]) for key, value in kept.items())
    with pytest.raises(UserError, match="it has 'net1.backbone.' and 'net2.backbone.'"):
        export_backbone(str(path))
    by_name = export_backbone(str(path), prefix='net2')
    assert (by_name.pth, by_name.pth_sha256) == (two.pth, two.pth_sha256)
    with pytest.raises(UserError, match="has no backbone under 'net2.branches.'"):
        export_backbone(str(path), prefix='net2.branches.')
    assert 'it holds several that taught each other' in refusal('transfer_det.py', str(path))


@pytest.mark.parametrize('ending', ['pth', 'safetensors'])
def test_the_names_of_the_classes_go_with_the_weights(tmp_path, ending) -> None:
    path = tmp_path / 'epoch_3.pth'
    write_checkpoint(path)
    content = load_checkpoint(str(path))
    content['meta'].update(dataset_meta=dict(classes=('b', 'a')), iter=12)
    torch.save(content, path)
    file = getattr(export_backbone(str(path), with_head=True), ending)
    assert class_names(load_checkpoint(file)) == ('b', 'a')


def test_what_was_never_trained_is_not_exported(tmp_path) -> None:
    path = tmp_path / 'epoch_1.pth'
    write_checkpoint(path)
    content = load_checkpoint(str(path))
    content['meta'].update(iter=0)
    torch.save(content, path)
    with pytest.raises(UserError, match='saved before the first step'):
        export_backbone(str(path))
    assert [file.name for file in tmp_path.iterdir()] == ['epoch_1.pth']


@pytest.mark.parametrize('number', [float('nan'), float('inf')])
def test_weights_that_are_no_numbers_are_not_exported(tmp_path, number) -> None:
    path = tmp_path / 'epoch_1.pth'
    write_checkpoint(path)
    content = load_checkpoint(str(path))
    content['state_dict']['backbone.layer2.0.conv1.weight'][0, 0] = number
    torch.save(content, path)
    with pytest.raises(UserError, match=r'hold NaN or infinity \(layer2.0.conv1.weight\)'):
        export_backbone(str(path))
    assert [file.name for file in tmp_path.iterdir()] == ['epoch_1.pth']


def test_a_checkpoint_of_dataparallel_is_exported_as_its_own(tmp_path) -> None:
    path, wrapped = tmp_path / 'epoch_3.pth', tmp_path / 'wrapped.pth'
    write_checkpoint(path)
    content = load_checkpoint(str(path))
    torch.save(
        dict(content, state_dict={f'module.{key}': value for key, value in content['state_dict'].items()}), wrapped
    )
    own, other = (read_backbone(export_all(str(file))[0].pth) for file in (path, wrapped))
    assert own.state_dict.keys() == other.state_dict.keys() and other.metadata['method'] == 'HSAKD'


def test_of_a_work_directory_the_best_checkpoint_is_exported(full_width, tmp_path) -> None:
    path, _ = full_width
    for name in ('epoch_1.pth', 'best_accuracy_top1_epoch_1.pth'):
        os.symlink(path, tmp_path / name)
    for _ in range(2):  # what the first wrote is not taken for a checkpoint
        done = python(ROOT / 'tools/export_backbone.py', tmp_path, cwd=tmp_path)
        assert f'from {tmp_path}/best_accuracy_top1_epoch_1.pth' in done.stdout and not done.returncode, done.stderr
    assert read_backbone(str(tmp_path / 'best_accuracy_top1_epoch_1_backbone.pth')).state_dict
    (tmp_path / 'empty').mkdir()
    empty = python(ROOT / 'tools/export_backbone.py', tmp_path / 'empty', cwd=tmp_path)
    assert empty.returncode and 'train it first, or name a file' in empty.stderr
