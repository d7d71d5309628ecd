"""The ONNX graph computes what the backbone computes, of other batches and sizes too."""

import json

import pytest
import torch

from hsakd_mm.checkpoints.loading import sha256
from hsakd_mm.errors import UserError
from hsakd_mm.hub import onnx_file
from hsakd_mm.hub.onnx_file import write_onnx
from tests.hub.trained import MEAN, NARROW, VIT, save, timm


@pytest.fixture
def onnx():
    pytest.importorskip('onnxscript', reason='onnxscript is not installed: requirements/onnx.txt')
    return pytest.importorskip('onnx', reason='onnx is not installed: requirements/onnx.txt')


@pytest.mark.parametrize(
    'backbone, shapes, axes',
    [
        (dict(type='CifarResNet', depth=8, num_classes=5, width=(8, 8, 16, 16)), [(1, 3, 32, 32), (3, 3, 24, 40)],
         ['batch', 3, 'height', 'width']),
        (VIT, [(1, 3, 32, 32), (3, 3, 32, 32)], ['batch', 3, 32, 32]),
    ],
    ids=['cifar', 'vit'],
)  # fmt: skip
@torch.no_grad()
def test_the_same_feature_maps(onnx, tmp_path, backbone, shapes, axes) -> None:
    runtime = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed: requirements/onnx.txt')
    net = save(tmp_path / 'a.pth', backbone)
    done = write_onnx(str(tmp_path / 'a.pth'), str(tmp_path / 'a.onnx'), with_head=True)
    assert done.inputs == axes and done.difference < 1e-4 and done.sha256 == sha256(done.path)
    assert len(done.outputs) == len(net.channels) + 1 and done.outputs[-1] == 'logits'
    session = runtime.InferenceSession(done.path)
    for shape in shapes:
        images = torch.rand(shape)
        found = dict(zip(done.outputs, session.run(done.outputs, dict(images=images.numpy()))))
        assert torch.allclose(torch.from_numpy(found.pop('logits')), net(images), atol=1e-4)
        for one, other in zip(found.values(), net.forward_taps(images)):
            assert torch.allclose(torch.from_numpy(one), other, atol=1e-4)
    content = {each.key: each.value for each in onnx.load(done.path).metadata_props}
    assert json.loads(content['hsakd_mm'])['normalisation']['mean'] == MEAN


def test_a_backbone_that_is_not_ours(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_file, 'NEEDED', ())
    save(tmp_path / 'a.pth', timm('resnet18', **NARROW))
    content = torch.load(tmp_path / 'a.pth')
    content['meta']['cfg'] = content['meta']['cfg'].replace('TimmBackbone', 'mmdet.ResNet')
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(UserError, match="it is 'ResNet': .* MMDeploy"):
        write_onnx(str(tmp_path / 'a.pth'), str(tmp_path / 'a.onnx'))


def test_packages_that_are_missing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_file, 'NEEDED', ('onnx_of_nowhere',))
    with pytest.raises(UserError, match='onnx_of_nowhere is not installed: run pip install .hsakd_mm.onnx'):
        write_onnx('a.pth', str(tmp_path / 'a.onnx'))


def test_what_torch_cannot_export(onnx, tmp_path, monkeypatch) -> None:
    def refuse(*args, **kwargs):
        raise RuntimeError('no such operator\nand more')

    save(tmp_path / 'a.pth', timm('resnet18', **NARROW))
    monkeypatch.setattr(torch.onnx, 'export', refuse)
    with pytest.raises(UserError, match=r'export TimmBackbone to ONNX, and it cannot \(no such operator\): use --timm'):
        write_onnx(str(tmp_path / 'a.pth'), str(tmp_path / 'a.onnx'))
    assert not (tmp_path / 'a.onnx').exists()
