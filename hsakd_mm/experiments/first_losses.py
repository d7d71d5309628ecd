"""The first losses of a run, by which a test knows whether today's code still trains as a published table's did.

Three steps of the run's own loop, in this process and on the CPU, with one thread; images, their order and their
augmentation are the run's. A pretraining's are in float64: in float32 the third loss of one and the same code differed
by 0.2 % between two kinds of CPU, whose sums are rounded differently. A detector's are in float32, as MMDetection's
anchors are. Batches are cut to a few images, which takes seconds. Weights that the run starts from are replaced by
random ones of a fixed seed: those of a teacher are hours of training away, and are no part of the code.
"""

import copy
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import mmengine.device.utils as mmengine_device
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn

from hsakd_mm.engine.exact import make_exact
from hsakd_mm.engine.training import train
from hsakd_mm.engine.trial_steps import do_not_verify
from hsakd_mm.evaluation.training_cost import train_size
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS, type_name

STEPS = 3
IMAGES, DETECTION_IMAGES = 8, 2  # a step: a pretraining's are small, a detector's take gigabytes of memory each
SEED = 0  # of weights that stand in for a checkpoint
_FASTER = ('CompileHook', 'GradientCompressionHook', 'EMAHook')  # the same training, or none of it


class _Done(Exception):
    """The steps are taken."""


class _Losses(Hook):
    """Ends the training after the steps, and keeps their losses."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.values: list[float] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.values.append(float(torch.as_tensor(outputs['loss']).detach()))
        if len(self.values) == min(STEPS, runner.max_iters):
            raise _Done


class _Double(Hook):
    """Trains in float64, once everything is built and loaded."""

    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        runner.model.double()
        if (teacher := getattr(runner.model, 'teacher', None)) is not None:  # no module of its student
            teacher.double()


def first_losses(cfg: Config, seed: int) -> list[float]:
    """The losses of the first three steps.

    Args:
        cfg (Config): Of a pretraining, or of a detector from random weights; it stays as it is. Its data has to be
            there.
        seed (int): The run's.

    Raises:
        Exception: Whatever building or training it raises.
    """
    losses = _Losses()
    with _undone(), tempfile.TemporaryDirectory() as folder:
        runner = Runner.from_cfg(_reduced(cfg, seed, folder))
        runner.register_hook(losses)
        if cfg.get('default_scope') != 'mmdet':
            runner.register_hook(_Double())
        try:
            train(runner)
        except _Done:
            pass
    return losses.values


def _reduced(cfg: Config, seed: int, folder: str) -> Config:
    cfg = copy.deepcopy(cfg)
    cfg.work_dir, cfg.log_level, cfg.load_from, cfg.resume = folder, 'ERROR', None, False
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    loader = cfg.train_dataloader
    do_not_verify(loader)
    loader.num_workers, loader.persistent_workers = 0, False
    if 'batch_size' in loader:
        few = DETECTION_IMAGES if cfg.get('default_scope') == 'mmdet' else IMAGES
        loader.batch_size = min(loader.batch_size, few)
    wrapper = cfg.optim_wrapper
    if type_name(wrapper.get('type')) in ('AmpOptimWrapper', 'AutocastOptimWrapper'):
        wrapper.type = 'OptimWrapper'
        for key in ('dtype', 'loss_scale', 'use_fp64'):
            wrapper.pop(key, None)
    cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks') or [] if type_name(hook.get('type')) not in _FASTER]
    make_exact(cfg)
    # Nothing is kept; and a handler of signals belongs to the main thread, which this need not be.
    cfg.default_hooks.checkpoint = None
    cfg.visualizer = dict(type='mmengine.Visualizer', vis_backends=[])
    for name in ('preemption', 'visualization'):
        cfg.default_hooks.pop(name, None)
    _use_random_weights(cfg, folder)
    return cfg


def _use_random_weights(cfg: Config, folder: str) -> None:
    """Replace the checkpoints that a pretraining starts or learns from."""
    torch.manual_seed(SEED)  # of what a network is built with: its biases
    model, hook = cfg.model, cfg.default_hooks.get('distillation')
    if model.get('load_backbone_from'):
        model.load_backbone_from = None
    if model.get('checkpoint'):
        backbone = dict(model.backbone)
        model.checkpoint = _write_random(MODELS.build(backbone), cfg, os.path.join(folder, 'backbone.pth'))
    if hook:
        teacher = dict(copy.deepcopy(hook.teacher))
        if teacher.get('data_preprocessor') is None:
            teacher['data_preprocessor'] = model.get('data_preprocessor')
        if teacher.get('checkpoint'):
            teacher['checkpoint'] = hook.teacher.checkpoint = 'replaced'
        hook.checkpoint = _write_random(MODELS.build(teacher), cfg, os.path.join(folder, 'teacher.pth'))
        hook.check = hook.check_classes = False


def _write_random(net: nn.Module, cfg: Config, path: str) -> str:
    """Weights of a fixed seed, whose BatchNorms have seen random images, so that no logit is out of scale."""
    generator = torch.Generator().manual_seed(SEED)
    for value in net.parameters():
        if value.ndim > 1:
            nn.init.kaiming_normal_(value.data, generator=generator)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    size = train_size(cfg)
    forward = next(getattr(net, name) for name in ('forward_branches', 'logits', 'forward') if hasattr(net, name))
    with torch.no_grad():
        net.train().double()  # in float32 the statistics would be a machine's own
        forward(torch.randn(4, 3, size, size, generator=generator).double())
    torch.save(dict(state_dict=net.float().state_dict()), path)
    return path


@contextmanager
def _undone() -> Iterator[None]:
    """One thread and no GPU inside; random generators, threads, loggers and scopes are as before on exit."""
    device, threads = mmengine_device.DEVICE, torch.get_num_threads()
    deterministic, benchmark = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    managed = {kind: kind._instance_dict.copy() for kind in (DefaultScope, MessageHub, MMLogger, Visualizer)}
    with isolated_rng('first losses'):
        try:
            mmengine_device.DEVICE = 'cpu'
            torch.set_num_threads(1)
            yield
        finally:
            mmengine_device.DEVICE = device
            torch.set_num_threads(threads)
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark
            for name, logger in MMLogger._instance_dict.items():
                if name not in managed[MMLogger]:
                    for handler in logger.handlers:
                        handler.close()
            for kind, instances in managed.items():
                kind._instance_dict = instances
