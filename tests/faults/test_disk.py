"""A disk that is full at a checkpoint: a sentence, and the files before are whole."""

import os

import pytest
import torch

from tests.faults.command import run_to_end, weights
from tests.faults.exact import assert_same


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='no /dev/full, a device that is always full')
def test_disk_full_at_the_second_checkpoint(where, tmp_path, undisturbed, seen) -> None:
    """The second file's name leads to a device on which every write finds no space."""
    folder, changes = tmp_path / 'run', dict(train_cfg__max_epochs=3, default_hooks__checkpoint__max_keep_ckpts=1)
    assert run_to_end(tmp_path, where, train_cfg__max_epochs=1)[0] == 0
    (folder / 'epoch_2.pth').symlink_to('/dev/full')
    status, output = run_to_end(tmp_path, where, '--resume', **changes)
    assert status == 2 and output.count('the disk is full') == 1 and 'Traceback' not in output, output
    torch.load(folder / 'epoch_1.pth', weights_only=False)
    assert (folder / 'last_checkpoint').read_text().strip().endswith('epoch_1.pth')
    (folder / 'epoch_2.pth').unlink()
    status, output = run_to_end(tmp_path, where, '--resume', **changes)
    assert status == 0, output
    assert_same(weights(tmp_path), undisturbed(where))
    outcome = 'status 2, a sentence, the first whole; `--resume` goes on to the same bits'
    seen('Disk full at a checkpoint', 'no space left at the second checkpoint', outcome, where)
