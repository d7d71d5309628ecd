"""torchvision's transforms from a config, and what ends a pipeline."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from hsakd_mm.datasets.transforms import PackInputs, build_transforms
from hsakd_mm.errors import UserError
from hsakd_mm.registry import TRANSFORMS

from .helpers import picture


def run(*pipeline: dict, image=None) -> dict:
    results = dict(img=image or picture(size=(80, 60)), gt_label=3)
    for transform in build_transforms(pipeline):
        results = transform(results)
    return results


def test_imagenets_pipelines_give_224() -> None:
    train = run(
        dict(type='torchvision/RandomResizedCrop', size=224),
        dict(type='torchvision/RandomHorizontalFlip'),
        dict(type='PackInputs'),
    )
    val = run(
        dict(type='torchvision/Resize', size=256),
        dict(type='torchvision/CenterCrop', size=224),
        dict(type='PackInputs'),
    )
    for sample in (train, val):
        assert sample['inputs'].shape == (3, 224, 224) and sample['inputs'].dtype == torch.uint8
        assert sample['inputs'].is_contiguous() and sample['labels'] == 3


def test_the_same_as_torchvision_from_the_same_seed() -> None:
    torch.manual_seed(5)
    ours = run(dict(type='torchvision/RandomResizedCrop', size=32, scale=(0.1, 1)))['img']
    torch.manual_seed(5)
    theirs = v2.RandomResizedCrop(32, scale=(0.1, 1))(picture(size=(80, 60)))
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_every_transform_is_registered() -> None:
    names = [name for name, value in vars(v2).items() if isinstance(value, type) and issubclass(value, v2.Transform)]
    assert len(names) > 50
    assert all(TRANSFORMS.get(f'torchvision/{name}') for name in names)


def test_inner_transforms_and_named_interpolation() -> None:
    image = run(
        dict(
            type='torchvision/RandomApply',
            p=1.0,
            transforms=[dict(type='torchvision/Resize', size=(8, 9), interpolation='bicubic')],
        )
    )['img']
    expected = v2.Resize((8, 9), v2.InterpolationMode.BICUBIC)(picture(size=(80, 60)))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.parametrize(
    'config, words',
    [
        (dict(type='torchvision/RandomResizdCrop', size=8), 'torchvision/RandomResizedCrop'),
        (dict(type='Resize', size=8), 'torchvision/Resize'),
        (dict(type='PackInput'), 'PackInputs'),
        (dict(type='torchvision/Resize', sise=8), 'sise'),
        (dict(type='torchvision/Resize', size=8, interpolation='bicubi'), 'bicubi'),
    ],
)
def test_mistakes_are_sentences(config, words) -> None:
    with pytest.raises(UserError, match=words):
        build_transforms([config])


def test_normalised_images_are_refused() -> None:
    with pytest.raises(UserError, match='float32'):
        run(
            dict(type='torchvision/ToImage'),
            dict(type='torchvision/ToDtype', dtype=torch.float32),
            dict(type='PackInputs'),
        )
    with pytest.raises(UserError, match=r'\[1, 60, 80\]'):
        PackInputs()(dict(img=picture('L', size=(80, 60)), gt_label=0))


def test_a_tensor_passes() -> None:
    sample = run(dict(type='torchvision/PILToTensor'), dict(type='PackInputs'))
    np.testing.assert_array_equal(sample['inputs'].permute(1, 2, 0), picture(size=(80, 60)))


def test_the_place_in_the_data_set_comes_along_where_it_is_asked_for() -> None:
    results = dict(img=picture(), gt_label=3, sample_idx=41)
    assert PackInputs(with_index=True)(dict(results))['indices'] == 41
    assert set(PackInputs()(results)) == {'inputs', 'labels'}
