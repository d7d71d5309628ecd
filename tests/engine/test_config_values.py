"""Values of a config that mmengine and torch would only trip over."""

import pytest
from mmengine.hooks import EMAHook

from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.accuracy import Accuracy
from hsakd_mm.models.data_preprocessor import ImagePreprocessor
from tests.configs.catalog import CONFIGS
from tests.conftest import REPO

COUNTS = ['train_dataloader.batch_size', 'train_cfg.max_epochs', 'default_hooks.logger.interval']
HSAKD = str(REPO / 'configs' / 'demo' / 'hsakd.py')
PLAIN = str(REPO / 'configs' / 'demo' / 'plain.py')


@pytest.mark.parametrize('value', [0, -4, 2.5, 'abc', True, [8], float('nan'), float('inf')])
@pytest.mark.parametrize(
    'key', ['train_dataloader.batch_size', 'train_cfg.max_epochs', 'default_hooks.logger.interval']
)
def test_what_has_to_be_a_positive_integer(key, value) -> None:
    with pytest.raises(UserError, match=f'{key} is expected to be an integer of at least 1, and it is '):
        load_config(PLAIN, {key: value})


def test_no_validation_at_all() -> None:
    load_config(PLAIN, dict.fromkeys(('val_dataloader', 'val_cfg', 'val_evaluator')))


@pytest.mark.parametrize(
    'key, value, said',
    [
        ('val_dataloader.num_workers', -1, 'at least 0'),
        ('train_cfg.val_interval', 0, 'at least 1'),
        ('optim_wrapper.optimizer.lr', 'high', 'a number of at least 0'),
        ('optim_wrapper.optimizer.lr', -0.1, 'a number of at least 0'),
        ('optim_wrapper.optimizer.momentum', 1.0, 'from 0 to below 1'),
        ('optim_wrapper.optimizer.weight_decay', [1e-4], 'a number of at least 0'),
        ('optim_wrapper.accumulative_counts', 0, 'at least 1'),
        ('optim_wrapper.optimizer.type', 'Sgd', r'there is no Sgd \(did you mean SGD'),
        ('optim_wrapper.optimizer.type', 'AdamWW', r'did you mean AdamW'),
        ('default_hooks.checkpoint.interval', 0, '-1 for never'),
        ('randomness.seed', 'abc', 'from 0 to 4294967295'),
        ('randomness.seed', -1, 'from 0 to 4294967295'),
        ('randomness.seed', 2**32, 'from 0 to 4294967295'),
        ('train_dataloader.dataset', None, 'a dict, and it is None'),
        ('env_cfg', None, 'a dict, and it is None'),
        ('model.backbone', None, 'a dict, and it is None'),
        ('custom_hooks', 'EMAHook', 'a list'),
        ('custom_hooks', [dict(interval=1)], r'custom_hooks\.0 .*a dict with a type'),
        ('custom_hooks', [dict(type='EMAHook'), None], r'custom_hooks\.1 .*a dict with a type'),
        ('default_hooks', None, 'a dict, and it is None'),
        ('val_dataloader', None, 'all three or none, and val_dataloader is None'),
        ('val_cfg', None, 'all three or none, and val_cfg is None'),
        ('val_evaluator', None, 'all three or none, and val_evaluator is None'),
        ('log_level', 'LOUD', 'a level'),
        ('optim_wrapper.clip_grad', dict(max=1), 'max_norm'),
        ('optim_wrapper.clip_grad', 1.0, 'a dict with some of'),
        ('train_dataloader.collate_fn.type', 'nothing', 'there is no nothing'),
        ('val_dataloader.collate_fn.type', 'default_colate', 'did you mean default_collate'),
        ('model.temperature', 0, 'above 0'),
        ('default_hooks.distillation.teacher', None, 'a dict, and it is None'),
        ('default_hooks.distillation.ramp_up_epochs', -1, 'at least 0'),
    ],
)
def test_other_values(key, value, said) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load_config(HSAKD if 'distillation' in key else PLAIN, {key: value})
    assert str(caught.value).startswith('val_dataloader, val_cfg' if 'three' in said else key)


@pytest.mark.parametrize(
    'line, said',
    [
        (
            'optim_wraper = dict(optimizer=dict(lr=0.01))',
            'sets optim_wraper, which nothing reads: correct it to optim_wrapper',
        ),
        ('custom_hook = []', 'correct it to custom_hooks'),
        ('train_dataloder = dict(batch_size=8)', 'correct it to train_dataloader'),
        ('val_evalator = None', 'correct it to val_evaluator'),
        (
            'default_hooks = dict(chekpoint=dict(interval=5))',
            r'default_hooks.chekpoint is expected .*did you mean checkpoint',
        ),
        ('default_hooks = dict(mine=dict())', 'it has nothing'),
        (
            'train_dataloader = dict(_delete_=True, batch_size=4)',
            r'have a sampler, and it has batch_size: .*shuffle=True',
        ),
        ('val_dataloader = dict(_delete_=True, batch_size=4)', r'val_dataloader .*shuffle=False'),
        ('val_cfg = val_evaluator = None', 'val_cfg and val_evaluator are None'),
    ],
)
def test_misspelt_names_in_a_file(tmp_path, line, said) -> None:
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = 'hsakd_mm::demo/plain.py'\n{line}\n")
    with pytest.raises(UserError, match=said):
        load_config(str(path))


def test_own_variables_in_a_file(tmp_path) -> None:
    path = tmp_path / 'mine.py'
    path.write_text(
        "_base_ = 'hsakd_mm::demo/plain.py'\ntrain_pipeline = val_pipeline = []\nmax_epochs = base_lr = 1\n"
    )
    load_config(str(path))


@pytest.mark.parametrize(
    'key, value',
    [
        ('train_cfg.max_epochs', 2.0),
        ('optim_wrapper.optimizer.lr', 0),
        ('optim_wrapper.optimizer.type', 'torch.optim.SGD'),
        ('randomness.seed', None),
        ('default_hooks.checkpoint.interval', -1),
        ('param_scheduler', None),
        ('auto_scale_lr', None),
        ('custom_hooks', [dict(type='EMAHook'), EMAHook()]),
        ('log_level', 'DEBUG'),
        ('optim_wrapper.clip_grad', dict(max_norm=1.0)),
        ('train_dataloader.collate_fn.type', 'torch.utils.data.default_collate'),
        ('train_dataloader.num_workers', 0),
    ],
)
def test_what_is_right(key, value) -> None:
    load_config(PLAIN, {key: value})


@pytest.mark.parametrize('name', CONFIGS)
def test_our_own_configs_are_right(name) -> None:
    load_config(str(REPO / 'configs' / f'{name}.py'))


@pytest.mark.parametrize(
    'mean, std', [((1, 2), (1, 2, 3)), ((1, 2, 3), (1, 0, 3)), ([1] * 3, [1]), ([0] * 3, [-1] * 3)]
)
def test_normalisation(mean, std) -> None:
    with pytest.raises(UserError, match='three numbers each, those of std above 0'):
        ImagePreprocessor(mean=mean, std=std)


@pytest.mark.parametrize('topk', [0, (), (1, -5), (1.5,), 'five'])
def test_topk(topk) -> None:
    assert Accuracy(topk=1).topk == (1,)
    with pytest.raises(UserError, match='positive integers'):
        Accuracy(topk=topk)
