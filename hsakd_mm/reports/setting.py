"""Data, networks and epochs: the line below the title of a report, and whether the data is Pascal VOC."""

import re
from collections.abc import Iterable, Sequence

VOC = {'aeroplane', 'diningtable', 'pottedplant', 'tvmonitor'}  # spelt so in its 20 classes only
SPLITS = dict(train_images='training', val_images='validation')
# The keys of a run's row, and what a data folder's manifest and a bench call the same thing.
KEYS = dict(
    dataset=('dataset',),
    train_images=('train_images', 'train'),
    val_images=('val_images', 'val'),
    classes=('classes',),
    image_size=('image_size', 'size'),
    networks=('detector', 'networks'),
    epochs=('epochs',),
)


def setting(parts: Sequence[dict], **default) -> str:
    """Data, image size, networks and epochs as one line of Markdown; empty where nothing is known.

    Args:
        parts (list[dict]): Runs or data sets, with the keys of :data:`KEYS` as far as they are known. ``classes``
            is a number or a list of names, ``image_size`` in pixels.
        **default: What to take for a key that none of ``parts`` has.
    """
    known = {key: ' / '.join(_distinct(parts, key, names)) for key, names in KEYS.items()}
    known = {key: text or ' / '.join(_distinct([default], key, [key])) for key, text in known.items()}
    images = [f'{known[key]} {split}' for key, split in SPLITS.items() if known[key]]
    data = [
        known['dataset'],
        f'{" and ".join(images)} images' if images else '',
        f'{known["classes"]} classes' if known['classes'] else '',
    ]
    lines = {
        'Data': ', '.join(filter(None, data)),
        'Image size': known['image_size'],
        'Networks': known['networks'],
        'Epochs': known['epochs'],
    }
    return '. '.join(f'**{head}:** {text}' for head, text in lines.items() if text)


def is_voc(classes: Iterable[str], datasets: Iterable[str | None] = ()) -> bool:
    """Whether detectors were measured on Pascal VOC.

    Args:
        classes (Iterable[str]): Of the detector. They decide where they are known.
        datasets (Iterable[str]): Names or types of the data sets.
    """
    if classes := set(classes):
        return classes >= VOC and len(classes) == 20
    return any(re.search(r'(?<![a-z])voc(dataset|devkit|[^a-z]|$)', str(name), re.IGNORECASE) for name in datasets)


def _distinct(parts: Sequence[dict], key: str, names: Sequence[str]) -> list[str]:
    values = (next((part[name] for name in names if part.get(name) is not None), None) for part in parts)
    return list(dict.fromkeys(_text(key, value) for value in values if value is not None))


def _text(key: str, value) -> str:
    if key == 'classes' and not isinstance(value, int | str):
        value = len(value)
    if isinstance(value, list | tuple):
        return (' × ' if key == 'image_size' else ', ').join(map(str, value))
    return f'{value:,}' if isinstance(value, int) else str(value)
