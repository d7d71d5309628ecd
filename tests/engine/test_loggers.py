"""TensorBoard, W&B and MLflow with their own packages, without a network: one run for a training that was resumed."""

import argparse
import contextlib
import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from hsakd_mm.engine.loggers import run as loggers
from hsakd_mm.engine.loggers.remembered import OneRun
from hsakd_mm.errors import UserError
from tests.engine.logged import mlflow_runs, tensorboard_scalars, wandb_run
from tests.tools.commands import ROOT, TINY, assert_sentence, bash, python

TRAIN = ROOT / 'tools/train.py'
PACKAGES = ('tensorboard', 'wandb', 'mlflow')
INSTALLED = [name for name in PACKAGES if find_spec(name)]
# MLflow's import alone takes several seconds where others use the cores, too.
OPTIONS = dict(timeout=400, WANDB_MODE='offline', WANDB_SILENT='true', MLFLOW_TRACKING_URI='', WANDB_PROJECT='tiny')

needs = {
    name: pytest.mark.skipif(name not in INSTALLED, reason=f"needs {name}: pip install 'hsakd_mm[loggers]'")
    for name in PACKAGES
}


@pytest.fixture(scope='module')
def logged(tmp_path_factory) -> SimpleNamespace:
    """The folder and the logs of a training that stopped after the first of two epochs and was resumed."""
    if not INSTALLED:
        pytest.skip("needs tensorboard, wandb or mlflow: pip install 'hsakd_mm[loggers]'")
    folder = tmp_path_factory.mktemp('logged')
    options = ['default_hooks.draws.type=Draws', 'auto_scale_lr.enable=True']
    command = [TRAIN, TINY, '--work-dir', 'run', *(f'--{name}' for name in INSTALLED), '--cfg-options', *options]
    first = python(*command, 'train_cfg.max_epochs=1', cwd=folder, **OPTIONS)
    assert first.returncode == 0, first.stdout + first.stderr
    command.insert(2, '--resume')
    second = python(*command, cwd=folder, **OPTIONS)
    assert second.returncode == 0, second.stdout + second.stderr
    local = [
        json.loads(line) for log in sorted(folder.glob('run/*/vis_data/scalars.json')) for line in log.open() if line
    ]
    return SimpleNamespace(
        folder=folder / 'run',
        said=first.stdout,
        # What mmengine's own backend wrote: training steps in iterations, validations in epochs of four of them.
        losses={each['iter']: each['loss'] for each in local if 'loss' in each},
        accuracies={each['step'] * 4: each['tiny/accuracy'] for each in local if 'tiny/accuracy' in each},
    )


def remembered(logged) -> dict:
    return json.loads((logged.folder / 'loggers.json').read_text())


def test_the_steps_that_are_compared(logged):
    assert sorted(logged.losses) == [*range(1, 9)] and sorted(logged.accuracies) == [4, 8]
    assert sorted(remembered(logged)) == sorted(INSTALLED)


@needs['tensorboard']
def test_tensorboard(logged):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = list(logged.folder.rglob('events.out.tfevents.*'))
    (folder,) = {file.parent for file in files}
    assert len(files) == 2 and str(folder.relative_to(logged.folder)) == remembered(logged)['tensorboard']
    assert f'TensorBoard: tensorboard --logdir run/{remembered(logged)["tensorboard"]}' in logged.said
    scalars = tensorboard_scalars(folder)
    assert scalars['loss'] == pytest.approx(logged.losses)
    assert scalars['tiny/accuracy'] == pytest.approx(logged.accuracies)
    assert sorted(scalars['val/time']) == [4, 8] and sorted(scalars['time']) == [*range(1, 9)]
    events = EventAccumulator(str(folder), size_guidance={'tensors': 0}).Reload()
    assert events.Tags()['images'] == ['drawn'] and {each.step for each in events.Images('drawn')} == {4, 8}
    (config, *_) = events.Tensors('config/text_summary')
    assert b"type='TinyModel'" in config.tensor_proto.string_val[0]


@needs['tensorboard']
def test_tensorboard_hides_what_came_after_the_checkpoint(tmp_path):
    """A killed run has written steps that the resumed one takes again."""
    cfg = Config(dict(work_dir=str(tmp_path), resume=False))
    for resume, steps, value in ((False, (1, 2, 3, 4), 1.0), (True, (3, 4, 5), 2.0)):
        backend = loggers.TensorboardVisBackend(save_dir=str(tmp_path / str(resume) / 'vis_data'))
        backend.add_config(Config({**cfg, 'resume': resume}))
        backend.begin(SimpleNamespace(iter=2 if resume else 0))
        for step in steps:
            backend.add_scalars(dict(loss=value, iter=step), step, file_path='log.json')
        backend.close()
    (folder,) = {file.parent for file in tmp_path.rglob('events.*')}
    assert tensorboard_scalars(folder)['loss'] == {1: 1, 2: 1, 3: 2, 4: 2, 5: 2}


@needs['wandb']
def test_wandb(logged):
    folders = sorted((logged.folder / 'wandb').glob('offline-run-*'))
    first, second = map(wandb_run, folders)  # an offline run writes one folder for each start, with the same id
    assert first.id == second.id == remembered(logged)['wandb']
    assert (first.project, first.name, first.exit, second.exit) == ('tiny', 'run', 0, 0)
    assert first.config['model']['type'] == 'TinyModel' and second.config['train_cfg']['max_epochs'] == 2
    for name, expected in (('loss', logged.losses), ('tiny/accuracy', logged.accuracies)):
        rows = [*first.history.items(), *second.history.items()]
        assert {step: row[name] for step, row in rows if name in row} == pytest.approx(expected)
    assert list((folders[0] / 'files/media/images').glob('drawn*.png'))


@needs['mlflow']
def test_mlflow(logged):
    ((run, metrics),) = mlflow_runs(logged.folder)
    assert run.info.run_id == remembered(logged)['mlflow']['run_id']
    assert (run.info.run_name, run.info.status) == ('run', 'FINISHED')
    assert run.data.params['model.type'] == 'TinyModel'
    assert run.data.params['train_cfg.max_epochs'] == '1'  # MLflow lets no parameter change
    assert metrics['loss'] == pytest.approx(logged.losses)
    assert metrics['tiny/accuracy'] == pytest.approx(logged.accuracies)
    artifacts = Path(run.info.artifact_uri.removeprefix('file://'))
    assert "type='TinyModel'" in (artifacts / 'config.py').read_text()
    assert sorted(path.name for path in (artifacts / 'images').iterdir()) == ['drawn_4.png', 'drawn_8.png']
    assert len(list(artifacts.glob('*/*.log'))) == 2 and artifacts.is_relative_to(logged.folder)


@needs['mlflow']
def test_a_failed_training_is_no_finished_run(tmp_path):
    """Named in the config alone, as MMDetection's users do."""
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = '{TINY}'\n"
        "visualizer = dict(type='Visualizer', vis_backends=[dict(type='MLflowVisBackend', run_name='broken')])\n"
        'train_dataloader = dict(dataset=dict(broken=5))\n'
    )
    assert_sentence(python(TRAIN, config, '--work-dir', 'run', cwd=tmp_path, **OPTIONS), 'sample 5 cannot be read')
    ((run, _),) = mlflow_runs(tmp_path / 'run')
    assert (run.info.run_name, run.info.status) == ('broken', 'FAILED')


@needs['wandb']
def test_nobody_has_logged_in(tmp_path):
    online = dict(OPTIONS, WANDB_MODE='online', WANDB_API_KEY='', HOME=tmp_path)
    done = python(TRAIN, TINY, '--wandb', '--work-dir', 'run', cwd=tmp_path, **online)
    assert_sentence(done, 'a run of W&B was to begin', 'API key', 'WANDB_MODE=offline')


@needs['tensorboard']
def test_one_of_two_ranks_writes(tmp_path):
    done = bash('dist_train.sh', TINY, 2, '--work-dir', 'run', '--tensorboard', cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('TensorBoard: ') == 1 and done.stdout.count('network     TinyModel') == 1
    (file,) = (tmp_path / 'run').rglob('events.*')
    assert sorted(tensorboard_scalars(file.parent)['loss']) == [1, 2, 3, 4]


@pytest.mark.parametrize('kind', loggers.BACKENDS)
def test_a_package_that_is_not_installed(kind, monkeypatch):
    """The mock stands for an environment without the package, which the tests' own has."""
    monkeypatch.setattr(loggers, 'find_spec', lambda name: None)
    asked = argparse.Namespace(**{kind.kind: True})
    with pytest.raises(UserError, match=rf'{kind.package}, which is not installed: .*hsakd_mm\[loggers\]'):
        loggers.use_loggers(Config(), asked)
    named = dict(visualizer=dict(type='Visualizer', vis_backends=[dict(type=kind.__name__)]))
    with pytest.raises(UserError, match='hsakd_mm'):
        loggers.use_loggers(Config(named))


def test_what_the_config_says_stays(monkeypatch):
    monkeypatch.setattr(loggers, 'find_spec', lambda name: True)
    backends = [dict(type='LocalVisBackend'), dict(type='mmengine.WandbVisBackend', init_kwargs=dict(project='mine'))]
    cfg = Config(dict(visualizer=dict(type='DetLocalVisualizer', name='visualizer', vis_backends=backends)))
    loggers.use_loggers(cfg, argparse.Namespace(wandb=True, tensorboard=True, mlflow=False))
    assert cfg.visualizer == dict(
        type='DetLocalVisualizer',
        name='visualizer',
        vis_backends=[
            dict(type='LocalVisBackend'),
            dict(type='hsakd_mm.WandbVisBackend', init_kwargs=dict(project='mine')),
            dict(type='hsakd_mm.TensorboardVisBackend'),
        ],
    )
    plain = Config(dict(model=dict()))
    loggers.use_loggers(plain)
    assert 'visualizer' not in plain


@pytest.mark.parametrize(
    'error, state',
    [(None, None), (SystemExit(75), 'preempted'), (KeyboardInterrupt(), 'killed'), (ValueError(), 'failed')],
)
def test_how_a_training_ended(error, state):
    class Backend(OneRun):
        state = None

        def end(self, state: str) -> None:
            self.state = state

    backend = Backend()
    runner = SimpleNamespace(visualizer=SimpleNamespace(_vis_backends=dict(one=backend)))
    with contextlib.suppress(type(error)) if error else contextlib.nullcontext():
        with loggers.loggers_that_see_the_end(runner):
            if error is not None:
                raise error
    assert backend.state == state
