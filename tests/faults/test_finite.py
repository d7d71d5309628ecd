"""A loss or gradient that is no number changes no weight and no file."""

import os
import socket

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from hsakd_mm.checkpoints.finite import check_finite
from hsakd_mm.engine.hooks.finite_hook import SKIPPED, FiniteHook
from hsakd_mm.engine.optim import AutocastOptimWrapper
from hsakd_mm.errors import UserError
from hsakd_mm.registry import MODELS
from tests.faults.command import TWO
from tests.faults.exact import start as run
from tests.faults.nan import NaNImage
from tests.test_every_method import METHODS, config  # noqa: F401  a fixture
from tests.tools.commands import ROOT, TINY, bash, python
from tests.tools.tiny import TinyModel

ROW = 'One non-finite loss or gradient; a learning rate of 1e6'
OWN_IMPORTS = "custom_imports.imports=['tests.tools.tiny','tests.faults.nan']"


class Every(Hook):
    """Remembers the model's state after each step, and its plain attributes."""

    def __init__(self) -> None:
        self.states: list = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.states.append({key: value.clone() for key, value in runner.model.state_dict().items()})


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


def guarded(cfg: Config, folder, hooks=(), max_skipped: int = 0, **changes):
    cfg = Config(cfg.to_dict())
    cfg.default_hooks.finite = dict(type='FiniteHook', max_skipped=max_skipped)
    runner = run(cfg, folder, **changes)
    for hook in hooks:
        runner.register_hook(hook)
    return runner


def test_a_scheduler_finds_its_mark_on_the_guarded_step(config, tmp_path, recwarn) -> None:  # noqa: F811
    guarded(config(next(iter(METHODS.values()))), tmp_path).train()
    assert not [each for each in recwarn if 'has been overridden' in str(each.message)]


class Outputs(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.outputs = outputs


@pytest.mark.parametrize('method', METHODS)
def test_a_step_is_read_once(method, config, tmp_path) -> None:  # noqa: F811
    """What mmengine's hooks read, one by one, are copies on the CPU: of a GPU each would be waited for."""
    cfg = config(METHODS[method])
    cfg.train_cfg.max_epochs = 1
    seen = Outputs()
    guarded(cfg, tmp_path, [seen]).train()
    assert seen.outputs and not [name for name, value in seen.outputs.items() if value.requires_grad]
    assert len({value.untyped_storage().data_ptr() for value in seen.outputs.values()}) == 1


@pytest.mark.parametrize('method', METHODS)
def test_every_method_stops_before_the_update_or_skips_it(method, config, tmp_path, seen) -> None:  # noqa: F811
    torch.set_num_threads(1)
    cfg = config(METHODS[method])
    cfg.train_cfg.max_epochs = 1
    cfg.train_dataloader.batch_size = 8
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    bad = NaNImage()
    runner = guarded(cfg, tmp_path / 'stops', [bad])
    with pytest.raises(UserError, match=r'at iteration 2 .*loss\w* is nan.*: the weights were not changed') as stopped:
        runner.train()
    assert same(bad.before, runner.model.state_dict()) and not list((tmp_path / 'stops').glob('*.pth'))
    assert 'replay_step.py' in str(stopped.value)
    names = (tmp_path / 'stops/non_finite/iter_2_rank0.txt').read_text().split()
    assert len(names) == 8 and all(map(os.path.isfile, names))

    every, bad = Every(), NaNImage(steps=(1, 2))
    runner = guarded(cfg, tmp_path / 'skips', [bad, every], max_skipped=2)
    runner.train()
    first, second, third, last = every.states
    assert same(first, second) and same(second, third) and not same(third, last)
    assert runner.message_hub.get_info(SKIPPED) == 2
    check_finite(torch.load(tmp_path / 'skips/epoch_1.pth', weights_only=False), 'skips')
    outcome = 'stopped before the update, state bit-equal; skipped on request'
    seen(ROW, 'NaN in an image at step 2', outcome, method=method)


def tiny(tmp_path, name='run', **changes):
    """A run of 15 parameters, by this process."""
    cfg = Config.fromfile(TINY)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.finite = dict(type='FiniteHook')
    cfg.merge_from_dict(changes)
    if cfg.default_hooks.finite is None:
        del cfg.default_hooks.finite
    return run(cfg, tmp_path / name)


class BadGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float('inf')


def with_bad_gradient(runner, step: int) -> None:
    usual = runner.model.forward

    def forward(inputs, labels=None, mode='tensor'):
        out = usual(inputs, labels, mode)
        if mode == 'loss' and runner.iter == step:
            out['loss'] = BadGradient.apply(out['loss'])
        return out

    runner.model.forward = forward


def test_only_a_gradient(tmp_path, seen) -> None:
    runner = tiny(tmp_path)
    with_bad_gradient(runner, 2)
    with pytest.raises(UserError, match=r'at iteration 3 the losses are, but gradients are NaN or infinite'):
        runner.train()
    check_finite(runner.model.state_dict(), 'run')
    seen(ROW, 'an infinite gradient of a finite loss', 'stopped before the update')


@pytest.mark.parametrize('gradient', [False, True])
def test_an_accumulated_update_is_left_out_as_a_whole(gradient, tmp_path) -> None:
    """The first batch of two is bad, or the second: the next update has nothing of either."""
    for step in (2, 3):
        runner = tiny(
            tmp_path,
            f'{step}',
            **{
                'optim_wrapper.accumulative_counts': 2,
                'default_hooks.finite.max_skipped': 1,
                'train_cfg.max_epochs': 2,
            },
        )
        every = Every()
        runner.register_hook(every)
        if gradient:
            with_bad_gradient(runner, step)
        else:
            runner.register_hook(NaNImage(steps=(step,)))
        runner.train()
        states = every.states
        assert same(states[1], states[2]) and same(states[2], states[3]) and same(states[3], states[4])
        assert not same(states[4], states[5]) and runner.message_hub.get_info(SKIPPED) == 1
        check_finite(states[-1], 'run')


def test_the_budget_is_the_runs(tmp_path) -> None:
    runner = tiny(tmp_path, **{'default_hooks.finite.max_skipped': 1})
    runner.register_hook(NaNImage(steps=(1, 5)))
    with pytest.raises(UserError, match=r'at iteration 6 .*\(1 were\)'):
        runner.train()
    again = tiny(tmp_path, **{'default_hooks.finite.max_skipped': 1, 'resume': True})
    again.register_hook(NaNImage(steps=(5,)))
    with pytest.raises(UserError, match='at iteration 6'):
        again.train()


def test_bfloat16_is_guarded_too(tmp_path) -> None:
    runner = tiny(tmp_path, **{'optim_wrapper.type': 'AutocastOptimWrapper'})
    runner.register_hook(NaNImage())
    with pytest.raises(UserError, match='at iteration 2 loss is nan'):
        runner.train()
    assert isinstance(runner.optim_wrapper, AutocastOptimWrapper)


class Scaled(OptimWrapper):
    """mmengine's AmpOptimWrapper, on a CPU."""

    def __init__(self, scale: float, **kwargs) -> None:
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=scale)

    def backward(self, loss, **kwargs) -> None:
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs) -> None:
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


@pytest.mark.parametrize('scale, stops', [(1024.0, False), (1.0, True)])
def test_infinite_gradients_are_the_scalers_until_its_scale_is_one(scale, stops, tmp_path) -> None:
    runner = tiny(tmp_path)
    with_bad_gradient(runner, 1)
    runner.optim_wrapper = Scaled(scale, optimizer=torch.optim.SGD(runner.model.parameters(), 0.1))
    if stops:
        with pytest.raises(UserError, match='at iteration 2 the losses are, but gradients'):
            runner.train()
    else:
        runner.train()
        check_finite(runner.model.state_dict(), 'run')


def test_a_learning_rate_of_a_million_leaves_the_good_file(tmp_path, seen) -> None:
    """Weights overflow in the second epoch, whatever the losses are: the one kept file stays."""
    runner = tiny(tmp_path, **{'default_hooks.checkpoint.max_keep_ckpts': 1, 'train_cfg.max_epochs': 3})

    class Overflow(Hook):
        priority = 'VERY_HIGH'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
            if runner.iter == 7:
                runner.model.line.weight.data[0, 0] = float('inf')

    runner.register_hook(Overflow())
    with pytest.raises(UserError, match=r'the checkpoint of iteration 8, which is not written.*line.weight'):
        runner.train()
    assert [path.name for path in (tmp_path / 'run').glob('*.pth')] == ['epoch_1.pth']

    fast = 'optim_wrapper.optimizer.lr=1e38'
    done = python(ROOT / 'tools/train.py', TINY, '--work-dir', 'fast', '--cfg-options', fast, cwd=tmp_path)
    assert done.returncode == 2 and 'finite' in done.stderr, done.stderr
    for path in (tmp_path / 'fast').glob('*.pth'):
        check_finite(torch.load(path, weights_only=False), str(path))
    seen(ROW, 'a learning rate of 1e38; weights that overflow', 'status 2, nothing written, the file before stays')


@pytest.mark.parametrize('part', ['state_dict', 'optimizer'])
def test_a_file_that_is_not_finite_is_not_resumed(part, tmp_path) -> None:
    tiny(tmp_path).train()
    path = tmp_path / 'run/epoch_2.pth'
    content = torch.load(path, weights_only=False)
    bad = content['state_dict']['line.bias'] if part == 'state_dict' else content[part]['state'][0]['momentum_buffer']
    bad[0] = float('nan')
    torch.save(content, path)
    for changes in (dict(resume=True), dict(load_from=str(path))):
        if part == 'state_dict' or 'resume' in changes:
            with pytest.raises(UserError, match='finite numbers were expected in the checkpoint .*run'):
                tiny(tmp_path, **changes).train()


@pytest.mark.parametrize('skip', [0, 1])
def test_one_rank_of_two(skip, tmp_path, seen) -> None:
    """A NaN on rank 1 only: both ranks stop, or skip, at the same step."""
    with socket.socket() as probe:
        probe.bind(('', 0))
        port = probe.getsockname()[1]
    done = bash(
        'dist_train.sh',
        TINY,
        2,
        '--work-dir',
        'run',
        '--cfg-options',
        OWN_IMPORTS,
        "custom_hooks=[{'type':'NaNImage','rank':1},{'type':'FiniteHook','max_skipped':" + f'{skip}' + '}]',
        cwd=tmp_path,
        PORT=port,
    )
    if skip:
        assert done.returncode == 0, done.stderr
        check_finite(torch.load(tmp_path / 'run/epoch_2.pth', weights_only=False), 'run')
        assert 'Iteration 2 is skipped (loss is nan on rank 1): 1 of 1' in done.stdout + done.stderr
    else:
        errors = {line.removesuffix(' (rank 1)') for line in done.stderr.splitlines() if line.startswith('error: ')}
        assert done.returncode == 2 and len(errors) == 1, done.stderr
        assert 'at iteration 2 loss is nan on rank 1' in done.stderr
        assert [path.name for path in (tmp_path / 'run/non_finite').glob('*.pth')] == ['iter_2_rank1.pth']
        seen(ROW, 'NaN on rank 1 of 2', 'both ranks stopped at step 2; status 2, one sentence', TWO)


def test_without_a_fault_the_guard_changes_nothing(tmp_path) -> None:
    with_guard, without = tiny(tmp_path, 'with'), tiny(tmp_path, 'without', **{'default_hooks.finite': None})
    for runner in (with_guard, without):
        runner.train()
    assert same(with_guard.model.state_dict(), without.model.state_dict())
    assert not any(isinstance(hook, FiniteHook) for hook in without.hooks)
    assert 'step' not in vars(with_guard.optim_wrapper)


class OwnStep(TinyModel):
    """Another project's: what it logs is no dict of this hook's, and is still to be learnt from."""

    def __init__(self, listed: bool, **kwargs) -> None:
        super().__init__(**kwargs)
        self.listed = listed

    def parse_losses(self, losses) -> tuple:
        total, logged = super().parse_losses(losses)
        return total, list(logged.items()) if self.listed else logged

    def train_step(self, data, optim_wrapper) -> dict:
        with optim_wrapper.optim_context(self):
            total, logged = self.parse_losses(self._run_forward(data, mode='loss'))
        optim_wrapper.update_params(total)
        assert dict(logged)['loss'].requires_grad
        return dict(logged)


@pytest.mark.parametrize('listed', [False, True])
def test_what_another_projects_step_still_uses_is_left_alone(listed, tmp_path) -> None:
    MODELS.register_module(module=OwnStep, force=True)
    runner = tiny(tmp_path, model=dict(type='OwnStep', listed=listed))
    runner.train()
    assert runner.iter == runner.max_iters
