"""Make COCO jsons of Pascal VOC's XML files, one a split, after checking every image and box.

Usage::

    python tools/dataset_converters/voc_to_coco.py VOCdevkit/VOC2007 --image-sets trainval test
        --classes voc --out data/voc2007
    python tools/dataset_converters/voc_to_coco.py mine/train --img-subdir . --ann-subdir .
        --out mine/train.json

ROOT has the folders ``JPEGImages``, ``Annotations`` and ``ImageSets/Main``. Without
``--image-sets`` all XML files are converted to one json named after ROOT. Boxes are the same as in
MMDetection's ``XMLDataset``: whole pixels, counted from 0. 'difficult' becomes ``iscrowd=1``:
``CocoDataset`` sets ``ignore_flag=1``, and ``CocoMetric`` counts the box neither as found nor as
missed; see ``hsakd_mm/datasets/boxes/coco_json.py``.

If an image or a box has a problem (see README.md in this folder), nothing is written, unless
``--skip-bad`` is given.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from hsakd_mm.datasets.boxes.coco_files import add_options, check_options, output_paths, report_and_write
from hsakd_mm.datasets.boxes.coco_json import collect, read_classes, to_coco
from hsakd_mm.datasets.boxes.voc_xml import VOC_CLASSES, found_classes, voc_samples
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='such as VOCdevkit/VOC2007')
    parser.add_argument('--out', required=True, help='folder for <split>.json, or a .json file for one split')
    parser.add_argument(
        '--image-sets', nargs='+', metavar='SET', help='names in ImageSets/Main, or files with one image id a line'
    )
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='CLASS',
        help="class names in order, a file with one name a line, or 'voc' for the 20 of Pascal VOC; other names are "
        'unknown categories (default: all names that occur, in alphabetical order)',
    )
    parser.add_argument('--img-subdir', default='JPEGImages', help='default: %(default)s')
    parser.add_argument('--ann-subdir', default='Annotations', help='default: %(default)s')
    parser.add_argument(
        '--from-zero', action='store_true', help='the XML files count pixels from 0: subtract nothing, keep fractions'
    )
    add_options(parser)
    args = parser.parse_args()
    with user_errors('interrupted: nothing was written; run the same command again.'):
        convert(args)


def convert(args: argparse.Namespace) -> None:
    """Read and check all splits, then write all files."""
    check_options(args)
    sets = {os.path.splitext(os.path.basename(name))[0]: name for name in args.image_sets or ()}
    if len(sets) < len(args.image_sets or ()):
        raise UserError(
            f'--image-sets takes lists of different names, since each is written as <name>.json, and '
            f'{", ".join(args.image_sets)} are {len(sets)} by name: convert them one by one, or rename one.'
        )
    sets = sets or {os.path.basename(os.path.abspath(args.root)): None}
    paths = output_paths(args.out, sets, args.force)
    classes = VOC_CLASSES if args.classes == ['voc'] else read_classes(args.classes)
    splits = {}
    for split, image_set in sets.items():
        samples = voc_samples(args.root, image_set, args.img_subdir, args.ann_subdir, args.from_zero)
        splits[split] = collect(samples, classes, args.clip, split)
    classes = classes or found_classes(splits.values())
    report_and_write(
        {split: to_coco(content, classes) for split, content in splits.items()},
        {split: content.findings for split, content in splits.items()},
        paths,
        args.skip_bad,
    )
    images = os.path.normpath(os.path.join(args.root, args.img_subdir))
    for path in paths.values():
        print(f"{path}: its images are in data_prefix=dict(img='{images}/')")


if __name__ == '__main__':
    main()
