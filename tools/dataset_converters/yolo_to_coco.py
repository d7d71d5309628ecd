"""Convert YOLO's label files to COCO jsons, one per split, after checking every image and box.

Usage::

    python tools/dataset_converters/yolo_to_coco.py --data data.yaml --out data/mine
    python tools/dataset_converters/yolo_to_coco.py --images DIR --labels DIR --classes FILE
        --out mine.json

``data.yaml`` is of Ultralytics or Roboflow, with ``names`` and folders (or list files) of images.
Labels are searched as YOLO does, in ``labels`` instead of ``images``. Category ids count from 1, and
YOLO's classes from 0. An image without a label file has no boxes; a label file without an image is
a problem, and so is a split in which no image has a label file. Keypoints need ``kpt_shape`` in
``data.yaml``.

If an image or a box has a problem (see README.md in this folder), nothing is written, unless
``--skip-bad`` is given.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from hsakd_mm.datasets.boxes.coco_files import add_options, check_options, output_paths, report_and_write
from hsakd_mm.datasets.boxes.coco_json import collect, read_classes, to_coco
from hsakd_mm.datasets.boxes.yolo_txt import check_labelled, read_data_yaml, yolo_samples
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', metavar='YAML', help='data.yaml of the dataset')
    parser.add_argument('--splits', nargs='+', metavar='SPLIT', help='splits of --data (default: all)')
    parser.add_argument('--images', metavar='DIR', help='instead of --data: the image folder of one split')
    parser.add_argument('--labels', metavar='DIR', help='label folder of --images (default: where YOLO looks for it)')
    parser.add_argument(
        '--classes', nargs='+', metavar='CLASS', help='with --images: class names in order, or a file with one a line'
    )
    parser.add_argument('--out', required=True, help='folder for <split>.json, or a .json file for one split')
    parser.add_argument(
        '--allow-unlabelled', action='store_true', help='accept a split in which no image has a label file'
    )
    add_options(parser)
    args = parser.parse_args()
    with user_errors('interrupted: nothing was written; run the same command again.'):
        convert(args)


def convert(args: argparse.Namespace) -> None:
    """Read and check all splits, then write all files."""
    check_options(args)
    names, places, keypoints = _source(args)
    paths = output_paths(args.out, places, args.force)
    splits, folders = {}, {}
    for split, where in places.items():
        samples, folders[split] = yolo_samples(where, names, args.labels, keypoints)
        if not args.allow_unlabelled:
            check_labelled(samples, split)
        splits[split] = collect(samples, names, args.clip, split)
    report_and_write(
        {split: to_coco(content, names) for split, content in splits.items()},
        {split: content.findings for split, content in splits.items()},
        paths,
        args.skip_bad,
    )
    for split, path in paths.items():
        print(f"{path}: its images are in data_prefix=dict(img='{folders[split]}/')")


def _source(args: argparse.Namespace) -> tuple:
    """Class names, folders or list files by split, and the number of values of keypoints."""
    if bool(args.data) == bool(args.images):
        raise UserError('the dataset is given either by --data or by --images (with --classes): give one of the two.')
    if args.images:
        if not args.classes or args.splits:
            raise UserError(
                '--images needs --classes and excludes --splits: correct the command, or name a data.yaml with --data.'
            )
        return read_classes(args.classes), {os.path.basename(os.path.abspath(args.images)): [args.images]}, 0
    if args.classes or args.labels:
        raise UserError(
            '--data gives the classes and labels itself: leave --classes and --labels out, or use --images.'
        )
    names, places, keypoints = read_data_yaml(args.data)
    absent = [split for split in args.splits or () if split not in places]
    if absent:
        raise UserError(
            f'{args.data} has the splits {", ".join(places)}, and --splits names {", ".join(absent)}: correct it.'
        )
    return names, {split: places[split] for split in args.splits or places}, keypoints


if __name__ == '__main__':
    main()
