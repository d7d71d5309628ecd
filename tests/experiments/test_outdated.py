"""A run with other settings in the folder of another: that is moved aside, and never while it runs."""

import importlib.util
import os

import pytest

from hsakd_mm.engine.work_dir_lock import only_run
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.stage import Stage
from hsakd_mm.files import sha256
from tests.trained_backbones import write_checkpoint

needs_mmdet = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason='mmdet is not installed')
OTHER = {'optim_wrapper.optimizer.lr': 0.5}


@needs_mmdet
@pytest.mark.parametrize('start', ['check', 'run'])
@pytest.mark.parametrize('folder', ['here', 'here/'])
def test_a_detector_that_runs_stays_where_it_is(started, start, folder) -> None:
    started(work_dir='here').train()
    other = started(work_dir=folder, options=OTHER)
    with only_run('here'):
        with pytest.raises(UserError, match=f'here/? is in use by another run .process {os.getpid()} '):
            getattr(other, start)()
        assert os.listdir() == ['here']
    other.move_outdated_aside()
    assert sorted(os.listdir()) == ['here.old1']


def test_a_stage_that_runs_stays_where_it_is(tmp_path) -> None:
    script, folder = tmp_path / 'tool.py', tmp_path / 'stage'
    script.write_text(f"open({str(folder / 'out')!r}, 'w').close()")

    def stage(*words: str) -> Stage:
        return Stage(str(folder), 'title', [str(script), *words], str(folder / 'out'))

    stage().run()
    with only_run(str(folder)), pytest.raises(UserError, match='in use by another run'):
        stage('--other').run()
    assert stage().is_done() and len(os.listdir(tmp_path)) == 2
    stage('--other').run()
    assert stage('--other').is_done() and (tmp_path / 'stage.old1' / 'out').exists()


@needs_mmdet
@pytest.mark.parametrize('place', ['far', 'here'])
def test_the_weights_that_it_starts_from_stay(started, tmp_path, place) -> None:
    """Fetched ones are kept in the work directory; others may lie there."""
    path = tmp_path / place / 'student.pth'
    write_checkpoint(path, channels=(16, 32, 64, 128))
    checkpoint = path.as_uri() if place == 'far' else str(path)
    started(checkpoint, work_dir='here').train()
    other = started(checkpoint, work_dir='here', options=OTHER)
    with pytest.raises(UserError, match='data is not where'):  # which is looked for next
        other.check()
    assert os.path.isfile('here.old1/transfer.json')
    assert sha256(other.source.backbone.path) == other.source.backbone.sha256
    assert os.listdir('here') == [os.path.basename(other.source.backbone.path)]
    assert os.path.isfile(os.path.join('here.old1', os.path.basename(other.source.backbone.path)))
