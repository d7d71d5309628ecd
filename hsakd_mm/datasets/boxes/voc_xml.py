"""Reads Pascal VOC's XML files with the same coordinates as MMDetection's ``XMLDataset``.

VOC counts pixels from 1 and includes the last one. ``XMLDataset`` truncates each number, subtracts
1 from all four, and takes xmax - xmin as the width, so that a box loses its last column and row.
The coordinates here are the same to the pixel: a detector trained with one reader can be evaluated
with the other.
"""

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence

from hsakd_mm.datasets.images import is_hidden
from hsakd_mm.errors import UserError
from hsakd_mm.files import read_text

from .checks import EXTENSIONS, MALFORMED, NO_ANNOTATION
from .coco_json import Annotation, Box, Malformed, Sample

# In the order of MMDetection's VOCDataset, which is alphabetical.
VOC_CLASSES = (
    'aeroplane',
    'bicycle',
    'bird',
    'boat',
    'bottle',
    'bus',
    'car',
    'cat',
    'chair',
    'cow',
    'diningtable',
    'dog',
    'horse',
    'motorbike',
    'person',
    'pottedplant',
    'sheep',
    'sofa',
    'train',
    'tvmonitor',
)
MAIN = os.path.join('ImageSets', 'Main')


def voc_samples(root: str, image_set: str | None, images: str, annotations: str, from_zero: bool) -> list:
    """The images of an image-set list, or of all XML files.

    Args:
        root (str): Such as ``VOCdevkit/VOC2007``.
        image_set (str | None): A name in ``ImageSets/Main``, a file with one image id a line, or
            None for all XML files.
        images (str): Folder of the images in ``root``.
        annotations (str): Folder of the XML files in ``root``.
        from_zero (bool): See :func:`read_xml`.

    Raises:
        UserError: A folder or the list is missing or empty.
    """
    images, annotations = os.path.join(root, images), os.path.join(root, annotations)
    files, xml = by_stem(images, EXTENSIONS), by_stem(annotations, ('.xml',))
    ids = sorted(xml) if image_set is None else read_list(root, image_set, {**files, **xml})
    samples = []
    for image_id in ids:
        source = os.path.join(annotations, xml.get(image_id, [f'{image_id}.xml'])[0])
        for name in files.get(image_id, [None]):
            samples.append(
                Sample(
                    name or image_id,
                    name and os.path.join(images, name),
                    source,
                    lambda size, source=source: read_xml(source, from_zero),
                )
            )
    if not samples:
        raise UserError(
            f'XML files of Pascal VOC were expected in {annotations}, and there are '
            f'none: name the folder with --ann-subdir.'
        )
    return samples


def read_list(root: str, image_set: str, known: Collection) -> list:
    """Image ids of an image-set list, a name in ``ImageSets/Main`` or a file.

    The lists of one class have a second column, which is ignored: of a line, the id is the longest
    beginning, up to a blank, that is in ``known``; so names may contain blanks.
    """
    path = image_set
    if not os.path.isfile(path):
        path = os.path.join(root, MAIN, f'{image_set}.txt')
    try:
        ids = [image_id(line, known) for line in read_text(path).splitlines() if line.strip()]
    except OSError as error:
        raise UserError(
            f'a list of image ids was expected at {path}, and it cannot be read '
            f'({error.strerror}): name a list of {os.path.join(root, MAIN)}, or a '
            f'file, with --image-sets.'
        ) from error
    if not ids:
        raise UserError(
            f'image ids, one a line, were expected in {path}, and it is empty: name another list with --image-sets.'
        )
    return ids


def image_id(line: str, known: Collection) -> str:
    """The image id in a line of an image-set list; see :func:`read_list`."""
    name = line.strip()
    while name and name not in known:
        name = ''.join(re.split(r'(\s+)', name)[:-2])
    return name or re.sub(r'\s+[-+]?[01]$', '', line.strip())


def read_xml(path: str, from_zero: bool = False) -> Annotation:
    """Read one file.

    Args:
        path (str): The file.
        from_zero (bool): Coordinates count from 0, as some tools write them: nothing is subtracted
            and fractions are kept.

    Raises:
        Malformed: The file is missing or not XML. Objects without a name or a box are listed in
            the annotation's ``malformed``.
    """
    try:
        root = ET.parse(path).getroot()
        for node in root.iter():  # without its namespace
            node.tag = node.tag.rpartition('}')[2]
    except FileNotFoundError as error:
        raise Malformed(NO_ANNOTATION, path) from error
    except (OSError, ET.ParseError, UnicodeDecodeError, ValueError) as error:
        raise Malformed(MALFORMED, f'{path} ({error})') from error
    annotation = Annotation(size=_size(root, path))
    for number, thing in enumerate(root.findall('object'), 1):
        place = f'object {number}'
        try:
            values = [float(thing.findtext(f'bndbox/{corner}', '')) for corner in ('xmin', 'ymin', 'xmax', 'ymax')]
            corners = tuple(values if from_zero else (int(value) - 1 for value in values))
            difficult = bool(int(thing.findtext('difficult') or 0))
            name = thing.findtext('name', '').strip()
            if not name:
                raise ValueError
        except (ValueError, OverflowError):
            annotation.malformed.append(place)
            continue
        annotation.boxes.append(Box(name, corners, difficult, place))
    return annotation


def found_classes(splits: Sequence) -> list:
    """All categories of some :class:`.coco_json.Split`, in alphabetical order."""
    return sorted({box.category for split in splits for boxes in split.boxes for box in boxes})


def _size(root: ET.Element, path: str) -> tuple | None:
    """Width and height in the file; None if they are absent, or 0 for "unknown"."""
    if root.find('size') is None:
        return None
    try:
        size = tuple(int(float(root.findtext(f'size/{side}', ''))) for side in ('width', 'height'))
    except (ValueError, OverflowError) as error:
        raise Malformed(MALFORMED, f'{path}, size') from error
    return size if all(size) else None


def by_stem(folder: str, extensions: Sequence) -> dict:
    """File names in a folder by their stem, without hidden files; a .jpg comes first."""
    try:
        names = [entry.name for entry in os.scandir(folder) if not entry.is_dir() and not is_hidden(entry.name)]
    except OSError as error:
        raise UserError(
            f'a folder was expected at {folder}, and it cannot be read '
            f'({error.strerror}): name it with --img-subdir and --ann-subdir, below '
            f'the root.'
        ) from error
    found = {}
    for name in sorted(names, key=lambda name: (not name.endswith('.jpg'), name)):
        stem, extension = os.path.splitext(name)
        if extension.lower() in extensions:
            found.setdefault(stem, []).append(name)
    return found
