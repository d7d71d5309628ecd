"""Makes any config's run one that can be stopped and resumed at every step."""

from mmengine.config import Config

from hsakd_mm.registry import type_name

LOOPS = {'EpochBasedTrainLoop': 'hsakd_mm.ExactEpochLoop', 'IterBasedTrainLoop': 'hsakd_mm.ExactIterLoop'}


def make_exact(cfg: Config) -> None:
    """Put the loop and the hooks of this project in the place of mmengine's; other loops and hooks stay.

    Args:
        cfg (Config): Of a run, also of MMDetection; changed.
    """
    loop = cfg.train_cfg
    if loop.get('type') is None:
        loop.type = 'EpochBasedTrainLoop' if loop.pop('by_epoch', True) else 'IterBasedTrainLoop'
    loop.type = LOOPS.get(type_name(loop.type), loop.type)
    hooks = cfg.setdefault('default_hooks', {})
    checkpoint = hooks.get('checkpoint', dict(type='CheckpointHook'))  # which mmengine adds by default
    if checkpoint is not None and type_name(checkpoint.get('type')) == 'CheckpointHook':
        hooks['checkpoint'] = dict(checkpoint, type='hsakd_mm.ExactCheckpointHook')
    if hooks.setdefault('preemption', dict(type='hsakd_mm.PreemptionHook')) is None:
        hooks.pop('preemption')
