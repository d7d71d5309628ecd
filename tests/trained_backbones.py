"""Training checkpoints of narrow students, as mmengine writes them."""

from collections import OrderedDict

import torch

from hsakd_mm.models.backbones import TimmBackbone

NARROW = (8, 8, 16, 16)
TRAINED = """
model = dict(
    type='HSAKD',
    data_preprocessor=dict(type='ImagePreprocessor', mean=[10., 20., 30.], std=[40., 50., 60.]),
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=10, channels={channels}))
default_hooks = dict({hooks})
"""
DISTILLED = "distillation=dict(type='DistillationHook', checkpoint='teacher.pth', teacher=dict())"


def write_checkpoint(path, channels=NARROW, hooks=DISTILLED, model_name='resnet18'):
    """A training checkpoint as mmengine writes it; returns the backbone in it, with head."""
    torch.manual_seed(0)
    net = TimmBackbone(model_name, num_classes=10, channels=channels)
    for buffer in net.buffers():  # statistics that a forgotten buffer would show
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    state_dict = OrderedDict(
        (f'backbone.{key}', value.half().float() if 'bn' in key else value) for key, value in net.state_dict().items()
    )
    state_dict['branches.0.fc.weight'] = torch.zeros(4, 4)
    meta = dict(cfg=TRAINED.format(channels=tuple(channels), hooks=hooks), epoch=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(meta=meta, state_dict=state_dict), path)
    net.load_state_dict(
        {key.removeprefix('backbone.'): value for key, value in state_dict.items() if key.startswith('backbone.')}
    )
    return net.eval()
