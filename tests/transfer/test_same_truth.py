"""Loader, metric and record read the same truth, or the run is refused before it starts."""

import json
import shutil
from pathlib import Path

import pytest

from hsakd_mm.errors import UserError
from hsakd_mm.transfer.data_files import check_data

from .test_bad_annotations import evaluated
from .tiny_detection import box, change, coco, detector, image

pytest.importorskip('mmdet.models', reason='mmdet is not installed')


def reordered(content: dict) -> None:
    content['categories'].reverse()


def moved(cfg, tmp_path, edit) -> None:
    """Give the metric a copy of the loader's file with a change."""
    shutil.copy(tmp_path / 'val.json', tmp_path / 'metric.json')
    change(tmp_path / 'metric.json', edit)
    cfg.val_evaluator.ann_file = str(tmp_path / 'metric.json')


@pytest.mark.parametrize(
    'edit, said',
    [
        (lambda content: content.update(coco(first=1)), '6 images are in one of the two only'),  # train.json
        (lambda content: content['images'].pop(), None),
        (lambda content: content.update(coco(images=4, first=11)), '1 images are in one of the two only .first id 14'),
        (image(0, file_name='other.jpg'), '1 images have other files .first 11.jpg and other.jpg'),
        (box(0, bbox=[5, 4, 20, 12]), r'2 boxes are in one of the two only .first cat \[4, 4, 20, 12\] of image 11'),
        (box(0, category_id=2), '2 boxes are in one of the two only'),
        (box(0, iscrowd=1), '2 boxes are in one of the two only'),
        (lambda content: content['annotations'].pop(), '1 boxes are in one of the two only .first dog'),
        (reordered, 'their categories are cat, dog and dog, cat'),
    ],
)
def test_a_metric_of_another_file_is_refused(tmp_path, edit, said) -> None:
    cfg = detector(tmp_path)
    moved(cfg, tmp_path, edit)
    with pytest.raises(UserError, match=said or 'of an image that is not listed') as told:
        check_data(cfg)
    assert 'metric.json' in str(told.value)


@pytest.mark.parametrize(
    'edit',
    [
        lambda content: None,
        lambda content: content.update(info=dict(year=2026), licenses=[]),
        lambda content: content['images'].reverse(),
        lambda content: [each.update(id=each['id'] + 50) for each in content['annotations']],
        lambda content: [each.update(file_name=f'val/{each["file_name"]}') for each in content['images']],
    ],
)
def test_another_file_with_the_same_truth_is_accepted(tmp_path, edit) -> None:
    cfg = detector(tmp_path)
    moved(cfg, tmp_path, edit)
    assert check_data(cfg) == []


def test_a_link_to_the_file_and_several_metrics(tmp_path) -> None:
    cfg = detector(tmp_path)
    (tmp_path / 'link.json').symlink_to(tmp_path / 'val.json')
    wrong = dict(type='CocoMetric', ann_file=str(tmp_path / 'train.json'))
    cfg.val_evaluator = [dict(cfg.val_evaluator, ann_file=str(tmp_path / 'link.json')), dict(cfg.val_evaluator)]
    assert check_data(cfg) == []
    cfg.val_evaluator = [dict(cfg.val_evaluator[0]), wrong]
    with pytest.raises(UserError, match='val_evaluator.ann_file should hold what val_dataloader loads'):
        check_data(cfg)


@pytest.mark.parametrize('indices, count', [(2, 2), (-1, 1), ([0, 2], 2)])
def test_images_that_indices_leave_out_are_not_missed(tmp_path, indices, count) -> None:
    cfg = detector(tmp_path)
    cfg.val_dataloader.dataset.indices = indices
    (note,) = check_data(cfg, mended_in=str(tmp_path / 'run'))
    assert f'{count} of the 3 images' in note
    assert cfg.val_dataloader.dataset.ann_file == 'val.json'
    assert len(json.loads(Path(cfg.val_evaluator.ann_file).read_text())['images']) == count
    assert evaluated(cfg)['coco/bbox_mAP'] == 1


def resize_last(cfg) -> None:
    steps = cfg.val_dataloader.dataset.pipeline
    steps[1], steps[2] = steps[2], steps[1]


def repeat(cfg) -> None:
    inner = cfg.val_dataloader.pop('dataset')
    cfg.val_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=inner)


def flip_last(cfg) -> None:
    cfg.val_dataloader.dataset.pipeline.insert(3, dict(type='RandomFlip', prob=0.5))


@pytest.mark.parametrize(
    'edit, said',
    [
        (
            lambda cfg: cfg.val_evaluator.update(format_only=True, outfile_prefix='x'),
            'set val_evaluator.format_only=False',
        ),
        (resize_last, 'has Resize behind LoadAnnotations'),
        (flip_last, 'has RandomFlip behind LoadAnnotations'),
        (
            lambda cfg: cfg.val_dataloader.dataset.update(test_mode=False, filter_cfg=dict(min_size=32)),
            'test_mode=True',
        ),
        (lambda cfg: cfg.val_evaluator.pop('ann_file'), 'set val_evaluator.ann_file to the annotation file'),
        (repeat, 'RepeatDataset repeats'),
        (
            lambda cfg: (cfg.val_evaluator.update(type='VOCMetric'), cfg.val_dataloader.dataset.pipeline.pop(2)),
            'no LoadAnnotations',
        ),
    ],
)
def test_what_the_metric_or_the_record_would_read_wrongly(tmp_path, edit, said) -> None:
    cfg = detector(tmp_path)
    edit(cfg)
    with pytest.raises(UserError, match=said):
        check_data(cfg)


def test_labels_of_training_and_validation_are_the_same_classes(tmp_path) -> None:
    cfg = detector(tmp_path)
    change(tmp_path / 'val.json', reordered)
    cfg.val_dataloader.dataset.metainfo.classes = ('dog', 'cat')
    with pytest.raises(UserError, match='in train they are cat, dog and in val dog, cat'):
        check_data(cfg)


@pytest.mark.parametrize('first, said', [(11, 'use the same ids'), (21, '')])
def test_several_datasets_in_one_loader(tmp_path, first, said) -> None:
    cfg = detector(tmp_path)
    part = cfg.val_dataloader.dataset
    shutil.copytree(tmp_path / 'val', tmp_path / 'more')
    more = coco(first=first)
    for old, new in zip((11, 12, 13), more['images']):
        new['file_name'] = f'{old}.jpg'
    (tmp_path / 'more.json').write_text(json.dumps(more))
    other = dict(part, ann_file='more.json', data_prefix=dict(img='more/'))
    cfg.val_dataloader.dataset = dict(type='ConcatDataset', datasets=[part, other])
    both = coco(first=11)  # whose names have the folders, as each image needs one name
    both['images'] = [dict(each, file_name=f'val/{each["file_name"]}') for each in both['images']]
    for key in ('images', 'annotations'):
        both[key] += more[key]
    (tmp_path / 'both.json').write_text(json.dumps(both))
    cfg.val_evaluator.ann_file = str(tmp_path / ('both.json' if first == 21 else 'val.json'))
    if said:
        with pytest.raises(UserError, match=said):
            check_data(cfg)
    else:
        assert check_data(cfg) == []
