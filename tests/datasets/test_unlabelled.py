"""Pictures without labels: a folder, those of a COCO file, and what is in its boxes."""

import json

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image

from hsakd_mm.datasets import BoxCrops, UnlabelledImages
from hsakd_mm.datasets.images import ORIENTATION, UnreadableImage
from hsakd_mm.errors import UserError
from hsakd_mm.models import ImagePreprocessor
from hsakd_mm.registry import DATASETS

from .helpers import image_folder, picture

PIPELINE = [dict(type='LoadImage'), dict(type='PackInputs')]


def names(dataset) -> list:
    return [dataset.get_data_info(index)['img_path'].rpartition('/')[2] for index in range(len(dataset))]


def test_every_picture_at_any_depth_and_nothing_else(tmp_path) -> None:
    root = image_folder(tmp_path / 'train')
    picture(seed=5).save(root / 'top.PNG')
    for hidden in ('.a.png', 'Thumbs.db'):
        (root / hidden).write_bytes(b'x')
    (root / 'LICENSE.txt').write_text('not a picture')
    (root / '.cache').mkdir()
    picture().save(root / '.cache' / 'thumbnail.png')
    dataset = DATASETS.build(dict(type='UnlabelledImages', data_root=str(tmp_path), split='train', pipeline=PIPELINE))
    assert names(dataset) == ['0.png', '1.jpg', '0.png', '1.jpg', 'top.PNG']
    assert set(dataset.get_data_info(0)) == {'img_path', 'sample_idx', 'non_rgb'}
    assert not dataset.metainfo.get('classes')
    np.testing.assert_array_equal(dataset[4]['inputs'].permute(1, 2, 0), np.asarray(picture(seed=5)))


def test_a_batch_has_no_labels(tmp_path) -> None:
    dataset = UnlabelledImages(
        str(image_folder(tmp_path)), pipeline=[*PIPELINE[:1], dict(PIPELINE[1], with_index=True)]
    )
    batch = default_collate([dataset[index] for index in range(4)])
    batch = ImagePreprocessor([0, 0, 0], [1, 1, 1])(batch)
    assert set(batch) == {'inputs', 'indices'} and batch['inputs'].shape == (4, 3, 16, 20)


def test_a_part_of_them(tmp_path) -> None:
    root = str(image_folder(tmp_path, each=10))
    whole, half = names(UnlabelledImages(root)), UnlabelledImages(root, fraction=0.5, split_seed=1)
    paths = [half.get_data_info(index)['img_path'] for index in range(len(half))]
    assert len(whole) == 20 and len(paths) == 10 and paths == sorted(paths)
    assert len(UnlabelledImages(root, fraction=0.001)) == 1
    other = UnlabelledImages(root, fraction=0.5, split_seed=2)
    assert paths != [other.get_data_info(index)['img_path'] for index in range(len(other))]


def pixels(seed: int = 0, size=(64, 48)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)


@pytest.fixture
def coco(tmp_path):
    """Two pictures of a COCO file, the second on its side, and one that the file does not list."""
    (tmp_path / 'images').mkdir()
    Image.fromarray(pixels()).save(tmp_path / 'images' / 'a.png')
    tags = Image.Exif()
    tags[ORIENTATION] = 6
    Image.fromarray(pixels(1)).save(tmp_path / 'images' / 'b.png', exif=tags)
    (tmp_path / 'images' / 'c.png').write_text('not looked at')
    boxes = [
        dict(image_id=1, bbox=[8, 4, 20, 10]),
        dict(image_id=1, bbox=[50.5, 30, 12.25, 17]),
        dict(image_id=1, bbox=[0, 0, 60, 40], iscrowd=1),
        dict(image_id=1, bbox=[3, 3, 7.9, 30]),
        dict(image_id=1, bbox=[90, 3, 20, 20]),
        dict(image_id=7, bbox=[0, 0, 20, 20]),
        dict(image_id=2, bbox=[10, 20, 30, 40]),
    ]
    content = dict(
        images=[dict(id=1, file_name='a.png', width=64, height=48), dict(id=2, file_name='b.png', width=48, height=64)],
        categories=[dict(id=1, name='thing')],
        annotations=[dict(box, id=number, category_id=1) for number, box in enumerate(boxes, 1)],
    )
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    return dict(data_root=str(tmp_path), split='images', ann_file='boxes.json', pipeline=PIPELINE)


def test_the_pictures_of_a_coco_file(coco, tmp_path) -> None:
    assert names(UnlabelledImages(**coco)) == ['a.png', 'b.png']
    (tmp_path / 'boxes.json').write_text('{"images": [{"file_name": "b.png"}]}')  # as COCO's unlabelled ones
    dataset = UnlabelledImages(**coco)
    upright = np.asarray(Image.fromarray(pixels(1)).transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(dataset[0]['inputs'].permute(1, 2, 0), upright)


def test_a_crop_is_the_box_of_the_upright_picture_with_some_context(coco) -> None:
    dataset = UnlabelledImages(**coco, crops=True, min_size=8, context=0.1)
    upright = np.asarray(Image.fromarray(pixels(1)).transpose(Image.Transpose.ROTATE_270))
    expected = [pixels()[3:15, 6:30], pixels()[28:48, 49:64], upright[16:64, 7:43]]
    for index, crop in enumerate(expected):
        np.testing.assert_array_equal(dataset[index]['inputs'].permute(1, 2, 0), crop)
    assert len(dataset) == 3
    assert [len(UnlabelledImages(**coco, crops=True, min_size=size)) for size in (11, 13)] == [2, 1]


def test_labelled_crops_are_the_same_and_number_the_categories(coco, tmp_path) -> None:
    content = json.loads((tmp_path / 'boxes.json').read_text())
    content['categories'] = [dict(id=5, name='b'), dict(id=1, name='a'), dict(id=9, name='c')]
    content['annotations'][1]['category_id'] = 5
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    labelled, without = BoxCrops(**coco, min_size=8), UnlabelledImages(**coco, crops=True, min_size=8)
    assert labelled.metainfo['classes'] == ('a', 'b', 'c')
    assert [int(sample['labels']) for sample in labelled] == [0, 1, 0]
    assert all(torch.equal(one['inputs'], other['inputs']) for one, other in zip(labelled, without, strict=True))
    chosen = BoxCrops(**coco, min_size=8, metainfo=dict(classes=['b']))
    assert (len(chosen), chosen.metainfo['classes']) == (1, ('b',))
    for changes, said in (
        (dict(metainfo=dict(classes=['d'])), "a category 'd' was expected in .* it has 'a', 'b', 'c'"),
        (dict(min_size=500), 'boxes of at least 500 pixels'),
    ):
        with pytest.raises(UserError, match=said):
            BoxCrops(**dict(coco, **changes))


def test_what_is_left_out_is_counted(coco, capsys) -> None:
    UnlabelledImages(**coco, crops=True, min_size=8)
    said = ''.join(capsys.readouterr())
    for part in ('3 crops', '1 of crowds', '1 below 8 pixels', '1 with the problem', '1 without a picture'):
        assert part in said, said


def test_a_crop_is_decoded_no_larger_than_needed_and_is_the_same(coco) -> None:
    torch.manual_seed(0)
    step = dict(type='LoadRandomResizedCrop', size=8, scale=(1, 1), ratio=(1.999999, 2.000001))
    dataset = UnlabelledImages(**dict(coco, pipeline=[step, PIPELINE[1]]), crops=True, min_size=8, context=0)
    inside = Image.fromarray(pixels()).crop((8, 4, 28, 14)).resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(dataset[0]['inputs'].permute(1, 2, 0), np.asarray(inside))


@pytest.mark.parametrize('box', [[30, 5, 30, 40], [4, 4, 20, 20]])  # the second would fit
def test_boxes_of_another_size_are_named_when_they_are_read(coco, tmp_path, box) -> None:
    content = json.loads((tmp_path / 'boxes.json').read_text())
    content['images'][1].update(width=64, height=48)  # as the file lies, not as it is shown
    content['annotations'] = [dict(id=1, image_id=2, category_id=1, bbox=box)]
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    dataset = UnlabelledImages(**coco, crops=True, min_size=8)
    with pytest.raises(UnreadableImage, match=r'in a picture of 64 x 48 pixels, and .*b.png is loaded with 48 x 64'):
        dataset[0]


@pytest.mark.parametrize(
    'changes, said',
    [
        (dict(ann_file=None), 'ann_file is not set'),
        (dict(ann_file=5), 'the path of a COCO file, and it is 5'),
        (dict(min_size=0), 'at least 1, and it is 0'),
        (dict(context=-1), '0 for none, and it is -1'),
        (dict(min_size=500), 'boxes of at least 500 pixels were expected in .*boxes.json'),
        (dict(crops=False, split='nowhere'), 'an image was expected at .*nowhere/a.png'),
        (dict(crops=False, ann_file=None, split='nowhere'), 'nowhere, and there is no such folder'),
        (dict(crops=False, ann_file=None), 'an image was expected at .*c.png'),
        (dict(ann_file='gone.json'), 'a COCO json was expected at .*gone.json'),
    ],
)
def test_mistakes(coco, changes, said) -> None:
    with pytest.raises(UserError, match=said):
        UnlabelledImages(**{**coco, 'crops': True, **changes})
