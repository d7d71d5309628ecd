"""A file that cannot be read is named for what it is, in one line: unsafe, cut short, or no checkpoint."""

import argparse
import datetime
import pathlib
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import hsakd_mm  # noqa: F401
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.pretrained import load_backbone
from hsakd_mm.errors import UserError

WEIGHTS = nn.Linear(2, 2).state_dict()


class Settings:
    """As of omegaconf or a project's own code."""


def saved(content, **how):
    return lambda path: torch.save(content, path, **how)


def refused(path) -> str:
    with pytest.raises(UserError) as error:
        load_checkpoint(str(path))
    said = str(error.value)
    assert said.isprintable() and str(path) in said, said
    return said


@pytest.mark.parametrize(
    'write, wanted',
    [
        (saved(dict(state_dict=WEIGHTS, cfg=Settings())), 'test_reading_files.Settings'),
        (saved(dict(state_dict=WEIGHTS, args=argparse.Namespace(cfg=Settings()))), 'test_reading_files.Settings'),
        (saved(nn.Linear(2, 2)), 'torch.nn.modules.linear.Linear'),
        (saved(dict(model=nn.Sequential(nn.Linear(2, 2)), epoch=3)), 'torch.nn.modules.container.Sequential and'),
        (saved(dict(state_dict=WEIGHTS, saved=datetime.datetime(2020, 1, 1))), 'datetime.datetime'),
        (saved(dict(state_dict=WEIGHTS, file=pathlib.PurePosixPath('a'))), 'PurePosixPath'),
        (saved({**WEIGHTS, 'args': Settings()}, _use_new_zipfile_serialization=False), 'test_reading_files.Settings'),
    ],
)
def test_what_weights_only_refuses_names_the_class_and_the_way_out(tmp_path, write, wanted) -> None:
    write(tmp_path / 'foreign.pth.tar')
    said = refused(tmp_path / 'foreign.pth.tar')
    assert f'an object of {wanted}' in said or f'{wanted}, which is not read' in said
    assert 'can run any code' in said and 'truncated' not in said and 'Weights only' not in said
    # The command that it gives works, for who trusts the file.
    command = re.search(r'python -c "(.+?)" \(this', said)[1]
    exec(command, {})
    weights = load_checkpoint(str(tmp_path / 'foreign_weights.pth'))['state_dict']
    assert {name.removeprefix('0.') for name in weights} == {'weight', 'bias'}


@pytest.mark.parametrize(
    'beside',
    [
        argparse.Namespace(lr=0.1, steps=[1, 2]),
        np.float32(71.3),
        np.float64(71.3),
        np.int64(3),
        np.bool_(True),
        dict(best=np.float16(1), opt=argparse.Namespace(inner=argparse.Namespace())),
    ],
)
def test_harmless_values_beside_the_weights_are_read(tmp_path, beside) -> None:
    torch.save(dict(state_dict=WEIGHTS, beside=beside), tmp_path / 'a.pth')
    assert load_checkpoint(str(tmp_path / 'a.pth'))['beside'] == beside


def cut(how: float, **form):
    def write(path) -> None:
        torch.save(dict(state_dict=WEIGHTS), path, **form)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * how)])

    return write


def cut_safetensors(path) -> None:
    save_file(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize(
    'name, write',
    [
        ('a.pth', cut(0.5)),
        ('a.pth', cut(0.97)),
        ('a.pt', cut(0.9, _use_new_zipfile_serialization=False)),
        ('a.safetensors', cut_safetensors),
        ('a.safetensors', lambda path: (cut_safetensors(path), path.write_bytes(path.read_bytes()[:40]))),
    ],
)
def test_a_file_cut_short(tmp_path, name, write) -> None:
    write(tmp_path / name)
    said = refused(tmp_path / name)
    assert 'it may be truncated' in said and 'copy it again' in said and 'any code' not in said


def zipped(path) -> None:
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('weights/readme.txt', 'a')


def tarred(path) -> None:
    (path.parent / 'inner.pth').write_text('')
    with tarfile.open(path, 'w') as archive:
        archive.add(path.parent / 'inner.pth', 'inner.pth')


def arrays(path) -> None:
    with open(path, 'wb') as file:
        np.savez(file, weight=np.zeros(2))


@pytest.mark.parametrize(
    'name, write, kind',
    [
        ('a.pth', lambda path: path.touch(), 'empty'),
        ('a.pth', lambda path: path.write_text('<!DOCTYPE html>\n<html><body>404'), 'a web page'),
        ('a.pth', lambda path: path.write_text('\n<html lang="en">Sign in'), 'a web page'),
        ('a.pth', lambda path: path.write_text('{"message": "Not Found"}'), 'text file .*Not Found'),
        ('a.pth', lambda path: path.write_text('version https://git-lfs.github.com/spec/v1\noid sha'), 'git lfs pull'),
        ('a.safetensors', lambda path: path.write_text('version https://git-lfs.github.com/spec/v1'), 'git lfs pull'),
        ('a.pth', lambda path: path.mkdir(), 'that is a folder'),
        ('a.onnx', lambda path: path.write_bytes(b'\x08\x07\x12\x07pytorch\x1a\x052.1.0'), 'an ONNX graph'),
        ('a.pth', lambda path: path.write_bytes(b'\x08\x07\x12\x07pytorch\x1a\x052.1.0'), 'an ONNX graph'),
        ('a.pth', zipped, r'zip archive of 1 files \(weights/readme.txt\): unpack it'),
        ('a.pth.tar', tarred, r'tar archive of 1 files \(inner.pth\): unpack it'),
        ('a.pth', lambda path: path.write_bytes(b'\x1f\x8b\x08\x00' + bytes(20)), 'gzip: unpack'),
        ('a.pth', arrays, r"numpy's \.npz"),
        ('a.pth', lambda path: torch.jit.script(nn.Linear(2, 2)).save(path), 'TorchScript'),
        ('a.pkl', lambda path: path.write_bytes(pickle.dumps({'model': np.zeros(2)})), 'torch.save did not write'),
        ('a.h5', lambda path: path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(40)), 'HDF5'),
        ('a.pth', saved(dict(epoch=3, lr=0.1)), r'no state dict \(its keys are epoch, lr\)'),
        ('a.pth', saved([1, 2]), r'no state dict \(it holds one list\)'),
    ],
)
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_what_is_no_checkpoint_is_named(tmp_path, name, write, kind) -> None:
    write(tmp_path / name)
    assert re.search(kind, refused(tmp_path / name)), refused(tmp_path / name)


@pytest.mark.parametrize('name', ['weights.pth', 'weights.bin', 'weights.safetensors'])
@pytest.mark.parametrize('write', [torch.save, save_file])
def test_the_content_decides_not_the_name(tmp_path, name, write) -> None:
    write(WEIGHTS, tmp_path / name)
    assert load_checkpoint(str(tmp_path / name))['state_dict'].keys() == WEIGHTS.keys()


def test_every_way_in_says_so(tmp_path, refusal) -> None:
    """Tools, model.checkpoint, and what an address gives."""
    torch.save(dict(state_dict=WEIGHTS, cfg=Settings()), tmp_path / 'a.pth')
    assert 'test_reading_files.Settings' in refusal('export_backbone.py', tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'test_reading_files\.Settings'):
        load_backbone(nn.Linear(2, 2), str(tmp_path / 'a.pth'))


def test_a_page_in_place_of_a_download(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    (tmp_path / 'r18.pth').write_text('<html>Not found</html>')
    with pytest.raises(UserError, match='a web page'):
        load_checkpoint((tmp_path / 'r18.pth').as_uri())
