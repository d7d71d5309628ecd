"""``hsakd-mm``: its commands, configs named as a package's, several processes."""

import json

import pytest

from hsakd_mm.commands import main as entry
from hsakd_mm.commands.several_gpus import _without_gpus
from hsakd_mm.engine.named_config import config_name, config_path
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.provenance import typed_command
from hsakd_mm.version import __version__
from tests.tools.commands import ROOT, TINY, assert_sentence, python


def hsakd_mm(*words, cwd, **options):
    return python('-m', 'hsakd_mm', *words, cwd=cwd, **options)


def test_without_a_command_it_lists_them(tmp_path) -> None:
    done = hsakd_mm(cwd=tmp_path)
    assert done.returncode == 0
    assert all(name in done.stdout for name in entry.COMMANDS)
    assert hsakd_mm('--version', cwd=tmp_path).stdout == f'hsakd_mm {__version__}\n'


@pytest.mark.parametrize('name', entry.COMMANDS)
def test_every_command_explains_itself(name, tmp_path) -> None:
    done = hsakd_mm(name, '--help', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f'usage: hsakd-mm {name} ')


def test_the_tools_of_a_checkout_are_the_same_commands() -> None:
    for _, (module, _) in entry.COMMANDS.items():
        shim = (ROOT / 'tools' / f'{module}.py').read_text()
        assert f'from hsakd_mm.commands import {module}\n' in shim and f'run({module})' in shim


def test_mistakes_are_one_sentence(tmp_path) -> None:
    assert_sentence(hsakd_mm('trian', cwd=tmp_path), 'a command was expected (train, test', 'got trian')
    assert_sentence(hsakd_mm('train', 'nowhere.py', cwd=tmp_path), 'no such file')
    assert_sentence(hsakd_mm('train', 'hsakd_mm::hsakd/imagenet_r34_r8.py', cwd=tmp_path), 'imagenet_r34_r18.py')


def test_two_processes_train_and_one_tests(tmp_path) -> None:
    done = hsakd_mm('train', TINY, '--gpus', '2', cwd=tmp_path, PORT=29731)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Distributed launcher: pytorch' in done.stdout + next(tmp_path.glob('work_dirs/*/*/*.log')).read_text()
    origin = json.loads(next(tmp_path.glob('work_dirs/*/provenance.json')).read_text())
    assert origin['command'] == f'hsakd-mm train {TINY} --gpus 2'
    checkpoint = next(tmp_path.glob('work_dirs/*/epoch_*.pth'))
    done = hsakd_mm('test', TINY, checkpoint, '--out', 'metrics.json', cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / 'metrics.json').read_text())['checkpoint'] == str(checkpoint)


@pytest.mark.parametrize('words', [['--gpus', '2'], ['--gpus=2'], ['--gp', '2'], ['--g=2']])
def test_workers_are_not_told_how_many_they_are(words) -> None:
    """In all forms that argparse takes; else each would start workers of its own."""
    assert _without_gpus(['x.py', *words, '--amp', '--work-dir', 'g']) == ['x.py', '--amp', '--work-dir', 'g']


def test_a_config_is_named_as_its_package_has_it(tmp_path, monkeypatch) -> None:
    assert config_path('some/file.py') == 'some/file.py'
    monkeypatch.chdir(tmp_path)
    assert config_path('hsakd_mm::hsakd/own_r34_r18.py') == str(ROOT / 'configs/hsakd/own_r34_r18.py')
    monkeypatch.chdir(ROOT)
    assert config_path('hsakd_mm::hsakd/own_r34_r18.py') == 'configs/hsakd/own_r34_r18.py'
    assert config_path('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').endswith('_coco.py')


def test_the_name_of_a_config_is_the_reverse_of_its_path(tmp_path, monkeypatch) -> None:
    name = 'hsakd_mm::hsakd/own_r34_r18.py'
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'own.py').touch()
    for path, expected in {config_path(name): name, 'own.py': 'own.py', str(tmp_path / 'own.py'): 'own.py'}.items():
        assert config_name(path) == expected
    assert config_name('/elsewhere/own.py') == '/elsewhere/own.py'
    monkeypatch.chdir(ROOT)
    assert config_name(config_path(name)) == 'configs/hsakd/own_r34_r18.py'


@pytest.mark.parametrize(
    'name, said',
    [
        ('hsakd_mm::hsakd/own_r34_r81.py', r'did you mean hsakd/own_r34_r18\.py'),
        ('no_such_package::a.py', 'no_such_package, which is not installed'),
        ('json::a.py', 'there are none: install the package with pip'),
        ('.../mm::a.py', 'not installed'),
    ],
)
def test_a_wrong_name_is_one_sentence(name, said) -> None:
    with pytest.raises(UserError, match=said):
        config_path(name)


@pytest.mark.parametrize(
    'argv, typed',
    [
        (['hsakd-mm transfer', 'a b.pth'], "hsakd-mm transfer 'a b.pth'"),
        ([str(ROOT / 'tools' / 'train.py'), 'x.py'], 'python tools/train.py x.py'),
        (['/elsewhere/mine.py'], 'python /elsewhere/mine.py'),
    ],
)
def test_a_record_has_the_command_as_typed(argv, typed, monkeypatch) -> None:
    monkeypatch.setattr('sys.argv', argv)
    assert typed_command() == typed
