"""Fine-tune a detector from a pretrained backbone, and report its AP.

    python tools/transfer_det.py work_dirs/imagenet_r34_r18/epoch_100.pth
"""
import argparse
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from hsakd_mm.engine.launch import Options, user_errors  # noqa: E402
from hsakd_mm.transfer.run import TransferRun  # noqa: E402
from hsakd_mm.transfer.source import newest_student  # noqa: E402

COCO = os.path.join(ROOT, 'configs', 'transfer', 'faster-rcnn_r18_fpn_1x_coco.py')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', nargs='?', help='what tools/train.py wrote, a backbone file '
                        '(.pth, .safetensors), or "random" for no pretraining; default: the '
                        'newest distilled student under work_dirs')
    parser.add_argument('config', nargs='?', help='detection config; default: COCO, R18-FPN, 1x')
    parser.add_argument('gpus', nargs='?', type=int,
                        help='GPUs (without any: processes); default: 1')
    parser.add_argument('--work-dir', help='default: work_dirs/transfer/<checkpoint>-<config>, '
                        'with -seed<N> if that is given')
    parser.add_argument('--seed', type=int, help="default: the config's, else 0")
    parser.add_argument('--resume', nargs='?', const='auto', metavar='FILE',
                        help='go on from the last checkpoint of the work directory, or from FILE')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate with the number of images a step')
    parser.add_argument('--no-validate', action='store_true',
                        help='measure the last checkpoint only')
    parser.add_argument('--cfg-options', nargs='+', action=Options, default={},
                        metavar='KEY=VALUE', help='change the config')
    args = parser.parse_intermixed_args()
    if args.config and args.config.isdecimal() and args.gpus is None:  # CHECKPOINT GPUS
        args.config, args.gpus = None, int(args.config)
    return args


def main() -> None:
    args = parse_args()
    if args.checkpoint is None:
        args.checkpoint = newest_student()
        print(f'No checkpoint named: taking the newest distilled student, {args.checkpoint}')
    if args.config is None:
        args.config = COCO.removeprefix(os.getcwd() + os.sep)
        print(f'No config named: taking {args.config}')
    run = TransferRun(args.checkpoint, args.config, gpus=1 if args.gpus is None else args.gpus,
                      work_dir=args.work_dir, seed=args.seed, options=args.cfg_options)
    run.check()
    flags = [flag for flag in ('--amp', '--auto-scale-lr', '--no-validate')
             if getattr(args, flag.strip('-').replace('-', '_'))]
    tools = os.path.join(ROOT, 'tools')
    run.train(tools, resume=args.resume, flags=flags)
    run.report(tools)


if __name__ == '__main__':
    with user_errors('interrupted: the same command with --resume goes on from the last '
                     'checkpoint.'):
        main()
