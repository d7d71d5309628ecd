"""The configs under test: all that pretrain, whatever method folder they lie in."""

import copy
from functools import cache
from pathlib import Path

from mmengine.config import Config

from tests.conftest import REPO

# Folders of configs with tests of their own; every other one is a method's.
OTHERS = ('_base_', 'bench', 'demo', 'linear', 'transfer')


def leaves(folder: Path) -> list:
    """Configs of a folder that are run, as against those that they share."""
    return sorted(folder.glob('[!_]*.py'))


FOLDERS = sorted(folder for folder in (REPO / 'configs').iterdir() if folder.is_dir())
METHODS = [folder for folder in FOLDERS if folder.name not in OTHERS]
CONFIGS = [f'{folder.name}/{path.stem}' for folder in METHODS for path in leaves(folder)]


@cache
def _read(name: str) -> Config:
    return Config.fromfile(REPO / 'configs' / f'{name}.py')


def load(name: str) -> Config:
    """The config ``folder/stem``, for the caller to change."""
    return copy.deepcopy(_read(name))


def inherit(name: str, folder: Path) -> Config:
    """The config ``folder/stem`` as a user's own file in another folder has it, inherited by name."""
    file = folder / 'mine.py'
    file.write_text(f"_base_ = 'hsakd_mm::{name}.py'\n")
    return Config.fromfile(file)


def work_dir(name: str) -> str:
    """Where ``tools/train.py`` puts a run of it."""
    return _read(name).get('work_dir') or f'work_dirs/{name.partition("/")[2]}'


def backbone_configs(cfg: Config) -> list:
    """What is trained to be handed on: one network, or those that teach each other."""
    nets = cfg.model.get('nets') or [cfg.model]
    return [net.backbone for net in nets]
