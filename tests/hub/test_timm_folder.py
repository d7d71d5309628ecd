"""A folder that timm loads: the same outputs, and a card of what is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm as timm_library
import torch
import yaml
from PIL import Image

from hsakd_mm.checkpoints.backbone_file import read_backbone
from hsakd_mm.datasets.transforms.build import build_transforms
from hsakd_mm.errors import UserError
from hsakd_mm.hub.input_size import evaluated_input
from hsakd_mm.hub.run_record import run_record
from hsakd_mm.hub.timm_folder import write_timm_folder
from tests.hub.trained import MEAN, NARROW, STD, STEPS, VIT, save, timm

NETWORKS = {
    'resnet18': timm('resnet18', **NARROW, zero_init_last=True),
    'resnet50': timm('resnet50.a1_in1k', **NARROW),
    'wide_resnet50_2': timm('wide_resnet50_2', **NARROW),
    'vit': VIT,
    'convnext': timm('convnext_atto', depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)),
}


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Writes the folder of a network once: ``(name of it, backbone)``."""
    made: dict = {}

    def folder_of(name: str) -> tuple:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            net = save(root / 'run' / 'epoch_3.pth', NETWORKS[name])
            done = write_timm_folder(str(root / 'run' / 'epoch_3.pth'), str(root / 'folder'))
            assert done.checked
            made[name] = f'local-dir:{root / "folder"}', net
        return made[name]

    return folder_of


@pytest.mark.parametrize('network', NETWORKS)
@torch.no_grad()
def test_the_same_outputs(folders, network) -> None:
    name, net = folders(network)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(timm_library.create_model(name, pretrained=True).eval()(images), net(images))
    headless = timm_library.create_model(name, pretrained=True, num_classes=0).eval()
    assert torch.equal(headless(images).flatten(1), net.pooled(net.forward_intermediates(images)[0]))
    if network != 'vit':
        maps = timm_library.create_model(name, pretrained=True, features_only=True).eval()(images)
        assert all(map(torch.equal, maps[-4:], net.forward_taps(images)))


def test_what_the_config_says(folders) -> None:
    name, _ = folders('vit')
    config = json.loads(Path(name.removeprefix('local-dir:'), 'config.json').read_text())
    assert config['architecture'] == 'vit_tiny_patch16_224' and config['num_classes'] == 5
    assert config['model_args'] == dict(depth=2, embed_dim=32, num_heads=2, img_size=32, patch_size=8)
    given = config['pretrained_cfg']
    assert given['input_size'] == [3, 32, 32] and given['crop_pct'] == 0.8 and given['classifier'] == 'head'
    assert given['mean'] == pytest.approx([value / 255 for value in MEAN])
    assert given['std'] == pytest.approx([value / 255 for value in STD])
    assert not {'license', 'hf_hub_id', 'url', 'tag'} & set(given)  # those are of timm's own weights


def test_timm_gives_the_images_that_the_run_was_tested_on(folders) -> None:
    net = timm_library.create_model(folders('resnet18')[0], pretrained=True)
    theirs = timm_library.data.create_transform(**timm_library.data.resolve_data_config({}, model=net))
    image = Image.radial_gradient('L').resize((60, 50)).convert('RGB')
    sample = dict(img=image)
    for step in build_transforms(STEPS[1:]):
        sample = step(sample)
    pixels = torch.from_numpy(np.array(sample['img'])).permute(2, 0, 1).float()
    ours = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(theirs(image), ours, atol=1e-5)


def test_our_own_reader_finds_the_normalisation(folders) -> None:
    file = read_backbone(folders('resnet18')[0].removeprefix('local-dir:') + '/model.safetensors')
    assert file.normalisation == dict(mean=MEAN, std=STD, channel_order='RGB')


def test_the_same_bytes_again(tmp_path) -> None:
    save(tmp_path / 'a.pth', NETWORKS['resnet18'])
    for name in 'ab':
        write_timm_folder(str(tmp_path / 'a.pth'), str(tmp_path / name))
    for file in ('config.json', 'model.safetensors', 'README.md'):
        assert (tmp_path / 'a' / file).read_bytes() == (tmp_path / 'b' / file).read_bytes()


def test_networks_that_timm_does_not_have(tmp_path) -> None:
    save(tmp_path / 'a.pth', dict(type='CifarResNet', depth=8, num_classes=5))
    with pytest.raises(UserError, match=r'its backbone is CifarResNet, for which timm has no architecture: .* --onnx'):
        write_timm_folder(str(tmp_path / 'a.pth'), str(tmp_path / 'folder'))
    assert not (tmp_path / 'folder').exists()


def test_a_classifier_that_nothing_trained_is_left_out(tmp_path) -> None:
    net = save(tmp_path / 'a.pth', NETWORKS['resnet18'], method='FeatureDistillation')
    done = write_timm_folder(str(tmp_path / 'a.pth'), str(tmp_path / 'folder'))
    assert done.network.num_classes == 0 and done.checked
    again = timm_library.create_model(f'local-dir:{tmp_path / "folder"}', pretrained=True).eval()
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(again(images), net.pooled(net.forward_intermediates(images)[0]))
    assert 'fc.weight' not in again.state_dict()
    card = (tmp_path / 'folder' / 'README.md').read_text()
    assert '| Classes | no classifier: the method trains none |' in card
    assert 'pipeline_tag: image-feature-extraction' in card


def rows_of(card: str) -> dict:
    lines = [line.strip('| ').split(' | ', 1) for line in card.splitlines() if line.startswith('| ')]
    return dict(lines[1:])


def test_a_card_of_what_the_run_recorded(tmp_path) -> None:
    hook = dict(type='DistillationHook', checkpoint='work_dirs/big', teacher=dict(backbone=timm('resnet34')))
    save(tmp_path / 'run' / 'epoch_3.pth', NETWORKS['resnet18'], default_hooks=dict(distillation=hook))
    logs = tmp_path / 'run' / '2026' / 'vis_data'
    logs.mkdir(parents=True)
    lines = [{'accuracy/top1': 10.0 * epoch, 'time': 0.1, 'step': epoch} for epoch in (2, 3, 4)]
    logs.joinpath('scalars.json').write_text('\n'.join(map(json.dumps, [*lines, dict(lr=0.1, loss=1.0, step=3)])))
    origin = dict(command='all of it', commit='abc', dirty=True, torch='2.11', hardware=dict(cpu='A CPU', gpu=[]))
    (tmp_path / 'run' / 'origin.json').write_text(json.dumps(origin))
    (tmp_path / 'run' / 'stage.json').write_text(json.dumps(dict(command='tools/train.py mine.py')))
    content = torch.load(tmp_path / 'run' / 'epoch_3.pth')
    content['message_hub'] = dict(runtime_info=dict(teacher_top1=0.875))
    content['meta'].update(run_identity=dict(weights=dict(teacher='f00'), data=dict(images=1234)))
    torch.save(content, tmp_path / 'run' / 'epoch_3.pth')
    done = write_timm_folder(str(tmp_path / 'run' / 'epoch_3.pth'), str(tmp_path / 'out'), license_='mit')
    card = (tmp_path / 'out' / 'README.md').read_text()
    front = yaml.safe_load(card.split('---')[1])
    assert front['license'] == 'mit' and front['library_name'] == 'timm' and 'knowledge-distillation' in front['tags']
    rows = rows_of(card)
    assert rows['accuracy/top1 (%)'] == '30.00, on ImageFolder, mine, val'
    assert rows['Teacher'] == 'resnet34; top-1 87.50 % on the validation data; SHA-256 `f00`'
    assert rows['Training data'] == 'ImageFolder, mine, train; 1,234 images' and rows['Epoch'] == '3 of 7'
    assert rows['Command'] == '`tools/train.py mine.py`' and rows['Commit'] == '`abc`, with uncommitted changes'
    assert rows['Trained on'] == 'A CPU; torch 2.11' and rows['`model.safetensors`'] == f'SHA-256 `{done.sha256}`'


def test_a_card_where_nothing_was_recorded(tmp_path) -> None:
    save(tmp_path / 'a.pth', NETWORKS['resnet18'], method='Classifier')
    write_timm_folder(str(tmp_path / 'a.pth'), str(tmp_path / 'out'))
    card = (tmp_path / 'out' / 'README.md').read_text()
    rows = rows_of(card)
    assert [rows[name] for name in ('Accuracy', 'Command', 'Commit', 'Trained on', 'Optimizer')] == [
        'not recorded', 'not recorded', 'not recorded', 'not recorded', 'not recorded; 4 images a step'
    ]  # fmt: skip
    assert 'Teacher' not in rows and 'license' not in card.split('---')[1]


def test_the_accuracy_of_one_of_two_networks(tmp_path) -> None:
    logs = tmp_path / '2026' / 'vis_data'
    logs.mkdir(parents=True)
    logs.joinpath('scalars.json').write_text(json.dumps({'accuracy/net1_top1': 1, 'accuracy/net2_top1': 2, 'step': 3}))
    record = run_record(str(tmp_path / 'epoch_3.pth'), {}, {}, dict(network='net2', epoch=3))
    assert record.accuracy == {'accuracy/net2_top1': 2.0}


@pytest.mark.parametrize(
    'tests, training, expected',
    [
        ([dict(type='torchvision/Resize', size=[64, 48])], [], ((3, 64, 48), 1.0, 'squash')),
        ([dict(type='torchvision/CenterCrop', size=[28])], [], ((3, 28, 28), 1.0, 'center')),
        ([dict(type='LoadImage'), dict(type='PackInputs')], [dict(type='torchvision/RandomCrop', size=32, padding=4)],
         ((3, 32, 32), 1.0, 'center')),
        ([dict(type='torchvision/Resize', size=256)], [dict(type='torchvision/RandomCrop', size=32)], None),
        ([dict(type='torchvision/FiveCrop', size=32)], [], None),
        ([], [], None),
    ],
)  # fmt: skip
def test_the_size_of_the_images(tests, training, expected) -> None:
    config = dict(
        val_dataloader=dict(dataset=dict(pipeline=tests)), train_dataloader=dict(dataset=dict(pipeline=training))
    )
    found = evaluated_input(config)
    assert (tuple(found[key] for key in ('input_size', 'crop_pct', 'crop_mode')) if found else None) == expected
    assert evaluated_input({}) == evaluated_input(dict(val_dataloader=None)) == {}
