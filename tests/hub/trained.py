"""Training checkpoints of any backbone, with a config as tools/train.py stores it."""

import torch

from hsakd_mm.models import backbones

MEAN, STD = [100.0, 110.0, 120.0], [50.0, 55.0, 60.0]
STEPS = [dict(type='LoadImage'), dict(type='torchvision/Resize', size=40), dict(type='torchvision/CenterCrop', size=32)]


def save(path, backbone: dict, method: str = 'HSAKD', steps=STEPS, **more):
    """Write a checkpoint with random weights; returns its backbone in eval mode.

    Args:
        path (Path): The file.
        backbone (dict): Config of the backbone.
        method (str): Type of the model.
        steps (list): Transforms of the validation data.
        **more: Further entries of the config.
    """
    torch.manual_seed(0)
    config = dict(backbone)
    net = getattr(backbones, config.pop('type'))(**config).eval()
    for buffer in net.buffers():  # statistics that a forgotten buffer would show
        if buffer.is_floating_point() and buffer.dim() == 1:
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    loader = dict(batch_size=4, dataset=dict(type='ImageFolder', data_root='data/mine', split='val', pipeline=steps))
    preprocessor = dict(type='ImagePreprocessor', mean=MEAN, std=STD)
    cfg = dict(
        model=dict(type=method, data_preprocessor=preprocessor, backbone=backbone),
        train_dataloader=dict(batch_size=4, dataset=dict(type='ImageFolder', data_root='data/mine', split='train')),
        val_dataloader=loader,
        train_cfg=dict(max_epochs=7),
        **more,
    )
    text = '\n'.join(f'{name} = {value!r}' for name, value in cfg.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {f'backbone.{key}': value for key, value in net.state_dict().items()}
    torch.save(dict(meta=dict(cfg=text, epoch=3, iter=30, seed=5), state_dict=state), path)
    return net


def timm(name: str, **arguments) -> dict:
    return dict(type='TimmBackbone', model_name=name, num_classes=5, **arguments)


NARROW = dict(channels=(8, 8, 16, 16))
VIT = timm('vit_tiny_patch16_224', depth=2, embed_dim=32, num_heads=2, img_size=32, patch_size=8, drop_path_rate=0.1)
