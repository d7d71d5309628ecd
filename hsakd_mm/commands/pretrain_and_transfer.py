"""Pretrain a student on the pictures of a detector without labels, and fine-tune the detector from it.

    python tools/pretrain_and_transfer.py TEACHER STUDENT COCO_ROOT [DETECTOR.py]

tools/pretrain_and_transfer.sh says what the arguments are.
"""

import argparse
import os

from hsakd_mm.engine.named_config import config_path
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.bench import Bench
from hsakd_mm.experiments.named_network import describe
from hsakd_mm.experiments.own_images import write_bench
from hsakd_mm.experiments.provenance import typed_command
from hsakd_mm.experiments.run_bench import run_bench

INTERRUPTED = 'stopped: the same command continues.'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('teacher', help='of timm, as resnet50.a1_in1k, or with a file, resnet50=FILE')
    parser.add_argument('student', help='of timm, as resnet18')
    parser.add_argument('coco_root', help='folder with annotations and pictures')
    parser.add_argument('detector', nargs='?', metavar='DETECTOR.py', help='detection config; default: Faster R-CNN')
    parser.add_argument('--size', type=int, default=224, help="pixels of the pretraining's images (default: 224)")
    parser.add_argument('--epochs', type=int, default=100, help='of the student (default: 100); of branches a third')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], metavar='N', help='default: 0')
    parser.add_argument('--work-dir', help='default: work_dirs/<student>_from_<teacher>')
    parser.add_argument('--only-write', action='store_true', help='write the bench and its configs, and run nothing')
    parser.add_argument('--smoke', action='store_true', help='one epoch on a few images: see that everything runs')
    args = parser.parse_args()
    for name, least in (('size', 32), ('epochs', 1)):
        if getattr(args, name) < least:
            raise UserError(f'--{name} takes a number of at least {least}, and got {getattr(args, name)}.')
    if min(args.seeds) < 0:
        raise UserError(f'--seeds takes numbers of 0 or more, and got {min(args.seeds)}.')
    if args.detector and not args.detector.endswith('.py'):
        raise UserError(f'a detection config that ends in .py was expected, and {args.detector} does not: name one.')
    return args


def main() -> None:
    args = parse_args()
    args.detector = args.detector and config_path(args.detector)
    teacher, student = describe(args.teacher, args.size, True), describe(args.student, args.size, False)
    names = [network.config['model_name'] for network in (student, teacher)]
    out = os.path.normpath(args.work_dir or os.path.join('work_dirs', '_from_'.join(names)))
    command = typed_command()
    bench = write_bench(
        teacher, student, args.coco_root, args.detector, args.size, args.epochs, args.seeds, out, command
    )
    print(f'The bench is in {bench}, with the configs of its runs beside it.', flush=True)
    if not args.only_write:
        run_bench(Bench(bench, smoke=args.smoke), command)
