"""Write a part of a COCO json, or disjoint parts of it.

Usage::

    python tools/dataset_converters/coco_subset.py annotations/instances_val2017.json
        --classes car bus truck --drop-empty --fraction 0.1 --seed 0 --out cars.json
    python tools/dataset_converters/coco_subset.py all.json --split train=0.7 val=0.3 --out data/mine

``--classes`` and ``--min-area``/``--max-area`` (of boxes, in square pixels) choose boxes first. Then
``--drop-empty`` drops images without boxes, and ``--max-images`` or ``--fraction`` draws images. The
draw depends on the seed and the images' names only, and a smaller draw is part of a larger one. Ids
and all other fields of images, boxes and categories do not change.

``--split`` then divides the chosen images into disjoint parts, one file each. The parts have
exactly the sizes asked for, about the same proportions of classes, and each has every class if
enough images show it. If the fractions sum to less than 1, the remaining images are left out. The
same seed gives the same parts.

The whole file is checked first. What is safe to mend is mended and said, see
``hsakd_mm/datasets/boxes/coco_read.py``. If an image or a box has a problem (see README.md in this folder),
nothing is written, unless ``--skip-bad`` is given. Image files are checked only with ``--images``.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from hsakd_mm.datasets.boxes.checks import Findings, reject_bad
from hsakd_mm.datasets.boxes.coco_check import check_coco
from hsakd_mm.datasets.boxes.coco_files import add_options, check_options, output_paths, report_and_write, table
from hsakd_mm.datasets.boxes.coco_json import read_classes
from hsakd_mm.datasets.boxes.coco_read import read_coco
from hsakd_mm.datasets.boxes.split import absent_classes, read_fractions, split
from hsakd_mm.datasets.boxes.subset import Choice, subset
from hsakd_mm.engine.launch import user_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='the COCO json')
    parser.add_argument('--out', required=True, help='the new json, or a folder for it (with --split: a folder)')
    parser.add_argument('--classes', nargs='+', metavar='CLASS', help='names, or a file with one a line (default: all)')
    parser.add_argument('--min-area', type=float, metavar='PIXELS', help='of a box, inclusive')
    parser.add_argument('--max-area', type=float, metavar='PIXELS', help='of a box, inclusive')
    parser.add_argument('--drop-empty', action='store_true', help='drop images without boxes (default: keep them)')
    parser.add_argument('--max-images', type=int, metavar='N', help='maximum number of images')
    parser.add_argument('--fraction', type=float, metavar='FRACTION', help='fraction of the images')
    parser.add_argument(
        '--split',
        nargs='+',
        metavar='NAME=FRACTION',
        help='disjoint parts and their fractions, such as train=0.7 val=0.3: one NAME.json each, in the folder --out',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the draw and the split (default: %(default)s)')
    parser.add_argument(
        '--images', metavar='DIR', help='folder of the images: check that they exist and have the sizes given'
    )
    add_options(parser)
    args = parser.parse_args()
    with user_errors('interrupted: nothing was written; run the same command again.'):
        write_subset(args)


def write_subset(args: argparse.Namespace) -> None:
    """Read, check, choose, write."""
    check_options(args)
    choice = Choice(
        read_classes(args.classes),
        args.min_area,
        args.max_area,
        args.drop_empty,
        args.max_images,
        args.fraction,
        args.seed,
    )
    fractions = read_fractions(args.split or ())
    source = os.path.splitext(os.path.basename(args.source))[0]
    paths = output_paths(args.out, fractions or [source], args.force)
    file = read_coco(args.source)
    for note in file.notes():
        print(f'mended: {note}')
    content, findings = check_coco(file.content, args.images, args.clip)
    reject_bad({source: findings}, args.skip_bad)
    chosen = subset(content, choice, args.source)
    if fractions:
        print(table({source: chosen}, {source: findings}), end='\n\n')
        parts = split(chosen, fractions, args.seed)
        report_and_write(parts, {name: Findings() for name in parts}, paths, args.skip_bad)
        for note in absent_classes(parts):
            print(f'note: {note}')
    else:
        report_and_write({source: chosen}, {source: findings}, paths, args.skip_bad)
    for path in paths.values():
        print(f'written: {path}')


if __name__ == '__main__':
    main()
