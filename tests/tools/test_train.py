"""train.py and test.py as a user runs them."""

import json
import os
import runpy
import signal
import subprocess

import pytest
import torch

from tests.tools.commands import ROOT, TINY, assert_sentence, environment, python
from tests.tools.prestarted import prestarted

TRAIN, TEST = ROOT / 'tools' / 'train.py', ROOT / 'tools' / 'test.py'


def weights(path) -> dict:
    import hsakd_mm  # noqa: F401  lets torch read mmengine's checkpoints

    return torch.load(path, weights_only=True)['state_dict']


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A finished run of two epochs, with the default work directory."""
    folder = tmp_path_factory.mktemp('trained')
    done = python(TRAIN, TINY, cwd=folder, PYTHONPATH='')  # finds the repository by itself
    assert done.returncode == 0, done.stderr
    return folder / 'work_dirs' / 'tiny_config'


@pytest.mark.parametrize(
    'loop, told',
    [
        ('', dict(epoch=2, epochs=2, iter=8, iters=8, validated=2)),
        (
            "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=3, val_interval=3)",
            dict(epoch=None, epochs=None, iter=3, iters=3, validated=3),
        ),
    ],
)
def test_progress_is_told_to_a_parent(loop, told, tmp_path) -> None:
    file, config = tmp_path / 'progress.json', tmp_path / 'config.py'
    config.write_text(f"_base_ = '{TINY}'\n{loop}\n")
    done = python(TRAIN, config, cwd=tmp_path, HSAKD_MM_PROGRESS=file)
    assert done.returncode == 0, done.stderr
    progress = json.loads(file.read_text())
    assert {key: progress.get(key) for key in told} == told
    assert progress['loss'] > 0 and progress['seconds_left'] == 0 and progress['result']


def test_config_not_found(tmp_path):
    assert_sentence(python(TRAIN, 'nothing.py', cwd=tmp_path), 'nothing.py', 'no such file')


def test_bad_sample_in_a_worker(tmp_path):
    assert_sentence(
        python(
            TRAIN,
            TINY,
            '--cfg-options',
            'train_dataloader.num_workers=1',
            'train_dataloader.dataset.broken=5',
            cwd=tmp_path,
        ),
        'sample 5 cannot be read',
    )


def test_what_tests_start_takes_ctrl_c(tmp_path):
    assert 'default_int_handler' in python('-c', 'import signal; print(signal.getsignal(2))', cwd=tmp_path).stdout


def test_tests_run_in_a_background_job():
    """A shell has its background jobs ignore Ctrl-C, which would be handed down to all that they start."""
    if (child := os.fork()) == 0:
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            runpy.run_path(str(ROOT / 'tests/conftest.py'))
            status = int(signal.getsignal(signal.SIGINT) is not signal.default_int_handler)
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_interrupt_and_resume(trained, tmp_path):
    os.mkfifo(tmp_path / 'gate')
    process = subprocess.Popen(
        [prestarted(), TRAIN, TINY, '--amp', '--cfg-options', f'train_dataloader.dataset.gate={tmp_path / "gate"}'],
        cwd=tmp_path,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    first = tmp_path / 'work_dirs' / 'tiny_config' / 'last_checkpoint'
    for line in process.stdout:
        if 'Epoch(val) [1]' in line:  # saved, validated, and now it waits at the gate
            break
    assert first.exists()
    process.send_signal(signal.SIGINT)
    errors, _ = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert 'Traceback' not in errors and 'interrupted: ' in errors and '--resume' in errors

    done = python(TRAIN, TINY, '--resume', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'resumed epoch: 1' in done.stdout + done.stderr
    log = sorted(first.parent.glob('*/vis_data/scalars.json'))[0].read_text()
    assert json.loads(log.splitlines()[0])['half'] == 1  # --amp computed in bfloat16
    # The second epoch was the same, whatever the first's numeric format left of a difference.
    resumed, whole = weights(first.parent / 'epoch_2.pth'), weights(trained / 'epoch_2.pth')
    for key in whole:
        torch.testing.assert_close(resumed[key], whole[key], rtol=0.05, atol=0.05)


def test_metrics_as_json(trained, tmp_path):
    out = tmp_path / 'made' / 'metrics.json'
    done = python(TEST, TINY, trained / 'epoch_2.pth', '--out', out, cwd=tmp_path, PYTHONPATH='')
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    assert content['metrics']['tiny/images'] == 16 and len(content['sha256']) == 64


def test_load_from_is_strict(trained, tmp_path):
    done = python(TRAIN, TINY, '--cfg-options', f'load_from={trained / "epoch_2.pth"}', 'model.classes=5', cwd=tmp_path)
    assert_sentence(done, 'of another shape', 'epoch_2.pth')


def test_preflight_of_hooks_comes_first(tmp_path):
    done = python(TRAIN, TINY, '--cfg-options', 'default_hooks.refusing.type=Refusing', cwd=tmp_path)
    assert_sentence(done, 'nothing to learn from')


def test_disk_that_is_full(tmp_path):
    """On a real file system of 64 KB: refused before training, with status 2."""
    if os.geteuid() != 0:
        pytest.skip('mounting a small tmpfs needs root')
    disk = tmp_path / 'disk'
    disk.mkdir()
    mount = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f'no tmpfs can be mounted here: {mount.stderr.strip()}')
    try:
        done = python(TRAIN, TINY, '--work-dir', disk, '--cfg-options', 'model.classes=4000', cwd=tmp_path)
        assert_sentence(done, 'are free')
    finally:
        subprocess.run(['umount', '-l', disk], check=False)
