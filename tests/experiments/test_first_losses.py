"""The first losses of a run: taken without its teacher, and without a trace."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from hsakd_mm.experiments.bench import Bench
from hsakd_mm.experiments.provenance import hash_of_config
from tests.conftest import REPO

FROZEN = dict(HSAKDTeacher='frozen_backbone=True, predict_branches=True', SSKDTeacher='')


def test_losses_leave_no_trace(demo_data, tmp_path, monkeypatch) -> None:
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/demo').symlink_to(demo_data)
    monkeypatch.chdir(tmp_path)
    (run,) = (
        run for run in Bench(str(REPO / 'configs/demo/bench.py'), [0]).runs if run.name == 'HSAKD'
    )  # its teacher is not there
    torch.set_num_threads(2)
    scope, logger = DefaultScope.get_current_instance(), dict(MMLogger._instance_dict)
    config, state, files = hash_of_config(run.cfg), torch.get_rng_state(), sorted(tmp_path.rglob('*'))
    try:
        first, *_ = losses = run.first_losses()
        assert len(losses) == 3 and first > 0
        torch.manual_seed(5)  # what was drawn before decides nothing, not even the stand-in's biases
        assert run.first_losses() == losses
        torch.set_rng_state(state)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert DefaultScope.get_current_instance() is scope and MMLogger._instance_dict == logger
    assert torch.equal(torch.get_rng_state(), state)
    assert hash_of_config(run.cfg) == config and sorted(tmp_path.rglob('*')) == files
    # oneDNN is for float32: a part that is still computed in it, and differs from CPU to CPU, would show here.
    with torch.backends.mkldnn.flags(enabled=False):
        others = run.first_losses()
    assert others == pytest.approx(losses, rel=1e-7)


def test_a_seed_draws_others(demo_data, tmp_path, monkeypatch) -> None:
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/demo').symlink_to(demo_data)
    monkeypatch.chdir(tmp_path)
    losses = [
        run.first_losses() for run in Bench(str(REPO / 'configs/demo/bench.py'), [0, 1]).runs if run.name == 'plain'
    ]
    assert losses[0] != losses[1]


@pytest.mark.parametrize('method', ['HSAKDTeacher', 'SSKDTeacher'])
def test_a_frozen_teacher_whose_weights_another_run_makes(method, demo_data, tmp_path, monkeypatch) -> None:
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/demo').symlink_to(demo_data)
    monkeypatch.chdir(tmp_path)
    plain = (REPO / 'configs/demo/plain.py').as_posix()
    (tmp_path / 'taught.py').write_text(f"_base_ = '{plain}'\nmodel = dict(type='{method}', {FROZEN[method]})")
    (tmp_path / 'bench.py').write_text(
        f"""runs = [
            dict(name='strong', config='{plain}'),
            dict(name='frozen', config='taught.py', needs={{'model.checkpoint': 'strong'}}),
        ]"""
    )
    frozen = Bench('bench.py', [0]).runs[-1]
    assert not frozen.cfg.model.get('checkpoint') and len(frozen.first_losses()) == 3
