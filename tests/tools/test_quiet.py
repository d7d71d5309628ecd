"""What a training and a test show in the terminal, and what is only in the log file."""

import logging

import pytest
from mmengine.logging import MMLogger, print_log

from hsakd_mm.engine import quiet
from tests.tools.commands import ROOT, TINY, python

TRAIN, TEST = ROOT / 'tools/train.py', ROOT / 'tools/test.py'
# The beginnings of what mmengine dumps before the first step.
DUMPS = ('System environment:', 'Config:', 'Hooks will be executed', 'Checkpoints will be saved', 'Exp name:')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """``(folder, what the terminal showed)`` of one epoch."""
    folder = tmp_path_factory.mktemp('quiet')
    done = python(TRAIN, TINY, '--work-dir', 'run', '--cfg-options', 'train_cfg.max_epochs=1', cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_one_screen_before_the_first_step(trained):
    folder, said = trained
    (log,) = folder.glob('run/*/*.log')
    start, rest = said.split('Epoch(train) [1][1/4]')
    assert 10 <= len(start.splitlines()) <= 20
    for row in (
        f'Training {TINY}',
        'data        TinySet, 16 images to train on, 16 to validate on',
        'batch       4 images a step',
        'network     TinyModel: 15 parameters',
        'optimizer   SGD, lr 0.1, momentum 0.9',
        'length      1 epoch of 4 steps: 4 steps',
        'device      CPU, 1 thread, float32, seed 0',
        'start       from the beginning',
        f'log         {log.relative_to(folder)}, with the environment and the whole config',
        'lr is for 8 images a step and this run has 4',
    ):
        assert row in start
    assert 'eta: ' in rest and 'tiny/accuracy: ' in rest
    assert not [dump for dump in DUMPS if dump in said]


def test_the_log_file_has_everything(trained):
    folder, _ = trained
    (log,) = folder.glob('run/*/*.log')
    content = log.read_text()
    assert not [dump for dump in DUMPS if dump not in content]
    assert 'network     TinyModel: 15 parameters' in content and 'lr is for 8 images' in content
    assert 'Epoch(train) [1][4/4]' in content and len(content.splitlines()) > 150


def test_verbose_shows_everything(trained, tmp_path):
    done = python(
        TRAIN, TINY, '--work-dir', 'run', '--verbose', '--cfg-options', 'train_cfg.max_epochs=1', cwd=tmp_path
    )
    assert done.returncode == 0 and not [dump for dump in DUMPS if dump not in done.stdout]
    assert '- mmengine - INFO - Epoch(train) [1][1/4]' in done.stdout


def test_a_test_is_quiet(trained, tmp_path):
    folder, _ = trained
    checkpoint = folder / 'run/epoch_1.pth'
    done = python(TEST, TINY, checkpoint, '--work-dir', 'run', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (log,) = tmp_path.glob('run/*/*.log')
    assert f'Testing {checkpoint} on 16 images' in done.stdout and str(log.relative_to(tmp_path)) in done.stdout
    assert 'tiny/accuracy: ' in done.stdout and len(done.stdout.splitlines()) < 10
    assert 'System environment:' not in done.stdout and 'System environment:' in log.read_text()


def logs_as(module: str, *args) -> None:
    """Log as code of this module does; a code object of its own, as the filter looks at whose frame it is."""
    exec('print_log(*args)', dict(__name__=module, print_log=print_log, args=args))


def test_who_is_heard_before_the_first_step(capsys, tmp_path):
    logger = MMLogger.get_instance('quiet', log_file=str(tmp_path / 'log'))
    quiet.make_quiet(logger)
    quiet.make_quiet(logger)
    logs_as('mmengine.runner', 'a dump', logger)
    logs_as('mmdet.datasets', 'another', logger)
    logs_as('mmengine.runner', 'a warning', logger, logging.WARNING)
    logs_as('mmdet.models', 'an error', logger, logging.ERROR)
    logs_as('mmengine.runner', 'resumed epoch: 3, iter: 12', logger)
    logs_as('hsakd_mm.engine.hooks', 'of ours', logger)
    logs_as('my_project.hooks', "of a user's", logger)
    with quiet.prints_into_log(logger):
        print('creating index...\nin two')
    said = capsys.readouterr().out
    shown = ('a warning', 'an error', 'resumed epoch: 3', 'of ours', "of a user's")
    assert [line for line in shown if line not in said] == [] and len(said.splitlines()) == len(shown)
    quiet.end_start(logger)
    logs_as('mmdet.evaluation', 'a table', logger)
    logs_as('mmengine.hooks', 'Exp name: x', logger)
    assert 'a table' in (said := capsys.readouterr().out) and 'Exp name' not in said
    content = (tmp_path / 'log').read_text()
    assert all(f'INFO - {each}' in content for each in ('a dump', 'another', 'a table', 'Exp name: x', 'in two'))
    for handler in logger.handlers:
        handler.close()
