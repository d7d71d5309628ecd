"""A run of Weights & Biases for a training and its resumed parts."""

import os
import secrets

from mmengine import visualization

from hsakd_mm.engine.loggers.remembered import OneRun
from hsakd_mm.errors import UserError
from hsakd_mm.registry import VISBACKENDS

PROJECT = 'hsakd_mm'  # unless WANDB_PROJECT, or init_kwargs, say another


@VISBACKENDS.register_module()
class WandbVisBackend(OneRun, visualization.WandbVisBackend):
    """mmengine's, with the training's iterations as W&B's steps, and one run for a training that was stopped.

    mmengine's lets W&B count the calls, begins a run before the Runner is checked, and uploads all Python files below
    the current folder. Here code is uploaded only if ``log_code_name`` is set.

    Args:
        save_dir (str): Set by the Runner.
        init_kwargs (dict): For ``wandb.init``. By default the project is ``WANDB_PROJECT`` or ``hsakd_mm``, the name
            that of the work directory, where W&B writes its files; and the id is remembered there.
        **kwargs: See :class:`mmengine.visualization.WandbVisBackend`.

    Raises:
        UserError: W&B can begin no run, as when nobody has logged in.
    """

    kind, title, package = 'wandb', 'W&B', 'wandb'

    def __init__(self, save_dir: str, **kwargs) -> None:
        super().__init__(save_dir, **kwargs)
        self._images: dict[str, list] = {}

    def _init_env(self) -> None:
        import wandb

        options = dict(
            project=os.environ.get('WANDB_PROJECT', PROJECT),
            name=os.environ.get('WANDB_NAME', self.run_name),
            dir=self.work_dir,
            id=os.environ.get('WANDB_RUN_ID') or self.remembered() or secrets.token_hex(4),
            resume='allow',
            job_type='test' if self._runner is None else 'train',
        )
        try:
            run = wandb.init(**{**options, **(self._init_kwargs or {})})
        except wandb.errors.Error as error:
            raise UserError(
                f'a run of W&B was to begin, and that failed ({error}): log in by `wandb login` or WANDB_API_KEY, or '
                f'write to the disk alone with WANDB_MODE=offline.'
            ) from error
        self.remember(run.id)
        self._wandb, self._run = wandb, run
        metrics = self._define_metric_cfg or []
        if isinstance(metrics, dict):
            metrics = [dict(name=name, summary=summary) for name, summary in metrics.items()]
        for metric in metrics:
            run.define_metric(**metric)
        if self.cfg is not None:
            run.config.update(self.cfg.to_dict(), allow_val_change=True)
        if self._log_code_name is not None:
            run.log_code(name=self._log_code_name)

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs) -> None:
        scalars, step = self.at_step(scalar_dict, step, file_path)
        self.experiment  # noqa: B018  begins the run, if nothing has
        if step >= self._run.step:
            self._run.log({**scalars, **self._take_images()}, step=step)
        elif file_path is None:  # without a step: into the row of the last one
            self._run.log(scalars, commit=False)
        # What LoggerHook logged before the training was stopped, W&B has.

    def add_scalar(self, name: str, value, step: int = 0, **kwargs) -> None:
        self.add_scalars({name: value}, step)

    def add_image(self, name: str, image, step: int = 0, **kwargs) -> None:
        """Logged with the next scalars: W&B takes one value of each name at a step, which may be a list of images."""
        self._images.setdefault(name, []).append(self.experiment.Image(image, caption=f'{name} {step}'))

    def _take_images(self) -> dict:
        images, self._images = self._images, {}
        return images

    def end(self, state: str) -> None:
        if hasattr(self, '_run'):
            if state == 'preempted':
                self._run.mark_preempting()
            self._run.finish(exit_code=1)

    def close(self) -> None:
        if hasattr(self, '_run'):
            if self._images:
                self._run.log(self._take_images())
            self._run.finish()

    @property
    def place(self) -> str:
        files = os.path.relpath(os.path.dirname(self._run.dir))
        return f'wandb sync {files}' if self._run.offline else self._run.url or files
