"""An image file that breaks during a run is replaced, listed and counted."""

import os
import shutil
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from hsakd_mm.datasets import ImageFolder
from hsakd_mm.datasets.broken_images import BrokenImages, Replacing
from hsakd_mm.engine.hooks.broken_image_hook import BROKEN
from hsakd_mm.errors import UserError
from tests.faults import two
from tests.faults.command import TWO

ROW = 'An image truncated or deleted during the run'
PACKED = [dict(type='LoadImage'), dict(type='PackInputs', with_index=True)]


@pytest.fixture
def folder(tmp_path):
    """Two classes of eight images, whose pixels are their numbers."""
    for label, name in enumerate('ab'):
        (tmp_path / 'images' / name).mkdir(parents=True)
        for number in range(8):
            grey = np.full((8, 8, 3), 16 * (8 * label + number), np.uint8)
            Image.fromarray(grey).save(tmp_path / 'images' / name / f'{number}.png')
    return tmp_path / 'images'


class Breaks(Hook):
    """Deletes a file and cuts off another after the first epoch; remembers which images each epoch saw."""

    def __init__(self, files=('a/0.png', 'b/3.png'), only_validation: bool = False) -> None:
        self.files, self.seen = files, []

    def before_train_epoch(self, runner) -> None:
        self.seen.append([])
        if runner.epoch == 1:
            broken = [os.path.join(runner.cfg.train_dataloader.dataset.data_root, each) for each in self.files]
            for number, path in enumerate(broken):
                os.remove(path) if number % 2 == 0 else os.truncate(path, 40)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        pairs = zip(data_batch['indices'].tolist(), data_batch['labels'].tolist())
        self.seen[-1] += [(index, label) for index, label in pairs]


def config(folder, work_dir, workers: int = 0, budget: float = 0.2, epochs: int = 3) -> Config:
    loader = dict(
        batch_size=4,
        num_workers=workers,
        dataset=dict(type='ImageFolder', data_root=str(folder), pipeline=PACKED),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    backbone = dict(type='TimmBackbone', model_name='resnet18', num_classes=2, channels=(8, 8, 8, 8))
    preprocessor = dict(type='ImagePreprocessor', mean=[0.0] * 3, std=[255.0] * 3)
    return Config(
        dict(
            default_scope='hsakd_mm',
            model=dict(type='Classifier', backbone=backbone, data_preprocessor=preprocessor),
            train_dataloader=loader,
            train_cfg=dict(type='ExactEpochLoop', max_epochs=epochs),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_hooks=dict(
                checkpoint=dict(type='ExactCheckpointHook', interval=1),
                broken_images=dict(type='BrokenImageHook', budget=budget),
            ),
            randomness=dict(seed=3),
            work_dir=str(work_dir),
            experiment_name=str(work_dir).replace('/', '_'),
        )
    )


def trained(cfg: Config, *hooks) -> Runner:
    torch.set_num_threads(1)
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


@pytest.mark.parametrize('workers', [0, 2])
def test_replaced_by_the_same_image_of_its_class(workers, folder, tmp_path, seen) -> None:
    shutil.copytree(folder, tmp_path / 'copy')
    saw = Breaks()
    runner = trained(config(folder, tmp_path / 'run', workers), saw)
    first, second, third = saw.seen
    assert [index for index, _ in first] == list(range(16))
    assert second == third  # the same choice
    changed = [index for index in range(16) if second[index] != first[index]]
    assert changed == [0, 11] and all(second[index][1] == first[index][1] for index in changed)
    listed = (tmp_path / 'run/broken_images.txt').read_text().splitlines()
    assert {os.path.relpath(line.split('\t')[0], folder) for line in listed} == {'a/0.png', 'b/3.png'}
    assert runner.message_hub.get_info(BROKEN) == 2

    # Resumed after the epoch in which they broke: the same images again.
    again = config(folder, tmp_path / 'run', workers, epochs=4)
    again.resume, again.experiment_name = True, again.experiment_name + '-again'
    saw = Breaks(files=())
    ImageFolder.load_data_list, usual = _unchecked, ImageFolder.load_data_list
    try:
        trained(again, saw)
    finally:
        ImageFolder.load_data_list = usual
    assert saw.seen[-1] == third
    seen(ROW, f'one file deleted, one cut off after epoch 1, {workers} workers', 'replaced by others of their classes')


def test_on_one_rank_of_two(folder, tmp_path, seen) -> None:
    cfg = config(folder, tmp_path / 'run')
    assert two.run(cfg, tmp_path / 'run', Breaks(files=('b/3.png',))) == [0, 0]  # rank 1's image 11
    (listed,) = (tmp_path / 'run/broken_images.txt').read_text().splitlines()
    assert os.path.relpath(listed.split('\t')[0], folder) == 'b/3.png'
    saved = torch.load(tmp_path / 'run/epoch_3.pth', weights_only=False)
    assert saved['message_hub']['runtime_info'][BROKEN] == 1
    seen(ROW, 'one file deleted after epoch 1, on rank 1', 'replaced by another of its class', TWO)


def _unchecked(self) -> list:
    """As at the first start, when the files were whole."""
    self._metainfo['classes'] = ('a', 'b')
    root = self.data_root
    return [
        dict(img_path=os.path.join(root, name, f'{number}.png'), gt_label=label)
        for label, name in enumerate('ab')
        for number in range(8)
    ]


@pytest.mark.parametrize('workers', [0, 2])
def test_beyond_the_budget_the_run_ends(workers, folder, tmp_path, seen) -> None:
    with pytest.raises(UserError, match=r'at most 1 of 16 images may break during a run, and 2 did'):
        trained(config(folder, tmp_path / 'run', workers, budget=0.001), Breaks())
    assert (tmp_path / 'run/epoch_1.pth').exists()
    seen(ROW, f'one file more than the budget, {workers} workers', 'stopped with a sentence that names the list')


def test_without_a_budget_the_first_ends_the_run(folder, tmp_path) -> None:
    with pytest.raises(UserError, match='cannot be decoded'):
        trained(config(folder, tmp_path / 'run', budget=0), Breaks())


def test_a_class_without_a_readable_image_ends_the_run(folder, tmp_path) -> None:
    every = tuple(f'a/{number}.png' for number in range(8))
    with pytest.raises(UserError, match='an image was expected at .*a/0.png'):
        trained(config(folder, tmp_path / 'run', budget=0.9), Breaks(files=every))


def test_validation_images_are_never_replaced(folder, tmp_path, seen) -> None:
    other = tmp_path / 'validation'
    shutil.copytree(folder, other)
    cfg = config(folder, tmp_path / 'run')
    loader = Config(dict(cfg.train_dataloader)).to_dict()
    loader['dataset'].update(data_root=str(other), test_mode=True)
    cfg.merge_from_dict(dict(val_dataloader=loader, val_cfg=dict(), val_evaluator=dict(type='Accuracy', topk=(1,))))

    class BreaksOther(Hook):
        def before_train_epoch(self, runner) -> None:
            (other / 'b/5.png').unlink(missing_ok=True)

    with pytest.raises(UserError, match=r'an image was expected at .*validation/b/5.png'):
        trained(cfg, BreaksOther())
    seen(ROW, 'a validation image deleted', 'stopped with a sentence: never replaced')


def _append(path: str, worker: int) -> None:
    broken = BrokenImages(path, 1000, 1000)
    for number in range(50):
        broken.add(f'{number if number % 2 else f"{worker}-{number}"}.png', OSError('x' * 200))


def test_processes_append_to_one_list(tmp_path) -> None:
    path, context = str(tmp_path / 'list.txt'), get_context('fork')
    workers = [context.Process(target=_append, args=(path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    listed = BrokenImages(path, 1000, 1000).listed()
    assert len(listed) == 25 + 3 * 25 and set(listed.values()) == {'x' * 200}


def test_a_detection_set_takes_another_image(tmp_path) -> None:
    """MMDetection's own loading: another image for one that is gone or no image."""
    pytest.importorskip('mmdet')
    from mmengine.dataset import BaseDataset

    class Boxes(BaseDataset):
        def load_data_list(self) -> list:
            return [dict(img_path=str(tmp_path / f'{number}.png'), instances=[]) for number in range(4)]

    for number in range(4):
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(tmp_path / f'{number}.png')
    (tmp_path / '0.png').unlink()
    (tmp_path / '2.png').write_bytes(b'no image')
    dataset = Boxes(pipeline=[dict(type='mmdet.LoadImageFromFile')])
    dataset.prepare_data = Replacing(dataset, BrokenImages(str(tmp_path / 'list.txt'), 2, 4), seed=0)
    assert {int(dataset[index]['img'][0, 0, 0]) for index in (0, 2)} <= {1, 3}
    assert len((tmp_path / 'list.txt').read_text().splitlines()) == 2
