"""Two steps of a config: is its data there, does it fit, how long would it take."""

import copy
import math
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from hsakd_mm.engine.doctor import MISSING, OK, WARNING, Check
from hsakd_mm.engine.exact import make_exact
from hsakd_mm.engine.training import train
from hsakd_mm.engine.user_messages import user_message
from hsakd_mm.registry import DATASETS, type_name

STEPS = 2


class _Done(Exception):
    """The trial has taken its steps."""


class _Clock(Hook):
    """Ends the training after two steps, and knows when each of them ended."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.total = 0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.monotonic())
        self.total = runner.max_iters
        if len(self.ends) == min(STEPS, self.total):
            raise _Done


def check_config(cfg: Config) -> Iterator[Check]:
    """Check the data of a config, then take two steps; nothing is written into its work directory.

    Images are not verified one by one, the teacher is not measured, and nothing is validated.
    """
    cfg = _for_trial(cfg)
    problem = None
    for part in ('train', 'val'):
        check = _data(cfg, part)
        problem = problem or (check.status == MISSING)
        yield check
    if problem:
        yield Check('steps', WARNING, 'not tried', 'mend the data first')
        return
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    yield from _steps(cfg)


def _for_trial(cfg: Config) -> Config:
    cfg = copy.deepcopy(cfg)
    cfg.load_from, cfg.resume = None, False
    for loader in (cfg.get('train_dataloader'), cfg.get('val_dataloader')):
        do_not_verify(loader or {})
    hook = (cfg.get('default_hooks') or {}).get('distillation')
    if hook:
        hook.check = False
    # The steps that take most: of full size, with branches.
    cfg.custom_hooks = [
        hook for hook in cfg.get('custom_hooks') or [] if type_name(hook.get('type')) != 'ProgressiveResizeHook'
    ]
    if cfg.model.get('branch_interval'):
        cfg.model.branch_interval = 1
    return cfg


def do_not_verify(value) -> None:
    if isinstance(value, Mapping):
        if type_name(value.get('type')) in ('ImageFolder', 'TinyImageNet', 'UnlabelledImages', 'BoxCrops'):
            value['verify'] = False  # type: ignore[index]
        for each in value.values():
            do_not_verify(each)


def _data(cfg: Config, part: str) -> Check:
    loader, name = cfg.get(f'{part}_dataloader'), f'{part} data'
    if not loader:
        return Check(name, OK, 'the config has none')
    try:
        with DATASETS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
            dataset = registry.build(copy.deepcopy(loader.dataset))
        count = len(dataset)
    except Exception as error:  # data can be wrong in any way
        return Check(name, MISSING, *_said(error))
    if not count:
        return Check(name, MISSING, 'no sample', f'correct {part}_dataloader.dataset')
    return Check(name, OK, f'{count} samples in {type(dataset).__name__}')


def _steps(cfg: Config) -> Iterator[Check]:
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        started = time.monotonic()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        try:
            make_exact(cfg)  # as tools/train.py does
            # A trial is no run of W&B or MLflow.
            cfg.visualizer = dict(cfg.get('visualizer') or dict(type='Visualizer'), vis_backends=[])
            runner = Runner.from_cfg(cfg)
            for hook in runner.hooks:
                if hasattr(hook, 'preflight'):
                    hook.preflight()
            runner.register_hook(clock)
            train(runner)
        except _Done:
            pass
        except Exception as error:
            yield Check('steps', MISSING, *_said(error))
            return
    if not clock.ends:
        yield Check('steps', MISSING, 'none was taken', 'set the length of the training')
        return
    seconds = clock.ends[-1] - (clock.ends[-2] if len(clock.ends) > 1 else started)
    yield Check('steps', OK, f'{len(clock.ends)} taken; the last took {seconds:.3f} s')
    yield _memory()
    yield Check(
        'whole time',
        OK,
        f'about {_time(seconds * clock.total)} for {clock.total} steps in one process, without validation and '
        f'checkpoints',
    )


def _memory() -> Check:
    if not torch.cuda.is_available():
        return Check(
            'memory', OK, f'{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB of this process'
        )
    used, there = torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    found = f'{used / 2**30:.2f} GiB of the GPU, which has {there / 2**30:.0f}'
    full = used > 0.92 * there
    return Check('memory', WARNING if full else OK, found, 'leave more of it: a smaller batch' if full else '')


def _said(error: Exception) -> tuple[str, str]:
    """What was found and what to do: our sentences have the cure after their last colon."""
    sentence = user_message(error)
    if sentence is None:
        return f'{type(error).__name__}: {" ".join(str(error).split())[:200]}', 'see what hsakd-mm train says'
    found, _, cure = sentence.rpartition(': ')
    return (found, cure) if found else (sentence, '')


def _time(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    if minutes < 2:
        return f'{seconds:.0f} seconds'
    return f'{minutes} minutes' if minutes < 120 else f'{minutes / 60:.1f} hours'
