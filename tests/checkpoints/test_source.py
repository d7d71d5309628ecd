"""What a word for a checkpoint stands for: a file, random weights, published weights, the newest student."""

import os
import shutil

import pytest
import torch

from hsakd_mm.checkpoints import source
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.source import newest_student, resolve_source
from hsakd_mm.errors import UserError
from hsakd_mm.files import sha256
from tests.trained_backbones import write_checkpoint

MMPRETRAIN = "default_scope = 'mmpretrain'\ndata_preprocessor = dict(mean=[1.0], std=[2.0], to_rgb=True)"


def older(path, seconds: int) -> None:
    os.utime(path, (os.path.getmtime(path) - seconds,) * 2)


def test_the_newest_student_is_the_newest_that_had_a_teacher(tmp_path) -> None:
    root = tmp_path / 'work_dirs'
    with pytest.raises(UserError, match='there is no such folder'):
        newest_student(str(root))
    root.mkdir()
    with pytest.raises(UserError, match='it holds no checkpoint'):
        newest_student(str(root))
    write_checkpoint(root / 'plain' / 'epoch_9.pth', hooks='')
    (root / 'plain' / 'torn.pth').write_bytes(b'PK')
    with pytest.raises(UserError, match='none of the 1 runs there has a teacher'):
        newest_student(str(root))
    for name, age in (('old/epoch_9.pth', 90), ('new/best_top1_epoch_2.pth', 60), ('new/epoch_3.pth', 30)):
        write_checkpoint(root / name)
        older(root / name, age)
    export_backbone(str(root / 'new' / 'epoch_3.pth'))
    assert newest_student(str(root)) == str(root / 'new' / 'best_top1_epoch_2.pth')
    (root / 'new' / 'best_top1_epoch_2.pth').write_bytes(b'PK')  # cut short
    (root / 'new' / 'epoch_4.pth').write_bytes(b'PK')
    assert newest_student(str(root)) == str(root / 'new' / 'epoch_3.pth')


def test_resolve(trained, tmp_path) -> None:
    path = tmp_path / 'student' / 'epoch_3.pth'
    path.parent.mkdir()
    shutil.copy(trained[0], path)
    source = resolve_source(str(path))
    assert source.backbone.path == str(path.parent / 'epoch_3_backbone.pth')
    assert (source.name, source.method) == ('student-epoch_3', 'HSAKD')
    assert resolve_source(source.backbone.path).name == source.name
    torch.save(trained[1].state_dict(), tmp_path / 'other.pth')
    assert resolve_source(str(tmp_path / 'other.pth')).method == 'file'
    assert resolve_source('random').backbone is None
    assert resolve_source(str(path.parent)).backbone.sha256 == source.backbone.sha256  # a work directory


def test_an_export_of_the_user_stays(trained, tmp_path) -> None:
    """`hsakd-mm export --with-head` and a transfer would write under the same names."""
    path = tmp_path / 'student' / 'epoch_3.pth'
    path.parent.mkdir()
    shutil.copy(trained[0], path)
    first = resolve_source(str(path)).backbone
    assert resolve_source(str(path), str(tmp_path / 'kept')).backbone.path == first.path  # replaced by the same
    assert not (tmp_path / 'kept').exists()

    export = export_backbone(str(path), with_head=True)
    made = resolve_source(str(path), str(tmp_path / 'kept'))
    assert [sha256(file) for file in (export.pth, export.safetensors)] == [export.pth_sha256, export.safetensors_sha256]
    assert made.name == 'student-epoch_3' and f'exported to {made.backbone.path}.' in made.notes[0]
    assert os.path.dirname(made.backbone.path) == str(tmp_path / 'kept')
    assert made.backbone.sha256 == first.sha256  # by which a finished run is known
    assert resolve_source(made.backbone.path).backbone.metadata['with_head'] is False

    other = tmp_path / 'b' / 'student' / 'epoch_3.pth'  # of the same names, for the same list
    other.parent.mkdir(parents=True)
    shutil.copy(path, other)
    export_backbone(str(other), with_head=True)
    assert resolve_source(str(other), str(tmp_path / 'kept')).backbone.path != made.backbone.path


@pytest.mark.parametrize('ending', ['.pth', '.safetensors'])
@pytest.mark.parametrize('content', [b'', None])
def test_what_is_not_known_is_not_replaced(ending, content, trained, tmp_path) -> None:
    path = tmp_path / 'student' / 'epoch_3.pth'
    path.parent.mkdir()
    shutil.copy(trained[0], path)
    theirs = path.with_name(f'epoch_3_backbone{ending}')
    if content is None:
        torch.save(dict(conv1=torch.ones(1)), theirs)
    else:
        theirs.write_bytes(content)
    before = theirs.read_bytes()
    resolve_source(str(path), str(tmp_path / 'kept'))
    assert theirs.read_bytes() == before and len(os.listdir(path.parent)) == 2


def test_a_checkpoint_in_a_folder_that_cannot_be_written_to(trained, tmp_path) -> None:
    with open(trained[0]) as file:
        path = f'/proc/self/fd/{file.fileno()}'  # where not even root can
        made = resolve_source(path, str(tmp_path))
    assert os.path.dirname(made.backbone.path) == str(tmp_path)
    assert made.backbone.metadata['method'] == 'HSAKD'


@pytest.mark.parametrize(
    'name, state', [('torchvision://resnet18', {}), ('timm://resnet18.a1_in1k', dict(mean=[1.0], std=[2.0]))]
)
def test_fetched_weights_become_a_file(name, state, trained, tmp_path, monkeypatch) -> None:
    """What is cached is stood in for: this machine may have no network."""

    def load(path):
        if '://' in path:
            return dict(state_dict=trained[1].state_dict(), meta=dict(normalisation=state))
        return load_checkpoint(path)

    monkeypatch.setattr(source, 'load_checkpoint', load)
    made = resolve_source(name, str(tmp_path))
    short = name.replace('://', '-')
    assert (made.name, made.method) == (short, short)
    assert made.backbone.path == str(tmp_path / f'{short}_backbone.safetensors')
    assert made.backbone.metadata['source'] == name and len(made.backbone.sha256) == 64
    assert not any(key.startswith('fc.') for key in made.backbone.state_dict)
    mean = state.get('mean', [123.675, 116.28, 103.53])
    assert made.backbone.normalisation['mean'] == mean
    assert made.backbone.path in made.notes[0]
    monkeypatch.setattr(source, 'load_checkpoint', lambda path: pytest.fail(f'fetched {path}'))
    assert resolve_source(name, str(tmp_path)).backbone.sha256 == made.backbone.sha256
    with pytest.raises(pytest.fail.Exception):  # another name does not take that file
        resolve_source(f'{name}x', str(tmp_path))


@pytest.mark.parametrize(
    'content, order',
    [
        (lambda own: dict(state_dict={f'backbone.{key}': own[key] for key in own}, meta=dict(cfg=MMPRETRAIN)), 'RGB'),
        (
            lambda own: dict(
                state_dict={f'backbone.{key}': own[key] for key in own},
                meta=dict(cfg=MMPRETRAIN.replace('to_rgb=True', '')),
            ),
            'BGR',
        ),
        (lambda own: dict(model={f'module.{key}': own[key] for key in own}, epoch=3), None),
        (lambda own: dict(teacher=own, student={key: value + 1 for key, value in own.items()}), 'several'),
        (lambda own: dict(state_dict=own, state_dict_ema={key: value + 1 for key, value in own.items()}), 'several'),
    ],
)
def test_an_address_of_another_projects_checkpoint(trained, tmp_path, monkeypatch, content, order) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    torch.save(content(trained[1].state_dict()), tmp_path / 'theirs.pth')
    address = (tmp_path / 'theirs.pth').as_uri()
    if order == 'several':
        with pytest.raises(UserError, match='there are several, under .*: download it, and name the file'):
            resolve_source(address, str(tmp_path / 'kept'))
        return
    made = resolve_source(address, str(tmp_path / 'kept'))
    assert made.backbone.normalisation.get('channel_order') == order
    assert any(key.endswith('.conv1.weight') for key in made.backbone.state_dict)


def test_a_detector_at_an_address_is_read_as_its_file(trained, tmp_path, monkeypatch) -> None:
    """What the network was decides whether it may be loaded into another (:mod:`~.same_network`)."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    cfg = "model = dict(type='FasterRCNN', backbone=dict(type='ResNet', depth=50, style='caffe'))\n" + MMPRETRAIN
    state = {f'backbone.{key}': value for key, value in trained[1].state_dict().items()}
    content = dict(state_dict={**state, 'neck.w': torch.ones(1)}, meta=dict(cfg=cfg, CLASSES=('cat', 'dog')))
    torch.save(content, tmp_path / 'theirs.pth')
    file = resolve_source(str(tmp_path / 'theirs.pth')).backbone
    kept = resolve_source((tmp_path / 'theirs.pth').as_uri(), str(tmp_path / 'kept')).backbone
    for name in ('backbone_type', 'model_kwargs', 'classes', 'normalisation'):
        assert kept.metadata[name] == file.metadata[name]
    assert kept.metadata['model_kwargs']['style'] == 'caffe' and kept.metadata['classes'] == ['cat', 'dog']
    assert kept.state_dict.keys() == file.state_dict.keys()


def test_an_export_at_an_address_keeps_what_is_known_of_it(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    export = export_backbone(str(trained[0]), str(tmp_path / 'student'), with_head=True)
    address = (tmp_path / 'student.safetensors').as_uri()
    metadata = resolve_source(address, str(tmp_path / 'kept')).backbone.metadata
    changed = dict(method=metadata['method'], source=address, with_head=False)
    assert metadata == {**export.metadata, **changed}


def test_networks_that_taught_each_other_at_an_address(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    own = trained[1].state_dict()
    state = {f'net{number}.backbone.{key}': own[key] for number in (1, 2) for key in own}
    torch.save(dict(state_dict=state, meta=dict(cfg='a = 1')), tmp_path / 'both.pth')
    with pytest.raises(UserError, match='it holds several that taught each other: export them'):
        resolve_source((tmp_path / 'both.pth').as_uri(), str(tmp_path / 'kept'))


def test_names_of_weights_that_do_not_exist() -> None:
    with pytest.raises(UserError, match="torchvision has no weights named 'resnet19'"):
        resolve_source('torchvision://resnet19')
