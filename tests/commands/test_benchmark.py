"""hsakd-mm benchmark: what it hands on to the runs of its bench."""

import sys

from hsakd_mm.commands.benchmark import parse_args
from hsakd_mm.experiments.bench import Bench
from tests.conftest import REPO


def test_options_in_several_groups_all_reach_the_runs(monkeypatch, tmp_path) -> None:
    groups = [['train_cfg.max_epochs=3'], ['optim_wrapper.optimizer.lr=0.5', 'train_dataloader.batch_size=4']]
    words = [word for group in groups for word in ('--cfg-options', *group)]
    monkeypatch.setattr(sys, 'argv', ['benchmark', str(REPO / 'configs' / 'demo' / 'bench.py'), *words])
    args = parse_args()
    bench = Bench(args.bench, None, str(tmp_path), args.cfg_options, args.words)
    for run in bench.runs:
        assert run.cfg.optim_wrapper.optimizer.lr == 0.5
        assert {word for group in groups for word in group} <= set(run.stage.command)
