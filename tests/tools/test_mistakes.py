"""Which exceptions become a sentence, and which keep their traceback."""

import errno
import re
import sys

import pytest
import torch
from mmengine.registry import VISBACKENDS, DefaultScope

from hsakd_mm.engine.launch import user_errors
from hsakd_mm.engine.user_messages import user_message
from hsakd_mm.errors import UserError
from hsakd_mm.registry import HOOKS, MODELS, OPTIMIZERS
from tests.tools.tiny import TinySet


def caught(function, *args, **kwargs) -> BaseException:
    with pytest.raises(BaseException) as info:
        function(*args, **kwargs)
    return info.value


def test_user_error_is_found_where_it_was_wrapped():
    def wrapped():
        try:
            raise UserError('put it\n  right.')
        except UserError as error:
            raise RuntimeError('something failed') from error

    assert user_message(UserError('put it right.')) == 'put it right.'
    assert user_message(caught(wrapped)) == 'put it right.'


def test_user_error_of_a_dataloader_worker_comes_without_its_traceback():
    text = (
        'Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent '
        'call last):\n  File "a.py", line 3\nhsakd_mm.errors.UserError: put it right.\n'
    )
    assert user_message(UserError(text)) == 'put it right.'


@pytest.mark.parametrize(
    'error',
    [
        ValueError('a bug'),
        KeyError('a bug'),
        OSError(errno.EIO, 'Input/output error'),
        TypeError("f() got an unexpected keyword argument 'x'"),
        TypeError("A.__init__() got an unexpected keyword argument 'x'"),
        RuntimeError('CUDA error: device-side assert triggered'),
        ImportError('cannot import name x'),
    ],
)
def test_a_bug_is_a_bug(error):
    assert user_message(error) is None
    with pytest.raises(type(error)), user_errors():
        raise error


@pytest.mark.parametrize(
    'error',
    [
        OSError(errno.ENOSPC, 'No space left on device', 'epoch_3.pth'),
        OSError('Caught OSError in DataLoader worker: No space left on device'),
        RuntimeError('[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0'),
        RuntimeError('PytorchStreamWriter failed writing file data/0: file write failed'),
    ],
)
def test_full_disk(error):
    sentence = user_message(error)
    assert sentence.startswith('the disk is full') and '--resume' in sentence
    if getattr(error, 'filename', None):
        assert 'epoch_3.pth' in sentence


@pytest.mark.parametrize(
    'error, word',
    [
        (torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB'), '--amp'),
        (RuntimeError('CUDA error: out of memory'), 'batch_size'),
        (
            RuntimeError(
                'DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that '
                "dataloader's workers are out of shared memory."
            ),
            '/dev/shm',
        ),
        (RuntimeError('unable to write to file </torch_7_1>: No space left on device (28)'), '--shm-size'),
    ],
)
def test_full_memory(error, word):
    assert word in user_message(error) and 'disk' not in user_message(error)


def test_misspelt_type_names_the_nearest():
    DefaultScope.get_instance('test_mistakes', scope_name='hsakd_mm')
    with DefaultScope.overwrite_default_scope('hsakd_mm'):
        sentence = user_message(caught(MODELS.build, dict(type='TinyModle')))
    assert 'TinyModle' in sentence and 'TinyModel' in sentence and 'custom_imports' in sentence


def test_wrong_argument_from_a_config_but_not_from_code():
    sentence = user_message(caught(MODELS.build, dict(type='TinyModel', clases=4)))
    assert 'TinyModel' in sentence and 'clases' in sentence
    sentence = user_message(caught(HOOKS.build, dict(type='LoggerHook', intervall=1)))
    assert 'intervall' in sentence
    sentence = user_message(caught(HOOKS.build, dict(type='EarlyStoppingHook')))
    assert 'EarlyStoppingHook' in sentence and 'monitor' in sentence

    @MODELS.register_module(force=True)
    class HasBug:
        def __init__(self, classes):
            TinySet(numbr=classes)

    assert user_message(caught(MODELS.build, dict(type='HasBug', classes=4))) is None


@pytest.mark.parametrize(
    'registry, config, said',
    [
        (HOOKS, dict(type='CheckpointHook', save_best='tiny/quality'), r'CheckpointHook .*Cannot infer the rule'),
        (HOOKS, dict(type='CheckpointHook', published_keys=3), r'CheckpointHook .*"published_keys" should be'),
        (HOOKS, dict(type='EMAHook', strict_load=True, begin_iter=1, begin_epoch=1), r'EMAHook .*not be both set'),
        (OPTIMIZERS, dict(type='SGD', params=[torch.zeros(1)], nesterov=True), r'SGD .*Nesterov momentum requires'),
    ],
)
def test_a_class_that_refuses_what_the_config_gives_it(registry, config, said):
    sentence = user_message(caught(registry.build, config))
    assert re.match(r'the config gives ' + said, sentence) and sentence.endswith('in --cfg-options.')


class Refuses:
    def __init__(self, positive) -> None:
        if positive < 0:
            raise ValueError('not positive')


class Compares(Refuses):
    def __init__(self, positive) -> None:
        super().__init__(positive)


class Makes:
    def __init__(self, positive) -> None:
        Refuses(positive)


class Silent:
    def __init__(self, positive) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    'kind, value, is_users',
    [(Refuses, -1, True), (Compares, -1, True), (Compares, 'one', False), (Makes, -1, False), (Silent, 2, False)],
)
def test_what_an_init_raises_by_itself_or_by_mistake(kind, value, is_users):
    """An operation that fails may be a bug, and so may what it gives to others."""
    sentence = user_message(caught(MODELS.build, dict(type=kind, positive=value)))
    assert (sentence is not None) is is_users and 'not positive' in (sentence or 'not positive')
    assert user_message(caught(kind, value)) is None  # a call in code


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    told = ModuleNotFoundError('mmdet is not installed, please install mmdet manually')
    for error in (
        told,
        ModuleNotFoundError("No module named 'mmdet'", name='mmdet.models'),
        KeyError('mmdet.FasterRCNN is not in the mmdet::model registry. Please'),
    ):
        assert "'hsakd_mm[det]'" in user_message(error)


@pytest.mark.parametrize(
    'package',
    [
        'Tensorboard torch.utils.tensorboard',
        'Wandb wandb',
        'MLflow mlflow',
        'ClearML clearml',
        'Neptune neptune',
        'Aim aim',
        'DVCLive pygit2',
    ],
)
def test_visualizer_backend_without_its_package(package, tmp_path, monkeypatch):
    kind, package = package.split()
    monkeypatch.setitem(sys.modules, package, None)  # also where it is installed
    backend = VISBACKENDS.build(dict(type=f'mmengine.{kind}VisBackend', save_dir=str(tmp_path)))
    sentence = user_message(caught(lambda: backend.experiment))
    assert sentence.startswith(f'{kind}VisBackend needs a package') and 'run pip install ' in sentence


@pytest.mark.parametrize('error, status', [(UserError('x'), 2), (KeyboardInterrupt(), 130)])
def test_exit_status(error, status, capsys):
    with pytest.raises(SystemExit) as info, user_errors('interrupted: go on.'):
        raise error
    assert info.value.code == status
    assert capsys.readouterr().err.strip() == ('error: x' if status == 2 else 'interrupted: go on.')


def test_a_rank_that_lost_another_leaves_it_the_word(monkeypatch, capsys):
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    monkeypatch.setattr('torch.distributed.is_initialized', lambda: True)
    with pytest.raises(SystemExit) as info, user_errors():
        raise RuntimeError('[pair.cc:547] Connection closed by peer [127.0.0.1]:30419')
    assert info.value.code == 1 and 'another process' in capsys.readouterr().err


def test_another_rank_waits_for_its_turn(monkeypatch, capsys):
    waited = []
    monkeypatch.setattr('time.sleep', waited.append)
    monkeypatch.setenv('RANK', '9')
    monkeypatch.setenv('LOCAL_RANK', '1')
    with pytest.raises(SystemExit), user_errors():
        raise UserError('x.')
    assert waited and waited[0] > 2
    assert capsys.readouterr().err == 'error: x. (rank 9)\n'


def test_a_misspelt_option_is_of_the_class_in_the_config_and_the_nearest_is_named():
    """HSAKD hands what it does not know to its bases; the last of these refuses it."""
    backbone = dict(type='CifarResNet', depth=8, num_classes=3)
    sentence = user_message(caught(MODELS.build, dict(type='HSAKD', backbone=backbone, kl_rotate=0)))
    assert 'gives HSAKD the argument kl_rotate' in sentence
    assert 'did you mean kl_rotated' in sentence


def test_a_config_of_the_package_is_named_with_it(refusal):
    assert '(did you mean hsakd_mm::hsakd/own_r34_teacher.py?)' in refusal('train.py', 'own_r34_teacher.py')
