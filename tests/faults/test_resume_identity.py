"""A run that is resumed is the run that was stopped: another experiment is refused, a new rate takes effect."""

import copy
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from hsakd_mm.engine.run_identity import KEY, data_fingerprint, differences, recipe_of
from hsakd_mm.engine.training import train
from hsakd_mm.errors import UserError
from hsakd_mm.registry import DATASETS
from tests.conftest import REPO
from tests.faults.exact import SignalAt, start, stop_and_resume
from tests.tools.commands import TINY
from tests.transfer.tiny_detection import detector

ROW = '`--resume` as another experiment'
SCHEDULE = [dict(type='MultiStepLR', milestones=[1, 3], gamma=0.5)]


def stopped(cfg: Config, folder: Path, name: str) -> Path:
    """Train; the last checkpoint."""
    cfg.work_dir, cfg.experiment_name = str(folder), f'{folder}-{name}'
    train(Runner.from_cfg(cfg))
    return Path((folder / 'last_checkpoint').read_text())


def resumed(cfg: Config, checkpoint: Path, name: str, **changed) -> tuple:
    """``(runner, what its log says)`` after going on from a checkpoint with other settings."""
    cfg = Config(cfg.to_dict())
    cfg.merge_from_dict(changed)
    cfg.work_dir, cfg.experiment_name = str(checkpoint.parent / name), f'{checkpoint}-{name}'
    cfg.load_from, cfg.resume = str(checkpoint), True
    runner = Runner.from_cfg(cfg)
    try:
        train(runner)
    finally:
        log = ''.join(path.read_text() for path in Path(cfg.work_dir).rglob('*.log'))
    return runner, log


def tiny(**changed) -> Config:
    cfg = Config.fromfile(TINY)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.merge_from_dict(changed)
    return cfg


REFUSED = {
    'optim_wrapper.optimizer.momentum': (0.5, 'optim_wrapper.optimizer.momentum was 0.9 and is 0.5'),
    'param_scheduler': ([dict(SCHEDULE[0], gamma=0.1)], 'param_scheduler.0.gamma was 0.5 and is 0.1'),
    'model.extra': (1, 'model.extra was not set and is 1'),
    'randomness.seed': (7, 'randomness.seed was 0 and is 7'),
    'train_dataloader.drop_last': (True, 'drop_last was False and is True'),
}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    cfg = tiny(**{'train_cfg.max_epochs': 1, 'param_scheduler': SCHEDULE})
    return cfg, stopped(cfg, tmp_path_factory.mktemp('run'), 'first')


@pytest.mark.parametrize('name', REFUSED)
def test_recipe(run, name, seen) -> None:
    value, words = REFUSED[name]
    cfg, checkpoint = run
    if name == 'model.extra':  # a model takes no such argument: the comparison by itself
        old = torch.load(checkpoint, weights_only=True)['meta'][KEY]
        assert words in differences(old, {**old, 'recipe': {**old['recipe'], 'model.extra': 1}})[0]
        return
    with pytest.raises(UserError, match='another experiment') as told:
        resumed(cfg, checkpoint, name, **{name: value, 'train_cfg.max_epochs': 2})
    assert words in str(told.value) and '--work-dir' in str(told.value)
    seen(ROW, f'`{name}` changed', f'refused: {words}')


@pytest.mark.parametrize('stored', [{}, {'model.data_preprocessor.channels_last': False}])
def test_the_order_of_numbers_in_memory_may_change(run, stored) -> None:
    """Also where the checkpoint is of a version that stored it."""
    cfg, checkpoint = run
    old = torch.load(checkpoint, weights_only=True)['meta'][KEY]
    cfg = copy.deepcopy(cfg)
    cfg.model.data_preprocessor = dict(cfg.model.get('data_preprocessor') or {}, channels_last=True)
    old['recipe'] = {**old['recipe'], **stored}
    new = {**old, 'recipe': {**old['recipe'], **recipe_of(cfg)}}
    assert differences(old, {**new, 'recipe': {**new['recipe'], 'model.extra': 1}}) == [
        'model.extra was not set and is 1'
    ]
    assert differences(old, new) == []


def test_what_may_change_is_said(run, seen) -> None:
    cfg, checkpoint = run
    changed = {'train_dataloader.batch_size': 8, 'train_cfg.max_epochs': 6}
    _, log = resumed(cfg, checkpoint, 'may', **changed)
    assert 'batch of each was 4 and is 8' in log and 'max_epochs was 1 and is 6' in log
    seen(ROW, 'batch, number of epochs changed', 'goes on, said in one line with both values')


@pytest.mark.parametrize('schedule', [None, SCHEDULE])
def test_learning_rate_takes_effect(schedule, tmp_path, seen) -> None:
    """As if the first epochs had had it too: the same rates in every later epoch."""
    cfg = tiny(**{'train_cfg.max_epochs': 1})
    cfg.param_scheduler = schedule
    checkpoint = stopped(cfg, tmp_path, 'first')
    new = {'optim_wrapper.optimizer.lr': 0.02, 'train_cfg.max_epochs': 5}
    runner, log = resumed(cfg, checkpoint, 'other', **new)
    assert 'The learning rate was 0.1 and is 0.02' in log
    whole = Config(cfg.to_dict())
    whole.merge_from_dict(new)
    whole.work_dir, whole.experiment_name = str(tmp_path / 'whole'), str(tmp_path / 'whole')
    reference = Runner.from_cfg(whole)
    train(reference)
    got, expected = (each.optim_wrapper.optimizer.param_groups[0] for each in (runner, reference))
    assert got['lr'] == pytest.approx(expected['lr'])
    assert got.get('initial_lr') == pytest.approx(expected.get('initial_lr'))
    again = Path(runner.work_dir, 'epoch_5.pth')
    kept, log = resumed(cfg, again, 'again', **{**new, 'train_cfg.max_epochs': 6})
    assert 'The learning rate was' not in log  # not a second time
    assert kept.optim_wrapper.optimizer.param_groups[0]['lr'] == pytest.approx(expected['lr'])
    with_schedule = ' with a schedule' if schedule else ''
    seen(ROW, f'`optim_wrapper.optimizer.lr` changed{with_schedule}', 'takes effect from here on, and is said')


@pytest.mark.parametrize('lr', [0.1, 0.02])
def test_a_schedule_that_follows_the_validations(lr, tmp_path, seen) -> None:
    """What it has measured is not what it was configured with: it goes on."""
    cfg = Config.fromfile(TINY)
    plateau = dict(type='ReduceOnPlateauLR', monitor='tiny/images', rule='greater', patience=1, factor=0.5)
    cfg.merge_from_dict({'param_scheduler': [plateau], 'train_cfg.max_epochs': 5})  # that number never rises
    cfg.custom_hooks = [dict(type='RunIdentityHook')]
    whole = start(cfg, tmp_path / 'whole')
    whole.train()
    cfg_of_resumed = dict(optim_wrapper=dict(cfg.optim_wrapper, optimizer=dict(cfg.optim_wrapper.optimizer, lr=lr)))
    runner = stop_and_resume(cfg, tmp_path / 'run', SignalAt(step=14), **cfg_of_resumed)
    expected, got = (each.param_schedulers[0].state_dict() for each in (whole, runner))
    assert got.pop('_last_value') == pytest.approx([lr / 2]) and expected.pop('_last_value') == [0.05]
    assert got == expected and got['best'] == 16
    plateau['patience'] = 3
    with pytest.raises(UserError, match=r'param_scheduler\.0\.patience was 1 and is 3'):
        start(cfg, tmp_path / 'run', resume=True, param_scheduler=[plateau]).train()
    seen(ROW, '`ReduceOnPlateauLR`, the same', 'goes on with what it has measured')


def test_schedule_of_another_length(tmp_path, seen) -> None:
    cfg = tiny(**{'train_cfg.max_epochs': 1})
    cfg.param_scheduler = [dict(type='CosineAnnealingLR')]
    checkpoint = stopped(cfg, tmp_path, 'first')
    with pytest.raises(UserError, match='T_max was 1 and is 3, which depends on the length') as told:
        resumed(cfg, checkpoint, 'longer', **{'train_cfg.max_epochs': 3})
    seen(ROW, '`max_epochs` changed with a cosine schedule to the last epoch', f'refused: {str(told.value)[:60]}...')


def test_checkpoint_without_identity(run, tmp_path, seen) -> None:
    cfg, checkpoint = run
    content = torch.load(checkpoint, weights_only=True)
    del content['meta'][KEY]
    torch.save(content, tmp_path / 'epoch_1.pth')
    _, log = resumed(cfg, tmp_path / 'epoch_1.pth', 'old', **{'train_cfg.max_epochs': 2})
    assert log.count('saved without the identity of its run') == 1
    seen(ROW, 'a checkpoint of an older version', 'goes on; said that nothing is compared')


@pytest.fixture
def distilled(demo_data, tmp_path):
    """A student of the demo, narrow, on 64 digits, and the file of its teacher."""
    torch.set_num_threads(1)
    digits = shutil.copytree(demo_data / 'digits', tmp_path / 'digits')
    narrow = dict(channels=(8, 8, 16, 16))
    cfg = Config.fromfile(REPO / 'configs/demo/hsakd.py')
    cfg.model.backbone.update(narrow)
    hook = cfg.default_hooks.distillation
    hook.teacher.backbone.update(narrow)
    hook.update(checkpoint=str(tmp_path / 'teacher.pth'), check=False)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.update(data_root=str(digits), fraction=0.06)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_cfg.max_epochs = 1
    write_teacher(hook.teacher, tmp_path / 'teacher.pth', 0)
    return cfg, digits


def write_teacher(cfg, path: Path, seed: int) -> None:
    from hsakd_mm.registry import MODELS

    torch.manual_seed(seed)
    torch.save(dict(state_dict=MODELS.build(cfg).state_dict()), path)


def test_teacher_and_data(distilled, tmp_path, seen) -> None:
    cfg, digits = distilled
    checkpoint = stopped(cfg, tmp_path / 'run', 'first')
    more = {'train_cfg.max_epochs': 2}

    def refused(name: str, *words: str, **changed) -> None:
        with pytest.raises(UserError, match='another experiment') as told:
            resumed(cfg, checkpoint, name, **more, **changed)
        assert all(word in str(told.value) for word in words), str(told.value)
        seen(ROW, f'{name} changed', f'refused: {" ".join(words)}')

    refused('fraction', 'images and has', **{'train_dataloader.dataset.fraction': 0.08})
    order = tuple(sorted((path.name for path in (digits / 'train').iterdir()), reverse=True))
    refused('order of the classes', 'another order', **{'train_dataloader.dataset.metainfo': dict(classes=order)})
    other = shutil.copytree(digits, tmp_path / 'moved')
    first = sorted((other / 'train').iterdir())[0]
    files = sorted(first.iterdir())
    for file in files:
        file.rename(first / f'new_{file.name}')
    refused('names of the images', 'names or labels', **{'train_dataloader.dataset.data_root': str(other)})
    same = shutil.copytree(digits, tmp_path / 'elsewhere')
    _, log = resumed(cfg, checkpoint, 'moved', **more, **{'train_dataloader.dataset.data_root': str(same)})
    assert 'resumed epoch' in log
    seen(ROW, 'data in another folder', 'goes on')
    write_teacher(cfg.default_hooks.distillation.teacher, tmp_path / 'teacher.pth', 1)
    refused('teacher', 'teacher was', 'and is')


def test_detection_config(tmp_path) -> None:
    """Of MMDetection's configs: the annotations' file, and no code of ours in the config."""
    pytest.importorskip('mmdet')
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    cfg = detector(tmp_path / 'data')
    build = DATASETS.build
    first = data_fingerprint(build(dict(cfg.train_dataloader.dataset, _scope_='mmdet')))
    assert first['images'] == 3 and first['classes'] == ['cat', 'dog']
    path = tmp_path / 'data' / 'train.json'
    path.write_text(path.read_text().replace('20, 12', '20, 13'))
    second = data_fingerprint(build(dict(cfg.train_dataloader.dataset, _scope_='mmdet')))
    assert second['images'] == 3 and first['sha256'] != second['sha256']
    recipe = recipe_of(cfg)
    assert 'model.roi_head.bbox_head.num_classes' in recipe
    assert not any('data_root' in name for name in recipe)
