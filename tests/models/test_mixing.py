"""Mixed images: what is mixed, in which mode, and that a stopped run goes on with the same mixes."""

import pytest
import torch
from mmengine.config import Config

from hsakd_mm.errors import UserError
from hsakd_mm.models.data_preprocessor import ImagePreprocessor
from tests.conftest import REPO
from tests.faults.exact import SignalAt, assert_same, content, start, stop_and_resume

PLAIN = dict(mean=[0, 0, 0], std=[1, 1, 1])


def batch() -> dict:
    images = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 3, 8, 8) * 50
    return dict(inputs=images, labels=torch.tensor([0, 1, 2, 1]))


@pytest.mark.parametrize('mix', ['MixUp', 'CutMix'])
def test_a_training_batch_is_mixed_with_its_labels(mix) -> None:
    preprocess = ImagePreprocessor(**PLAIN, batch_mix=dict(type=mix, alpha=1.0, num_classes=3))
    torch.manual_seed(0)
    mixed = preprocess(batch(), training=True)
    torch.testing.assert_close(mixed['labels'].sum(1), torch.ones(4))
    value = mixed['inputs'].mean((1, 2, 3)) / 50
    share = mixed['labels'][0, 0]  # of the first image itself; the rest is the last one
    assert 0 < share < 1
    torch.testing.assert_close(value[0], (1 - share) * 3)
    left = preprocess(batch(), training=False)
    assert torch.equal(left['labels'], batch()['labels']) and torch.equal(left['inputs'], batch()['inputs'].float())


def test_images_without_labels_are_mixed_too() -> None:
    preprocess = ImagePreprocessor(**PLAIN, batch_mix=dict(type='MixUp', num_classes=3))
    mixed = preprocess(dict(inputs=batch()['inputs']), training=True)
    assert 'labels' not in mixed and not torch.equal(mixed['inputs'], batch()['inputs'].float())


@pytest.mark.parametrize(
    'mix, said',
    [
        (dict(type='Mixup', num_classes=3), "MixUp or CutMix, and is 'Mixup'"),
        (dict(type='MixUp', num_classes=0), 'expected to be positive'),
        (dict(type='MixUp', alpha=0, num_classes=3), 'expected to be positive'),
        (dict(type='MixUp', num_classes=2), 'labels below 2 were expected'),
    ],
)
def test_what_does_not_fit_is_one_sentence(mix, said) -> None:
    with pytest.raises(UserError, match=said):
        ImagePreprocessor(**PLAIN, batch_mix=mix)(batch(), training=True)


def test_a_stopped_run_goes_on_with_the_same_mixes(demo_data, tmp_path) -> None:
    torch.set_num_threads(1)
    cfg = Config.fromfile(REPO / 'configs/demo/plain.py')
    cfg.model.data_preprocessor.batch_mix = dict(type='MixUp', alpha=0.4, num_classes=10)
    cfg.train_cfg.max_epochs = 2
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(demo_data / 'digits')
    start(cfg, tmp_path / 'whole').train()
    stop_and_resume(cfg, tmp_path / 'stopped', SignalAt(step=3))
    assert_same(content(tmp_path / 'whole'), content(tmp_path / 'stopped'))
