"""Stops a run, or skips a step, before a loss or gradient that is no number reaches the weights."""

import functools
import os
from contextlib import contextmanager

import torch
from mmengine.dist import all_gather_object, get_rank
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from hsakd_mm.checkpoints.finite import check_finite
from hsakd_mm.engine.before_step import BeforeStep, random_state
from hsakd_mm.engine.failed_step import FOLDER, image_names, save_failed_step
from hsakd_mm.errors import UserError
from hsakd_mm.models.unwrapped import unwrapped
from hsakd_mm.processes import any_rank, on_all_ranks
from hsakd_mm.registry import HOOKS

# In the message hub, which a checkpoint holds:
SKIPPED = 'skipped_steps'
SPOILT = 'update_is_left_out'  # the run was stopped between the batches of an update that is


@HOOKS.register_module()
class FiniteHook(Hook):
    """Looks at the loss and the gradients of every step before the optimizer does.

    mmengine has no place between the backward pass and the update: ``update_params`` does both. For the time of the
    training three methods of the optimizer wrapper *instance* are therefore preceded or followed by a check:
    ``optim_context`` (the state before the forward pass is remembered), ``backward`` (loss and gradients are looked at)
    and ``step`` (not called for a skipped step). This holds for every wrapper, with accumulated gradients and for
    several wrappers in an ``OptimWrapperDict``. All ranks decide alike.

    * If a number is NaN or infinite, the run ends without an update. The sentence names the losses, or says that
      only gradients are; ``work_dir/non_finite/`` holds what tools/analysis_tools/replay_step.py needs.
    * With ``max_skipped``, so many steps of the run are left out instead: no update, and buffers and attributes that
      the forward pass changed are put back. With accumulated gradients all batches of the update are left out, also
      if the run is stopped and resumed after the bad one. (If it is stopped before the bad one, the buffers become what
      they were on resuming.) The number is in the log, the message hub and the checkpoints. Schedulers and an EMA count
      a skipped step.
    * With a gradient scaler (float16), infinite gradients are the scaler's, as long as its scale is above 1; losses
      are checked.
    * A checkpoint whose weights, average or optimizer state is not finite is neither written nor loaded. This is found
      before the old one is removed.

    Args:
        max_skipped (int): Steps that may be skipped in the run; 0 stops at the first.

    Raises:
        UserError: A loss, a gradient or a checkpoint is not finite.
    """

    priority = 'LOW'  # after the hooks that change the model (EMA, SyncBuffers), before CheckpointHook

    def __init__(self, max_skipped: int = 0) -> None:
        if not isinstance(max_skipped, int) or max_skipped < 0:
            raise UserError(
                f'FiniteHook expects max_skipped to be a number of steps, and it is {max_skipped!r}: 0 stops the run '
                f'at the first loss that is not finite.'
            )
        self.max_skipped = max_skipped
        self.batch_idx, self.data_batch = 0, None
        self.losses: dict = {}
        self.rng: dict = {}
        self.model: nn.Module | None = None
        self.guarded: list = []

    def before_train(self, runner) -> None:
        self._release()
        self.runner = runner
        self.model = unwrapped(runner.model)
        self.before, self.before_update = BeforeStep(self.model), BeforeStep(self.model)
        self.skipped = runner.message_hub.runtime_info.get(SKIPPED, 0)
        several = isinstance(runner.optim_wrapper, OptimWrapperDict)
        if several and self.max_skipped:
            raise UserError(
                f'FiniteHook can skip the step of one optimizer, max_skipped is {self.max_skipped}, and this run has '
                f'{len(runner.optim_wrapper)} optimizers, of which one may have been used: set max_skipped=0.'
            )
        wrappers = list(runner.optim_wrapper.values()) if several else [runner.optim_wrapper]
        within = any(isinstance(each, OptimWrapper) and not each.should_update() for each in wrappers)
        if not within:
            runner.message_hub.runtime_info.pop(SPOILT, None)
        self.spoilt, self.begins = runner.message_hub.runtime_info.get(SPOILT, False), True
        for wrapper in wrappers:
            if isinstance(wrapper, OptimWrapper):
                self._guard(wrapper)
        # Only there is nothing done with the losses but a log once the optimizer has stepped.
        self.replaces_losses = type(self.model).train_step is BaseModel.train_step and not several
        if hasattr(self.model, 'parse_losses'):
            self._remember_losses()

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self.batch_idx, self.data_batch = batch_idx, data_batch

    def after_train(self, runner) -> None:
        self._release()

    def _guard(self, wrapper: OptimWrapper) -> None:
        context, backward, step = wrapper.optim_context, wrapper.backward, wrapper.step
        accumulates = wrapper._accumulative_counts > 1
        left_out = self.before_update if accumulates else self.before
        weight = next(self.model.parameters())  # type: ignore[union-attr]

        @contextmanager
        def optim_context(model):
            self.before.take()
            if accumulates and self.begins:
                self.before_update.take()
            self.begins = False
            self.rng = random_state(weight.device)
            with context(model):
                yield

        def checked_backward(loss: Tensor, **kwargs) -> None:
            backward(loss, **kwargs)
            self._check(wrapper, loss.detach())
            if self.spoilt:  # at once, as the run may be saved before the update is due
                left_out.put_back()

        @functools.wraps(step)  # a scheduler looks for the mark that it put on it
        def step_unless_spoilt(**kwargs) -> None:
            if self.spoilt:
                left_out.put_back()
                self.runner.message_hub.runtime_info.pop(SPOILT, None)
            else:
                step(**kwargs)
            self.spoilt, self.begins = False, True

        methods = dict(optim_context=optim_context, backward=checked_backward, step=step_unless_spoilt)
        for name, method in methods.items():
            setattr(wrapper, name, method)
            self.guarded.append((wrapper, name))

    def _remember_losses(self) -> None:
        parse_losses = self.model.parse_losses  # type: ignore[union-attr]

        def remembered(losses: dict) -> tuple:
            total, self.losses = parse_losses(losses)
            return total, self.losses

        self.model.parse_losses = remembered  # type: ignore[union-attr]
        self.guarded.append((self.model, 'parse_losses'))

    def _release(self) -> None:
        for owner, name in self.guarded:
            vars(owner).pop(name, None)
        self.guarded = []

    def _check(self, wrapper: OptimWrapper, loss: Tensor) -> None:
        if self.spoilt:  # a later batch of an update that is left out
            return
        gradients = [] if _is_scalers(wrapper) else _gradients(wrapper)
        finite = [loss.isfinite().all()]
        if gradients:
            finite.append(_all_finite(gradients).to(loss.device))
        loss_ok, *gradients_ok = map(bool, self._read(loss, finite))
        if any_rank(not (loss_ok and all(gradients_ok))):
            self._handle(wrapper, loss, loss_ok)

    def _read(self, loss: Tensor, finite: list[Tensor]) -> list[float]:
        """``finite`` as numbers, and the losses on the CPU, where mmengine's hooks read each of them.

        All at once: without a gradient scaler a GPU is waited for here, before its optimizer's kernels are queued, and
        in no other place of a step.
        """
        losses = self.losses if self.replaces_losses and isinstance(self.losses, dict) else {}
        near = {name: value for name, value in losses.items() if _is_scalar(value) and value.device == loss.device}
        wide = functools.reduce(torch.promote_types, (value.dtype for value in near.values()), torch.float32)
        read = torch.stack([each.detach().to(wide) for each in (*finite, *near.values())]).cpu()
        losses.update(zip(near, read[len(finite) :].unbind()))
        return read[: len(finite)].tolist()

    def _handle(self, wrapper: OptimWrapper, loss: Tensor, loss_ok: bool) -> None:
        """Skip the step or raise; on all ranks."""
        runner, rank = self.runner, get_rank()
        values = {name: float(torch.as_tensor(value).detach()) for name, value in self.losses.items() if 'loss' in name}
        names = [f'{name} is {value}' for name, value in values.items() if name != 'loss' and value - value != 0]
        mine = [] if loss_ok else names or [f'loss is {float(loss)}']
        every = all_gather_object(mine)
        one = len(every) == 1
        said = [f'{", ".join(its)}{"" if one else f" on rank {number}"}' for number, its in enumerate(every) if its]
        what = '; '.join(said) or 'the losses are, but gradients are NaN or infinite'
        if self.skipped < self.max_skipped:
            self.skipped += 1
            self.spoilt = True
            wrapper.zero_grad()
            runner.message_hub.update_info(SKIPPED, self.skipped)
            runner.message_hub.update_info(SPOILT, True)
            runner.logger.warning(
                f'Iteration {runner.iter + 1} is skipped ({what}): {self.skipped} of {self.max_skipped} that may be.'
            )
            return
        files, path = image_names(runner, self.batch_idx, self.data_batch), ''
        gradients = [
            name
            for name, weight in self.model.named_parameters()  # type: ignore[union-attr]
            if weight.grad is not None and not weight.grad.isfinite().all()
        ]
        self.before.put_back()
        if mine or not any(every):  # a rank whose numbers were fine has nothing to replay
            path = os.path.join(runner.work_dir, FOLDER, f'iter_{runner.iter + 1}_rank{rank}.pth')
            try:
                save_failed_step(
                    path,
                    runner,
                    self.model,
                    batch=self.data_batch,
                    rng=self.rng,
                    attributes=self.before.plain,
                    losses=values,
                    gradients=gradients,
                    images=files,
                )
            except UserError as error:  # a full disk; the run ends all the same
                path = ''
                runner.logger.error(str(error))
        paths = [each for each in all_gather_object(path) if each]
        replay = f'python tools/analysis_tools/replay_step.py {paths[0]} replays the step' if paths else ''
        names_them = f', and {os.path.splitext(paths[0])[0]}.txt names its images' if paths else ''
        raise UserError(
            f'finite losses and gradients were expected, and at iteration {runner.iter + 1} {what}: the weights were '
            f'not changed{"; " + replay if replay else ""}{names_them}; go on from the last checkpoint with a lower '
            f'learning rate, or leave such steps out with the hook dict(type="FiniteHook", max_skipped=K)'
            f'{f" ({self.skipped} were)" if self.skipped else ""}.'
        )

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self.data_batch = None
        if any(_is_due_at_step(runner, hook) for hook in runner.hooks if isinstance(hook, CheckpointHook)):
            self._check_state(runner, runner.iter + 1)

    def after_train_epoch(self, runner) -> None:
        if any(hook.by_epoch for hook in runner.hooks if isinstance(hook, CheckpointHook)):
            self._check_state(runner, runner.iter)

    def _check_state(self, runner, step: int) -> None:
        """On all ranks, and before a checkpoint hook removes the old file for the new one."""
        content = dict(state_dict=self.model.state_dict(), optimizer=runner.optim_wrapper.state_dict())  # type: ignore[union-attr]
        for hook in runner.hooks:
            if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model'):
                content['ema_state_dict'] = hook.ema_model.state_dict()
        on_all_ranks(check_finite, content, f'of iteration {step}, which is not written')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        check_finite(checkpoint, f'of iteration {checkpoint["meta"].get("iter", runner.iter)}, which is not written')

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        check_finite(checkpoint, runner._load_from or f'in {runner.work_dir}')


def _gradients(wrapper: OptimWrapper) -> list[Tensor]:
    weights = (weight for group in wrapper.optimizer.param_groups for weight in group['params'])
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    return [each.coalesce().values() if each.is_sparse else each for each in gradients]


def _is_scalar(value) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0


def _all_finite(gradients: list[Tensor]) -> Tensor:
    """A boolean scalar, in one pass. NaN and infinity survive a maximum, and on the CPU a sum, which is faster."""
    if gradients[0].device.type != 'cpu':
        return torch.nn.utils.get_total_norm(gradients, torch.inf).isfinite()
    if torch.stack([each.sum().float() for each in gradients]).isfinite().all():
        return torch.tensor(True)
    return torch.tensor(all(bool(each.isfinite().all()) for each in gradients))  # or the sum has overflowed


def _is_scalers(wrapper: OptimWrapper) -> bool:
    """Whether infinite gradients are the gradient scaler's business.

    It lowers its scale at each; when that has fallen to 1, the gradients themselves are infinite.
    """
    scaler = getattr(wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled() and scaler.get_scale() > 1


def _is_due_at_step(runner, hook: CheckpointHook) -> bool:
    return not hook.by_epoch and (
        hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
        or (hook.save_last and hook.is_last_train_iter(runner))
    )
