"""Refuses to resume as another experiment, and lets a changed learning rate take effect."""

from collections import Counter

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict

from hsakd_mm.engine.initial_weights import keep_resumed_backbones
from hsakd_mm.engine.optim import match_layout
from hsakd_mm.engine.run_identity import KEY, changes, differences, run_identity
from hsakd_mm.errors import UserError
from hsakd_mm.processes import on_all_ranks
from hsakd_mm.registry import HOOKS

DEPENDENT = ('T_max', 'total_iters', 'total_steps')  # without a value of their own these are the length of the run


@HOOKS.register_module()
class RunIdentityHook(Hook):
    """Stores in each checkpoint what its run is (:mod:`~hsakd_mm.engine.run_identity`), and compares it on resuming.

    Another teacher, data set, order of classes, fraction, model, optimizer, schedule, pipeline or seed is refused.
    Another number of processes, batch, number of workers, numeric format or length is said in one line. With another
    length the schedule stays as it is written: one whose shape depends on the length (a cosine to the last epoch) is
    another schedule, and refused; one that does not (milestones) goes on until the new end.

    mmengine restores the learning rate with the optimizer and the schedule, so that a changed one had no effect. Here
    the rates of optimizer and schedule are multiplied by new over old.

    Raises:
        UserError: The resumed run is another experiment.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.identity: dict | None = None
        self.rates: list = []
        self.schedules: list = []
        self.same_steps = True
        self.resumed_iter = 0

    def before_run(self, runner) -> None:
        keep_resumed_backbones(runner)
        # Optimizer and schedule are as configured; after this, mmengine resumes.
        if getattr(runner, 'optim_wrapper', None) is not None and runner._resume:
            self.rates = [_base_rate(group) for group in _groups(runner)]
            self.schedules = [_shape(scheduler) for scheduler in _schedulers(runner)]

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        if not runner._resume:
            return
        self.resumed_iter = checkpoint.get('meta', {}).get('iter', 0)
        said = on_all_ranks(self._compare, runner, checkpoint.get('meta', {}))
        (self.same_steps,) = _broadcast([self.same_steps])
        if said:
            runner.logger.info(said)

    def before_train(self, runner) -> None:
        self._identify(runner)
        for wrapper in _wrappers(runner):
            match_layout(wrapper.optimizer)
        if self.rates:
            self._keep_schedules(runner)
            self._change_rate(runner)

    def _keep_schedules(self, runner) -> None:
        """mmengine restores a schedule's end too, which is the old length of the run if the config sets none."""
        for new, scheduler in zip(self.schedules, _schedulers(runner)):
            old = _shape(scheduler)
            if not self.same_steps and not scheduler.by_epoch and self.resumed_iter:
                # An epoch has another number of steps: the schedule goes on at the same share of the run.
                share = runner.iter / self.resumed_iter
                for name, value in {**new, 'last_step': scheduler.last_step * share}.items():
                    setattr(scheduler, name, round(value) if name == 'last_step' else value)
                scheduler._global_step = round(scheduler._global_step * share)
                continue
            other = [name for name in new if name != 'end' and old.get(name) != new[name]]
            if other and self.same_steps:
                name = other[0]
                raise UserError(
                    f'--resume goes on with the schedule of the checkpoint, and the {type(scheduler).__name__} of this '
                    f'run is another ({name} was {_shown(old.get(name))} and is {_shown(new[name])}'
                    f'{", which depends on the length of the run" if name in DEPENDENT else ""}): give the same '
                    f'schedule and length, or start in another --work-dir without --resume.'
                )
            if self.same_steps:
                scheduler.end = new['end']

    def _change_rate(self, runner) -> None:
        groups = list(_groups(runner))
        old = _base_rate(groups[0])
        ratios = {id(group): new / _base_rate(group) for new, group in zip(self.rates, groups) if _base_rate(group)}
        if all(abs(ratio - 1) < 1e-9 for ratio in ratios.values()):
            return
        for group in groups:
            for name in {'lr', 'initial_lr'} & group.keys():
                group[name] *= ratios.get(id(group), 1.0)
        for scheduler in _schedulers(runner):
            if scheduler.param_name == 'lr':
                of_each = [ratios.get(id(group), 1.0) for group in scheduler.optimizer.param_groups]
                for name in {'base_values', '_last_value'} & vars(scheduler).keys():  # ReduceOnPlateauLR has no base
                    values = getattr(scheduler, name)
                    setattr(scheduler, name, [value * ratio for value, ratio in zip(values, of_each)])
        runner.logger.info(
            f'The learning rate was {old:g} and is {self.rates[0]:g} from here on: optimizer and schedule go on with '
            f'{self.rates[0] / old if old else 0:g} times their rates.'
        )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        self._identify(runner)
        checkpoint['meta'][KEY] = self.identity

    def _identify(self, runner) -> None:
        if self.identity is None and is_main_process():  # it saves
            self.identity = run_identity(runner)

    def _compare(self, runner, meta: dict) -> str:
        if not is_main_process():
            return ''
        self._identify(runner)
        assert self.identity is not None
        path, old = runner._load_from or runner.work_dir, meta.get(KEY)
        if not isinstance(old, dict):
            return f'{path} was saved without the identity of its run: teacher, data and recipe are not compared.'
        steps = ('processes', 'batch of each', 'steps of one update')
        was, now = old.get('may_change') or {}, self.identity['may_change']
        self.same_steps = all(was.get(name) == now.get(name) for name in steps)  # on rank 0, see after_load_checkpoint
        found = differences(old, self.identity)
        if found:
            raise UserError(
                f'--resume goes on with the run of {path}, and this is another experiment: {"; ".join(found)}: give '
                f'what that run had, or start this one in another --work-dir without --resume.'
            )
        other = changes(old, self.identity)
        return f'Resumed with what may change: {"; ".join(other)}.' if other else ''


def _broadcast(values: list) -> list:
    broadcast_object_list(values)
    return values


def _shape(scheduler) -> dict:
    """What a scheduler was configured with, without what moves with the steps or the validations."""
    moving = ('base_values', 'last_step', '_global_step', '_last_value', 'verbose')
    measured = ('best', 'num_bad_epochs', 'cooldown_counter')  # by ReduceOnPlateauLR
    return {name: value for name, value in scheduler.state_dict().items() if name not in moving + measured}


def _shown(value) -> str:
    return str(sorted(value.elements()) if isinstance(value, Counter) else value)


def _wrappers(runner) -> list:
    wrapper = runner.optim_wrapper
    return list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def _groups(runner):
    for wrapper in _wrappers(runner):
        yield from wrapper.optimizer.param_groups


def _schedulers(runner):
    built = runner.param_schedulers
    for each in built.values() if isinstance(built, dict) else [built or []]:
        yield from each


def _base_rate(group: dict) -> float:
    """The learning rate before any schedule."""
    return float(group.get('initial_lr', group['lr']))
