"""What a bench hands to its runs, and what it keeps of them: options, fingerprints, where a run came from."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from mmengine.config import Config

from hsakd_mm.engine.options import parse_value
from hsakd_mm.experiments.bench import Bench, as_words
from hsakd_mm.files import sha256
from tests.experiments.test_equal_cost import bench  # noqa: F401

VALUES = [
    *('a,b', '0012', '1e5', 'None', 'true', '', ' a', "it's", '[a', 'dict(', '(1)', 'plain text', 'data/a b'),
    *(None, True, 1, 1.0, 1e-5, float('inf'), [], ['a', '1'], ['a', 'b'], [1, [2, 'c,d']], [(0, 16), (0.5, 32)]),
    *({'type': 'A', 'size': 2}, [{'type': 'A', 'at': (1, 2)}], {}),
]


@pytest.mark.parametrize('value', VALUES, ids=repr)
def test_a_run_gets_the_value_of_the_file(value) -> None:
    (word,) = as_words({'model.a': value})
    read = parse_value(word.removeprefix('model.a='))
    assert repr(read) == repr(value)


def test_words_are_as_short_as_one_types_them() -> None:
    values = dict(a=[1, 2], b=(1, 2), c='data/train', d=0.1, e=None, f=['x', 'y'])
    assert as_words(values) == ['a=[1,2]', 'b=[1,2]', 'c=data/train', 'd=0.1', 'e=None', 'f=[x,y]']


@pytest.fixture
def trained(bench, monkeypatch):  # noqa: F811
    """Trains a run of the bench in the work directory ``runs`` of this folder, without a child."""
    bench()
    root = Path.cwd()
    (root / 'elsewhere').mkdir()

    def run(name: str, **kwargs):
        made = {run.name: run for run in Bench(str(root / 'bench.py'), [0], str(root / 'runs'), **kwargs).runs}
        return made[name]

    def child(command, title, log) -> None:
        for each in ('teacher', 'KD'):
            if each in title:
                checkpoint = Path(run(each).checkpoint)
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                checkpoint.write_text(each)

    monkeypatch.setattr('hsakd_mm.experiments.stage.run_child', child)
    return run


def test_a_finished_run_is_finished_in_every_folder(trained, monkeypatch) -> None:
    for name in ('teacher', 'KD'):
        trained(name).stage.run()
    monkeypatch.chdir('elsewhere')
    assert trained('teacher').stage.is_done() and trained('KD').stage.is_done()
    changed = {'optim_wrapper.optimizer.lr': 0.5}
    assert not trained('KD', options=changed, words=as_words(changed)).stage.is_done()
    Path(trained('teacher').checkpoint).write_text('another teacher')
    assert not trained('KD').stage.is_done()
    trained('teacher').stage.run()
    assert not list(Path(trained('teacher').checkpoint).parent.parent.glob('*.old*'))


def test_a_record_of_earlier_code_stays_valid(trained, monkeypatch) -> None:
    """That code took the whole command, the text of the config, and the inputs."""
    for name in ('teacher', 'KD'):
        trained(name).stage.run()
    stage = trained('KD').stage
    parts = [*stage.command, Config.fromfile(stage.configs[0]).pretty_text, *map(sha256, stage.inputs)]
    record = Path(stage.folder, 'stage.json')
    old = hashlib.sha256('\n'.join(parts).encode()).hexdigest()
    record.write_text(json.dumps({**json.loads(record.read_text()), 'fingerprint': old}))
    assert trained('KD').stage.is_done()
    monkeypatch.chdir('elsewhere')
    assert not trained('KD').stage.is_done()


def test_a_run_came_from_the_code_that_it_started_with(trained, monkeypatch) -> None:
    """Its child says so; by its end the user may have committed what was changed."""
    run = trained('teacher')
    monkeypatch.setattr(type(run), 'validations', lambda self: [(self.cfg.train_cfg.max_epochs, 50.0)])
    monkeypatch.setattr(
        'hsakd_mm.experiments.pretraining.provenance',
        lambda command, seed: dict(command=command, seed=seed, commit='at the end', dirty=False, torch='2', date='b'),
    )
    run.command = 'the command'
    run.run()
    assert run.origin()['commit'] == 'at the end'  # of a run that left no word
    os.remove(run.checkpoint)
    started = dict(command='tools/train.py', seed=5, commit='at the start', dirty=True, torch='1', date='a')
    Path(run.stage.folder, 'provenance.json').write_text(json.dumps(started))
    run.run()
    origin = run.origin()
    assert {key: origin[key] for key in started} == {**started, 'command': 'the command', 'seed': 7}
