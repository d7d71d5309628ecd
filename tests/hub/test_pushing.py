"""Push, then load: the real huggingface_hub and timm, and a stand-in for the server (tests/hub/stand_in.py)."""

import os
import subprocess
import sys

import pytest
import torch

from hsakd_mm.errors import UserError
from hsakd_mm.hub.pushing import push_folder
from tests.conftest import REPO
from tests.hub.stand_in import SAYS, TOKEN, hub_stand_in
from tests.hub.trained import NARROW, save, timm

ROUND_TRIP = """
import sys, timm, torch
from hsakd_mm.commands import export_backbone
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.source import resolve_source
from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.transfer import StrictPretrained

NAME, file, kept = 'hf-hub:me/net', *sys.argv[1:]
sys.argv = ['export', file, '--push-to-hub', 'me/net']
export_backbone.main()

narrow = dict(channels=(8, 8, 16, 16))
theirs = {key.removeprefix('backbone.'): value for key, value in torch.load(file)['state_dict'].items()}
images = torch.rand(2, 3, 32, 32)
net = TimmBackbone('resnet18', 5, **narrow).eval()
net.load_state_dict(theirs)
with torch.no_grad():
    assert torch.equal(timm.create_model(NAME, pretrained=True).eval()(images), net(images))

detector = timm.create_model('resnet18', num_classes=0, **narrow)
StrictPretrained(NAME)(detector)
assert all(torch.equal(value, theirs[key]) for key, value in detector.state_dict().items())

images = dict(type='hsakd_mm.ImagePreprocessor', mean=[100.0, 110.0, 120.0], std=[50.0, 55.0, 60.0])
network = dict(type='TimmBackbone', model_name='resnet18', num_classes=3, **narrow)
student = Classifier(network, data_preprocessor=images, load_backbone_from=NAME)
student.init_weights()
assert torch.equal(student.backbone.layer4[1].conv2.weight, theirs['layer4.1.conv2.weight'])

source = resolve_source(NAME, kept)
assert source.backbone.metadata['revision'] == load_checkpoint(NAME)['meta']['revision'] and source.backbone.sha256
assert source.backbone.normalisation['mean'] == [100.0, 110.0, 120.0], source.backbone.normalisation
assert resolve_source('timm://' + NAME, kept).backbone.state_dict.keys() == source.backbone.state_dict.keys()
for name in ('hf-hub:me/absent', 'hf-hub:me/net@v9'):
    try:
        load_checkpoint(name)
    except UserError as error:
        print(error)
print('all of it')
"""


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('run') / 'epoch_3.pth'
    save(path, timm('resnet18', **NARROW))
    return path


@pytest.fixture
def hub():
    """``(address, repositories)`` of a stand-in that is running."""
    with hub_stand_in() as running:
        yield running


def test_push_then_load(hub, checkpoint, tmp_path) -> None:
    """In a process of its own: huggingface_hub reads the address of the server when it is imported."""
    address, state = hub
    quiet = dict(HF_HUB_DISABLE_XET='1', HF_HUB_DISABLE_TELEMETRY='1', HF_HUB_DISABLE_PROGRESS_BARS='1')
    places = dict(HF_ENDPOINT=address, HF_HOME=str(tmp_path / 'home'), HF_HUB_OFFLINE='0', PYTHONPATH=str(REPO))
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', ROUND_TRIP, str(checkpoint), str(tmp_path / 'kept')],
        env=dict(os.environ, HF_TOKEN=TOKEN, **quiet, **places), capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0 and 'all of it' in done.stdout, done.stderr
    assert f'pushed: {address}/me/net/commit/' in done.stdout
    assert 'me/absent, and that failed (there is no such repository, or it is private): see that' in done.stdout
    assert "me/net, and that failed (it has no revision 'v9'): see that" in done.stdout
    repository = state.repositories['me/net']
    assert repository['private'] and sorted(repository['files']) == ['README.md', 'config.json', 'model.safetensors']
    assert "timm.create_model('hf-hub:me/net', pretrained=True)" in repository['files']['README.md'].decode()
    assert not state.unknown, f'{state.unknown} was asked of {SAYS}'


@pytest.mark.parametrize(
    'owner, token, words',
    [
        ('me', 'hf_of_another', r'may write to me/net was expected in HF_TOKEN, and .* refused it \(401: Invalid user'),
        ('you', TOKEN, r'may write to you/net was expected in HF_TOKEN, and .* refused it \(403: You have no rights'),
        ('me', None, r'README.md were to be pushed to http://127.0.0.1:9/me/net, and that failed \(.*refused'),
    ],
)
def test_what_the_server_does_not_take(hub, tmp_path, monkeypatch, owner, token, words) -> None:
    address, state = hub
    monkeypatch.setattr('huggingface_hub.constants.ENDPOINT', address if token else 'http://127.0.0.1:9')
    monkeypatch.setenv('HF_TOKEN', token or TOKEN)
    (tmp_path / 'README.md').write_text('---\ntags: []\n---\n')
    with pytest.raises(UserError, match=words):
        push_folder(str(tmp_path), f'{owner}/net', ['README.md'])
    assert not state.repositories


def test_without_a_token(refusal, checkpoint, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv('HF_TOKEN', raising=False)
    monkeypatch.setattr('huggingface_hub.constants.HF_TOKEN_PATH', str(tmp_path / 'none'))
    said = refusal('export_backbone.py', checkpoint, '--push-to-hub', 'me/net')
    assert 'was expected in HF_TOKEN, and there is none: make one with write access' in said
    assert 'OWNER/NAME' in refusal('export_backbone.py', checkpoint, '--push-to-hub', 'net')
    with pytest.raises(UserError, match='OWNER/NAME'):
        push_folder(str(tmp_path), 'net', ['README.md'])


def test_one_network_at_a_time(refusal, tmp_path) -> None:
    file = tmp_path / 'pair.pth'
    torch.save(dict(state_dict={f'net{n}.backbone.conv1.weight': torch.zeros(1) for n in (1, 2)}), file)
    for words in (['--timm-folder', 'x'], ['--onnx', 'x.onnx']):
        assert 'holds 2: choose --prefix net1 or --prefix net2' in refusal('export_backbone.py', file, *words)
    assert 'and --key reads a part' in refusal('export_backbone.py', file, '--timm-folder', 'x', '--key', 'model')
