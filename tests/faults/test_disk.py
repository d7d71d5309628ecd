"""A disk that is full at a checkpoint: a sentence, and the files before are whole."""

import os
import shutil

import pytest
import torch

from tests.tools.commands import ROOT, TINY, python

ROW = 'Disk full at a checkpoint'


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='no /dev/full, a device that is always full')
def test_disk_full_at_the_second_checkpoint(tmp_path, seen) -> None:
    """The second file's name leads to a device on which every write finds no space."""
    first = python(ROOT / 'tools/train.py', TINY, '--work-dir', 'whole', cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    keep, train = 'default_hooks.checkpoint.max_keep_ckpts=1', [ROOT / 'tools/train.py', TINY, '--work-dir', 'run']
    begun = python(*train, '--cfg-options', 'train_cfg.max_epochs=1', cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    (tmp_path / 'run/epoch_2.pth').symlink_to('/dev/full')
    done = python(*train, '--resume', '--cfg-options', keep, cwd=tmp_path)
    assert done.returncode == 2 and 'the disk is full' in done.stderr and 'Traceback' not in done.stderr, done.stderr
    torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)
    assert (tmp_path / 'run/last_checkpoint').read_text().strip().endswith('epoch_1.pth')
    (tmp_path / 'run/epoch_2.pth').unlink()
    again = python(ROOT / 'tools/train.py', TINY, '--work-dir', 'run', '--resume', cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    whole, mended = (torch.load(tmp_path / name / 'epoch_2.pth', weights_only=False) for name in ('whole', 'run'))
    assert all(torch.equal(value, mended['state_dict'][key]) for key, value in whole['state_dict'].items())
    seen(
        ROW, 'no space left at the second checkpoint', 'status 2, a sentence, the first whole; --resume goes on from it'
    )
    shutil.rmtree(tmp_path / 'run')
