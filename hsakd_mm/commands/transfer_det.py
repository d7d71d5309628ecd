"""Fine-tune a detector from pretrained backbones, and report its AP.

    python tools/transfer_det.py work_dirs/imagenet_r34_r18/epoch_100.pth
    python tools/transfer_det.py random plain=plain.pth HSAKD=hsakd.pth CONFIG.py --seeds 0 1 2

In a checkout: python tools/transfer_det.py; the comments of tools/transfer_det.sh say more on the arguments.
"""

import argparse

from mmengine.config import Config

from hsakd_mm.checkpoints.source import newest_student
from hsakd_mm.commands.arguments import add_config_options, add_recipe, add_resume
from hsakd_mm.engine.loggers.run import LOGGERS, add_logger_arguments, use_loggers
from hsakd_mm.engine.named_config import config_path
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.detector_list import SEED, DetectorList, split_name
from hsakd_mm.experiments.detector_run import DetectorRun

COCO = 'hsakd_mm::transfer/faster-rcnn_r18_fpn_1x_coco.py'

INTERRUPTED = 'interrupted: the same command, for one run with --resume, goes on from the last checkpoint.'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'words',
        nargs='*',
        metavar='[NAME=]CHECKPOINT ... [CONFIG.py] [GPUS]',
        help='checkpoints: what hsakd-mm train wrote, a backbone file (.pth, '
        '.safetensors), torchvision://NAME, timm://NAME, hf-hub:OWNER/NAME, or "random" for no '
        'pretraining; {seed} in a path is the seed; default: the newest distilled '
        'student under work_dirs. What ends in .py is the detection config; '
        'default: COCO, R18-FPN, 1x. A number is the GPUs (without any: processes); default: 1',
    )
    parser.add_argument(
        '--work-dir',
        help='default: work_dirs/transfer/<checkpoint>-<config>, '
        'with -seed<N> if that is given; of a list work_dirs/transfer/<config>',
    )
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument('--seed', type=int, help="default: the config's, else 0")
    seeds.add_argument('--seeds', type=int, nargs='+', metavar='N', help='train with each of them')
    parser.add_argument('--baseline', metavar='NAME', help='name of the list that the others are compared with')
    add_resume(parser, 'go on from the last checkpoint of the work directory, or from FILE; a list always goes on')
    add_recipe(parser, 'measure the last checkpoint only')
    add_logger_arguments(parser)
    add_config_options(parser, 'change the config', default={})
    args = parser.parse_intermixed_args()
    args.config, args.gpus, args.checkpoints = None, None, []
    for word in args.words:
        kind = 'config' if word.endswith('.py') else 'gpus' if word.isdecimal() else 'checkpoints'
        if kind == 'checkpoints':
            args.checkpoints.append(word)
        elif getattr(args, kind) is not None:
            what = 'config' if kind == 'config' else 'number of GPUs'
            raise UserError(
                f'one {what} was expected, and there are two, {getattr(args, kind)} '
                f'and {word}: name one; checkpoints do not look like this.'
            )
        else:
            setattr(args, kind, word if kind == 'config' else int(word))
    args.seeds = args.seeds or ([] if args.seed is None else [args.seed])
    return args


def main() -> None:
    args = parse_args()
    if not args.checkpoints:
        args.checkpoints = [newest_student()]
        print(f'No checkpoint named: taking the newest distilled student, {args.checkpoints[0]}')
    if args.config is None:
        args.config = COCO
        print(f'No config named: taking {args.config}')
    args.config = config_path(args.config)
    use_loggers(Config(), args)  # a missing package is said before the first of the runs
    flags = [
        flag
        for flag in ('--amp', '--auto-scale-lr', '--no-validate', '--overwrite', *LOGGERS)
        if getattr(args, flag.strip('-').replace('-', '_'))
    ]
    common = dict(
        gpus=1 if args.gpus is None else args.gpus, work_dir=args.work_dir, options=args.cfg_options, flags=flags
    )
    if len(args.checkpoints) > 1 or len(args.seeds) > 1 or SEED in args.checkpoints[0]:
        if args.resume not in (None, 'auto'):
            raise UserError(
                f'--resume {args.resume} names the checkpoint of one run, and here are '
                f'several: leave it out, a list always goes on.'
            )
        if args.overwrite:
            raise UserError('--overwrite is for one run, and here are several: choose another --work-dir for the list.')
        runs = DetectorList(args.checkpoints, args.config, args.seeds, baseline=args.baseline, **common)
        runs.check()
        runs.run()
        return
    if args.baseline is not None:
        raise UserError(
            f'--baseline {args.baseline} compares the runs of a list, and here is one run: name several checkpoints.'
        )
    name, checkpoint = split_name(args.checkpoints[0])
    run = DetectorRun(checkpoint, args.config, seed=args.seeds[0] if args.seeds else None, name=name, **common)
    run.check(args.resume)
    run.train(resume=args.resume)
    run.report()
