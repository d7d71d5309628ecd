"""tools/doctor.py: what it sees on this machine, and each thing that can be broken here."""

import json
import os
import resource
import runpy
import shutil
import sys

import pytest
import torch

from hsakd_mm.engine import doctor
from hsakd_mm.engine.doctor import MISSING, OK, WARNING
from tests.tools.commands import ROOT, TINY

CONFIG = ROOT / 'configs/demo/plain.py'


@pytest.fixture
def examine(tmp_path, monkeypatch, capsys):
    """``examine(*words)`` -> ``(status, {name: check}, what it printed)``."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)

    def run(*words) -> tuple:
        monkeypatch.setattr(sys, 'argv', ['doctor.py', *map(str, words), '--json', 'told.json'])
        status = 0
        try:
            runpy.run_path(str(ROOT / 'tools/doctor.py'), run_name='__main__')
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        assert 'Traceback' not in said.err
        checks = json.loads((tmp_path / 'told.json').read_text())['checks']
        assert all(check['cure'] for check in checks if check['status'] != OK)
        assert len(said.out.splitlines()) == len(checks) + 1  # one line each, and no log of mmengine
        return status, {check['name']: check for check in checks}, said

    return run


def narrow(digits) -> list:
    parts = ('train', 'val')
    return [
        '--cfg-options',
        'model.backbone.channels=[8,8,16,16]',
        'train_dataloader.batch_size=8',
        *(f'{part}_dataloader.dataset.data_root={digits}' for part in parts),
        *(f'{part}_dataloader.num_workers=0' for part in parts),
    ]


def test_machine(examine, tmp_path) -> None:
    status, checks, said = examine()
    assert status == 0 and checks['torch']['status'] == OK and 'GPUs' in checks
    assert '0 missing' in said.out and not (tmp_path / 'work_dirs').exists()


def test_config_of_the_demo(examine, demo_data, tmp_path) -> None:
    status, checks, said = examine(CONFIG, *narrow(demo_data / 'digits'))
    assert status == 0, said
    assert checks['steps']['found'].startswith('2 taken') and 'GiB' in checks['memory']['found']
    assert 'steps in one process' in checks['whole time']['found']
    assert [path.name for path in tmp_path.iterdir()] == ['told.json']


@pytest.mark.parametrize('broken', ['data', 'image', 'model', 'teacher'])
def test_config_that_is_broken(broken, examine, demo_data, tmp_path) -> None:
    digits = shutil.copytree(demo_data / 'digits', tmp_path / 'digits')
    words, config, name = narrow(digits), CONFIG, 'steps'
    if broken == 'data':
        shutil.rmtree(digits / 'train')
        name = 'train data'
    elif broken == 'image':
        for path in (digits / 'train').rglob('*.png'):
            path.write_bytes(b'cut off')
    elif broken == 'model':
        words += ['model.backbone.num_classes=3']
    else:
        config = ROOT / 'configs/demo/hsakd.py'
        words += ['default_hooks.distillation.checkpoint=nowhere.pth']
    status, checks, said = examine(config, *words)
    assert status == 2 and checks[name]['status'] == MISSING, said
    assert said.err.startswith(f'error: {name}')


def test_machine_that_is_broken(examine, tmp_path, monkeypatch) -> None:
    (tmp_path / 'file').write_text('')
    versions = dict(torch='2.0.1', timm='0.9.0', mmdet=None, safetensors=None, mmengine='0.99')
    usual = doctor._version
    monkeypatch.setattr(doctor, '_version', lambda name: versions.get(name, usual(name)))
    usage = shutil.disk_usage('/')
    monkeypatch.setattr(doctor.shutil, 'disk_usage', lambda folder: usage._replace(free=1 << 20))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        status, checks, _ = examine('--work-dir', tmp_path / 'file' / 'below')
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert status == 2
    of = {kind: {name for name, each in checks.items() if each['status'] == kind} for kind in (MISSING, WARNING)}
    assert of[MISSING] >= {'torch', 'timm', 'safetensors', 'work directory'}
    assert of[WARNING] >= {'mmdet', 'mmengine', 'shared memory', 'open files', 'disk'}
    assert doctor.check_shared_memory(str(tmp_path / 'none')).status == MISSING


def test_gpus_and_operators_that_do_not_work(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'mmcv._ext', None)  # its import fails
    assert doctor.check_operators().status == MISSING
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    monkeypatch.setattr(torch.distributed, 'is_nccl_available', lambda: False)
    assert doctor.check_backend().status == MISSING
    monkeypatch.setattr(torch, 'ones', _broken)
    assert 'mend its driver' in doctor.check_gpus().cure


def _broken(*args, **kwargs):
    raise RuntimeError('CUDA error: no kernel image')


def test_work_dir_without_permission(tmp_path) -> None:
    if os.geteuid() == 0:
        pytest.skip('root may write anywhere')
    (tmp_path / 'closed').mkdir(mode=0o500)
    assert doctor.check_work_dir(str(tmp_path / 'closed')).status == MISSING


def test_tiny_config(examine) -> None:
    assert examine(TINY)[0] == 0


def test_the_forks_are_found_by_what_they_are_imported_as(monkeypatch) -> None:
    installed = {'onedl-mmengine': '0.10.12', 'onedl-mmdetection': '3.5.1', 'mmcv-lite': '2.1.0', 'torch': '2.14.1'}

    def version(name: str) -> str:
        if name not in installed:
            raise doctor.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor.metadata, 'version', version)
    checks = {check.name: check for check in doctor.check_versions()}
    assert [checks[name].status for name in ('mmengine', 'mmdet', 'torch')] == [OK] * 3
    assert checks['timm'].status == MISSING and doctor._version('mmcv') == '2.1.0'
