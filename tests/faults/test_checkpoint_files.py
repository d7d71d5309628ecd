"""Which files a stopped and resumed run leaves, and that it removes none of another folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from hsakd_mm.checkpoints.work_dir import last_checkpoint
from hsakd_mm.registry import METRICS
from tests.faults.exact import SignalAt, assert_same, content, start
from tests.tools.commands import TINY
from tests.tools.tiny import TinyMetric

ROW = 'Files of a stopped and resumed run'


@METRICS.register_module()
class Rising(TinyMetric):
    """Better after each step; on request with a number for each class."""

    def __init__(self, of_each: bool = False) -> None:
        super().__init__()
        self.of_each = of_each

    def compute_metrics(self, results) -> dict:
        steps = MessageHub.get_current_instance().get_info('iter')
        return dict(accuracy=steps, images=steps, **({'of_each': np.full(3, steps)} if self.of_each else {}))


class Validations(Hook):
    """The steps after which a validation was run to its end."""

    def __init__(self) -> None:
        self.after: list = []

    def after_val_epoch(self, runner, metrics=None) -> None:
        self.after.append(runner.iter)


def tiny(epochs: int = 1, **checkpoint) -> Config:
    """Four steps an epoch, a checkpoint after each, one kept."""
    cfg = Config.fromfile(TINY)
    cfg.val_evaluator = dict(type='Rising')
    cfg.train_cfg.max_epochs = epochs
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1, max_keep_ckpts=1, **checkpoint)
    return cfg


def by_step() -> Config:
    """Six steps, a checkpoint and a validation after the third and the last."""
    cfg = tiny()
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=6, val_interval=3)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=3)
    return cfg


def begin(cfg: Config, folder: Path, checkpoint: Path | str | None) -> Runner:
    """A runner as a process of its own has it, which may go on from a checkpoint."""
    MessageHub._instance_dict.clear()
    return start(cfg, folder, **({'resume': True, 'load_from': str(checkpoint)} if checkpoint else {}))


def train(cfg: Config, folder: Path, checkpoint: Path | None = None) -> Validations:
    """To the end."""
    runner, seen = begin(cfg, folder, checkpoint), Validations()
    runner.register_hook(seen)
    runner.train()
    return seen


def stop(cfg: Config, folder: Path, resume: bool = False, **when) -> None:
    """By a signal, from the beginning or as ``--resume`` goes on."""
    runner = begin(cfg, folder, last_checkpoint(str(folder)) if resume else None)
    runner.register_hook(SignalAt(**when))
    with pytest.raises(SystemExit):
        runner.train()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob('*.pth')}


@pytest.mark.parametrize('best', ['tiny/accuracy', ['tiny/accuracy', 'tiny/images']])
def test_the_best_files_of_another_folder_stay(best, tmp_path, seen) -> None:
    cfg, first, copy, other = tiny(save_best=best, rule='greater'), *(tmp_path / name for name in ('a', 'b', 'c'))
    measured = [best] if isinstance(best, str) else best
    bests = [{f'best_{name.replace("/", "_")}_epoch_{epoch}.pth' for name in measured} for epoch in (1, 2)]
    train(cfg, first)
    before = names(first)
    assert before == {'epoch_1.pth', *bests[0]}
    shutil.copytree(first, copy)
    cfg.train_cfg.max_epochs = 2
    train(cfg, copy, copy / 'epoch_1.pth')
    train(cfg, other, first / 'epoch_1.pth')
    assert names(first) == before
    assert names(copy) == names(other) == {'epoch_2.pth', *bests[1]}
    seen(ROW, '`--resume FILE` with another `--work-dir`; a copied one', 'no file of the first folder is removed')


def test_the_checkpoint_of_a_stopped_run_in_another_folder_stays(tmp_path) -> None:
    first, copy, other = (tmp_path / name for name in ('a', 'b', 'c'))
    stop(tiny(), first, step=2)
    shutil.copytree(first, copy)
    train(tiny(), copy, copy / 'iter_2.pth')
    train(tiny(), other, first / 'iter_2.pth')
    assert names(first) == {'iter_2.pth'} and names(copy) == names(other) == {'epoch_1.pth'}


def test_stopped_again_and_again(tmp_path, seen) -> None:
    """One checkpoint is kept for all the stops before the next regular one."""
    train(tiny(), tmp_path / 'whole')
    for resume, step in enumerate((1, 2, 3)):
        stop(tiny(), tmp_path / 'run', bool(resume), step=step)
        assert names(tmp_path / 'run') == {f'iter_{step}.pth'}
    train(tiny(), tmp_path / 'run', tmp_path / 'run/iter_3.pth')
    assert names(tmp_path / 'run') == {'epoch_1.pth'}
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'run'))
    seen(ROW, 'three SIGTERMs within an epoch', 'one file at a time, the same bits')


def test_a_made_up_validation_is_cut_off_too(tmp_path, seen) -> None:
    """The regular checkpoint that the run goes on from stays as it was."""
    train(by_step(), tmp_path / 'whole')
    folder = tmp_path / 'run'
    stop(by_step(), folder, validation=3)
    before = (folder / 'iter_3.pth').read_bytes()
    stop(by_step(), folder, True, validation=3)
    assert names(folder) == {'iter_3.pth'} and (folder / 'iter_3.pth').read_bytes() == before
    assert train(by_step(), folder, folder / 'iter_3.pth').after == [3, 6]
    assert names(folder) == {'iter_3.pth', 'iter_6.pth'}
    assert_same(content(tmp_path / 'whole'), content(folder))
    seen(ROW, 'counted by steps, SIGTERM in a validation and in the made-up one', 'the same files, the same bits')


def test_a_made_up_validation_of_an_interim_checkpoint_is_cut_off(tmp_path) -> None:
    cfg = by_step()
    cfg.default_hooks.checkpoint.interval = 5
    train(cfg, tmp_path / 'whole')
    for resume in (False, True, True):
        stop(cfg, tmp_path / 'run', resume, validation=3)
        assert names(tmp_path / 'run') == {'iter_3.pth'}
    train(cfg, tmp_path / 'run', tmp_path / 'run/iter_3.pth')
    assert names(tmp_path / 'run') == {'iter_5.pth', 'iter_6.pth'}
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'run'))


def test_a_validated_best_checkpoint_is_not_validated_again(tmp_path) -> None:
    cfg = tiny(save_best='tiny/accuracy', rule='greater')
    assert train(cfg, tmp_path).after == [4]
    cfg.train_cfg.max_epochs = 2
    assert train(cfg, tmp_path, tmp_path / 'epoch_1.pth').after == [8]


def test_a_metric_that_returns_an_array_and_a_second_best_score(tmp_path) -> None:
    cfg = tiny(2, save_best='tiny/accuracy', rule='greater')
    cfg.val_evaluator.of_each = True
    assert train(cfg, tmp_path).after == [4, 8]
    assert names(tmp_path) == {'epoch_2.pth', 'best_tiny_accuracy_epoch_2.pth'}
