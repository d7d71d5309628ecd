"""Write a part of a COCO json, or disjoint parts of it.

Usage::

    python tools/dataset_converters/coco_subset.py annotations/instances_val2017.json
        --classes car bus truck --drop-empty --fraction 0.1 --seed 0 --out cars.json
    python tools/dataset_converters/coco_subset.py all.json --split train=0.7 val=0.3 --out data/mine

First classes and ``--min-area``/``--max-area`` (of boxes, in square pixels) choose boxes; then
``--drop-empty`` drops images that have none; then images are drawn. The draw depends on the seed
and the images' names alone, and a smaller one is part of a larger one. Ids of images, boxes and
categories stay as they were, as does what else the file says of them.

``--split`` then divides the chosen images into disjoint parts, one file each. The parts have
exactly the sizes asked for, about the same proportions of classes, and each has every class if
enough images show it. If the fractions sum to less than 1, the remaining images are left out. The
same seed gives the same parts.

The whole file is checked before. Where something is wrong (see README.md beside this file),
nothing is written unless with ``--skip-bad``. Image files are looked at only with ``--images``.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from hsakd_mm.datasets.boxes.checks import Findings, refuse_bad
from hsakd_mm.datasets.boxes.coco_files import add_options, check_options, finish, table, targets
from hsakd_mm.datasets.boxes.coco_json import read_classes
from hsakd_mm.datasets.boxes.split import absent_classes, read_fractions, split
from hsakd_mm.datasets.boxes.subset import Choice, checked, read_coco, subset
from hsakd_mm.engine.launch import user_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='the COCO json')
    parser.add_argument('--out', required=True, help='the new json, or a folder for it')
    parser.add_argument('--classes', nargs='+', metavar='CLASS', help='names, or a file with one a line (default: all)')
    parser.add_argument('--min-area', type=float, metavar='PIXELS', help='of a box, included')
    parser.add_argument('--max-area', type=float, metavar='PIXELS', help='of a box, included')
    parser.add_argument('--drop-empty', action='store_true', help='drop images without boxes (default: keep them)')
    parser.add_argument('--max-images', type=int, metavar='N', help='at most so many images')
    parser.add_argument('--fraction', type=float, metavar='PART', help='this part of the images')
    parser.add_argument(
        '--split',
        nargs='+',
        metavar='NAME=PART',
        help='disjoint parts and their fractions, such as train=0.7 val=0.3: one NAME.json each, in the folder --out',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the draw and the split (default: %(default)s)')
    parser.add_argument(
        '--images', metavar='DIR', help='folder of the images: check that they are there, and their sizes'
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
    paths = targets(args.out, fractions or [source], args.force)
    content, findings = checked(read_coco(args.source), args.images, args.clip)
    refuse_bad({source: findings}, args.skip_bad)
    chosen = subset(content, choice, args.source)
    if fractions:
        print(table({source: chosen}, {source: findings}), end='\n\n')
        parts = split(chosen, fractions, args.seed)
        finish(parts, {name: Findings() for name in parts}, paths, args.skip_bad)
        for note in absent_classes(parts):
            print(f'note: {note}')
    else:
        finish({source: chosen}, {source: findings}, paths, args.skip_bad)
    for path in paths.values():
        print(f'written: {path}')


if __name__ == '__main__':
    main()
