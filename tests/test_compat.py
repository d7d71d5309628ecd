"""What hsakd_mm/compat.py mends in mmengine."""
import pickle

import pytest
import torch
from mmengine.config import Config

import hsakd_mm.compat as compat


def test_own_configs_can_be_inherited_by_name(tmp_path) -> None:
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'hsakd_mm::hsakd/imagenet_r34_r18.py'\nmodel = dict(temperature=4.)")
    cfg = Config.fromfile(config)
    assert (cfg.model.type, cfg.model.temperature) == ('HSAKD', 4.0)


class NotAWeight:
    pass


def test_a_checkpoint_still_cannot_run_code(tmp_path) -> None:
    torch.save(dict(state_dict={}, extra=NotAWeight()), tmp_path / 'x.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'x.pth')
    with pytest.raises(pickle.UnpicklingError, match='not allowed'):
        compat._history_statistic(dict, 'get')
