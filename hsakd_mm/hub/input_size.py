"""The images that a network was tested on, as timm describes them: size, crop, interpolation."""

from collections.abc import Mapping, Sequence

SAME = ('RandomResizedCrop', 'RandomCrop', 'CenterCrop')


def evaluated_input(config: Mapping) -> dict:
    """``input_size`` (3, H, W), ``crop_pct``, ``crop_mode`` and ``interpolation`` of a training config.

    They are read from the transforms of the validation data, ``Resize`` and ``CenterCrop``; where there are none, the
    images are tested in the size in which the training crops them. Empty where neither tells.
    """
    tests = _steps(config, 'val_dataloader') or _steps(config, 'test_dataloader')
    resize, crop = tests.get('Resize'), tests.get('CenterCrop')
    interpolation = (resize or {}).get('interpolation', 'bilinear')  # torchvision's default
    if set(tests) - {'Resize', 'CenterCrop'}:
        return {}  # another transform, of which nothing is known
    short, size = _pair((resize or {}).get('size')), _pair((crop or {}).get('size'))
    whole = isinstance((resize or {}).get('size'), Sequence) and len((resize or {})['size']) == 2
    if crop and size:
        share = min(size) / min(short) if short else 1.0
        return dict(input_size=(3, *size), crop_pct=share, crop_mode='center', interpolation=interpolation)
    if resize and whole and short:
        return dict(input_size=(3, *short), crop_pct=1.0, crop_mode='squash', interpolation=interpolation)
    if resize:
        return {}  # the shorter side alone: images of several sizes
    training = _steps(config, 'train_dataloader')
    size = next((_pair(step.get('size')) for name, step in training.items() if name in SAME), None)
    return dict(input_size=(3, *size), crop_pct=1.0, crop_mode='center', interpolation='bilinear') if size else {}


def _steps(config: Mapping, loader: str) -> dict:
    """The arguments of each transform but loading and packing, by its name without the scope."""
    dataset = (config.get(loader) or {}).get('dataset') or {}
    steps = {
        str(step.get('type')).rpartition('/')[2].rpartition('.')[2]: step for step in dataset.get('pipeline') or []
    }
    return {name: step for name, step in steps.items() if name not in ('LoadImage', 'PackInputs')}


def _pair(size) -> tuple | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and size and all(isinstance(each, int) for each in size):
        return (*size, *size)[:2]
    return None
