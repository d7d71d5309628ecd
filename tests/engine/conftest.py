import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from tests.conftest import REPO

NARROW = (8, 8, 16, 16)


@pytest.fixture
def config(demo_data, tmp_path):
    """The demo's configs, narrower, on 64 digits: ``config('hsakd', **overrides)``."""

    def load(name: str, epochs: int = 1, **overrides) -> Config:
        cfg = Config.fromfile(REPO / 'configs' / 'demo' / f'{name}.py')
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.update(num_workers=0, persistent_workers=False)
            loader.dataset.update(data_root=str(demo_data / 'digits'), indices=64)
        cfg.train_cfg.update(max_epochs=epochs, val_interval=1)
        cfg.default_hooks.checkpoint.interval = 1
        cfg.model.pop('pretext', None)  # all rotations, as is HSAKD's default
        cfg.model.backbone.channels = NARROW
        if 'distillation' in cfg.default_hooks:
            cfg.default_hooks.distillation.teacher.backbone.channels = NARROW
        cfg.work_dir = str(tmp_path / name)
        cfg.merge_from_dict(overrides)
        return cfg

    return load


@pytest.fixture
def run():
    """Builds a Runner of a config, trains it, and returns it."""

    def train(cfg: Config) -> Runner:
        torch.set_num_threads(1)
        cfg.experiment_name = f'{cfg.work_dir}-{id(cfg)}'  # mmengine keeps loggers by this name
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner

    return train
