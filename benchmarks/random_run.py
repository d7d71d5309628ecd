"""A training as tools/train.py prepares it, on random images, with a teacher that nobody trained."""

import os

import torch
from mmengine.config import Config

from hsakd_mm.engine.exact import make_exact
from hsakd_mm.engine.launch import prepare_launcher
from hsakd_mm.errors import UserError
from hsakd_mm.registry import DATASETS, MODELS

WARM_UP = 3  # steps that are not timed


@DATASETS.register_module()
class RandomImages:
    """Random images and labels, ready made."""

    def __init__(self, size: int, classes: int, length: int) -> None:
        self.images = torch.randint(0, 256, (16, 3, size, size), dtype=torch.uint8)
        self.metainfo, self.length = dict(classes=tuple(map(str, range(classes)))), length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self.images[index % 16], labels=index % len(self.metainfo['classes']))


def random_run(cfg: Config, folder: str, size: int, batch: int, steps: int, workers: int, launcher: str) -> Config:
    """The config of one epoch of ``WARM_UP + steps`` steps, without validation and without a checkpoint.

    Args:
        cfg (Config): A student with a DistillationHook.
        folder (str): Work directory.
        size, batch, steps (int): Side of the images, images a step and process, and timed steps.
        workers (int): Of the loader.
        launcher (str): 'none' or 'pytorch'.
    """
    hook = cfg.get('default_hooks', {}).get('distillation')
    if hook is None:
        raise UserError(
            f'a config with a DistillationHook was expected, and {cfg.filename} has none: name the config of a student.'
        )
    hook.update(checkpoint=os.path.join(folder, 'teacher.pth'), check=False)
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(dict(hook.teacher)).state_dict()), hook.checkpoint)
    length = batch * (steps + WARM_UP) * int(os.environ.get('WORLD_SIZE', 1))
    classes = cfg.model.backbone.num_classes
    cfg.train_dataloader.update(batch_size=batch, num_workers=workers, persistent_workers=workers > 0)
    cfg.train_dataloader.pop('dataset')
    cfg.train_dataloader.dataset = dict(type='RandomImages', size=size, classes=classes, length=length)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.train_cfg.max_epochs, cfg.param_scheduler = 1, None
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1000, save_last=False)
    cfg.work_dir = folder
    make_exact(cfg)
    prepare_launcher(cfg, launcher)
    return cfg
