"""Checks Pascal VOC's XML files and lists as MMDetection's ``XMLDataset`` reads them.

It reads less than :mod:`.voc_xml`: no namespaces, no blanks around a name, no ids with a second
column, only files that end in ``.xml`` and ``.jpg``.
"""

import math
import os
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from .checks import CLIP, MALFORMED, Findings, fit_box
from .coco_json import progress

NAMESPACE = 'XML with a namespace, which MMDetection does not read'
BLANKS = 'a class name with blanks around it, which MMDetection does not know'


@dataclass
class VocFiles:
    """What XML files hold: the size of each image if it is given, boxes by name, and the problems."""

    sizes: list = field(default_factory=list)
    boxes: Counter = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)


def check_voc(paths: Sequence, classes: Collection, what: str) -> VocFiles:
    """Read and check XML files.

    Args:
        paths (Sequence[str]): The files; all exist.
        classes (Collection[str]): Other names are counted, and their boxes not checked.
        what (str): Name in the progress messages.
    """
    files = VocFiles()
    for path in progress(paths, len(paths), what):
        files.sizes.append(_read(path, classes, files))
    return files


def _read(path: str, classes: Collection, files: VocFiles) -> tuple | None:
    """The image's size; None if it is not given or the file cannot be read."""
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError, UnicodeDecodeError, ValueError, LookupError) as error:
        files.findings.image(MALFORMED, f'{path} ({error})')
        return None
    if any(node.tag.startswith('{') for node in root.iter()):
        files.findings.image(NAMESPACE, path)
        return None
    size = _size(root)
    if root.tag != 'annotation' or size == (0, 0):
        files.findings.image(MALFORMED, f'{path}, {"size" if root.tag == "annotation" else f"<{root.tag}>"}')
        return None
    for number, thing in enumerate(root.findall('object'), 1):
        place, name = f'{os.path.basename(path)}, object {number}', thing.findtext('name')
        if name and name not in classes and name.strip() in classes:
            files.findings.box(BLANKS, f'{place} {name!r}')
        elif not name or name not in classes:
            files.boxes[name or ''] += 1  # MMDetection leaves it out
            if thing.find('name') is None:
                files.findings.box(MALFORMED, place)
        elif (corners := _corners(thing)) is None:
            files.findings.box(MALFORMED, place)
        else:
            _, _, reason = fit_box(corners, size or (math.inf, math.inf), CLIP)
            if reason:
                files.findings.box(reason, f'{place} {name}')
            files.boxes[name] += thing.findtext('difficult', '0').strip() == '0'
    return size


def _size(root: ET.Element) -> tuple | None:
    """Width and height; None if they are not given, and (0, 0) if MMDetection could not use them."""
    if root.find('size') is None:
        return None
    try:
        width, height = (int(root.findtext(f'size/{side}', '')) for side in ('width', 'height'))
    except ValueError:
        return 0, 0
    return (width, height) if width > 0 and height > 0 else (0, 0)


def _corners(thing: ET.Element) -> tuple | None:
    """The corners as ``XMLDataset`` reads them; None where it would fail."""
    try:
        int(thing.findtext('difficult', '0'))
        return tuple(
            int(float(thing.findtext(f'bndbox/{corner}', ''))) - 1 for corner in ('xmin', 'ymin', 'xmax', 'ymax')
        )
    except (ValueError, OverflowError):
        return None
