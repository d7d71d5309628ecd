"""Measure one detector with two installations of mmcv: do their operators give the same AP?

Usage::

    python tools/analysis_tools/compare_operators.py CONFIG CHECKPOINT OTHER_PYTHON \
        [--out FILE.json] [--cfg-options KEY=VALUE ...]

This interpreter and OTHER_PYTHON (say the one of an environment with compiled mmcv) each measure
the checkpoint on the config's validation set, and AP is computed from the detections in full precision.
The exit status is 1 if it differs by more than 1e-4 of a point in percent, 2 after a mistake.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

import hsakd_mm  # noqa: E402,F401
from mmengine.config import Config  # noqa: E402

from hsakd_mm.checkpoint import sha256  # noqa: E402
from hsakd_mm.engine.launch import Options, user_errors  # noqa: E402
from hsakd_mm.errors import UserError  # noqa: E402
from hsakd_mm.files import replace  # noqa: E402
from hsakd_mm.transfer.average_precision import Matches  # noqa: E402
from hsakd_mm.transfer.child import exit_unless_zero, run_child  # noqa: E402
from hsakd_mm.transfer.report import provenance  # noqa: E402

TOLERANCE = 1e-4
ASK = ('import json, torch, torchvision, mmcv; import hsakd_mm; '
       'from hsakd_mm.transfer.operators import provide_operators; '
       'print(json.dumps(dict(stand_in=provide_operators(), mmcv=mmcv.__version__, '
       'torch=torch.__version__, torchvision=torchvision.__version__)))')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='AP of one detector by two installations of mmcv.')
    parser.add_argument('config', help='detection config')
    parser.add_argument('checkpoint', help='of the detector')
    parser.add_argument('other_python', help='interpreter of the other installation')
    parser.add_argument('--out', metavar='FILE', help='write the result as JSON')
    parser.add_argument('--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE',
                        help='change the config')
    return parser.parse_args()


def installation(python: str) -> dict:
    """Versions, and whether the stand-in provides the operators.

    Raises:
        UserError: ``python`` cannot say.
    """
    try:
        done = subprocess.run([python, '-W', 'ignore', '-c', ASK], capture_output=True, text=True,
                              env={**os.environ, 'PYTHONPATH': ROOT}, check=True)
        return json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError) as error:
        said = (getattr(error, 'stderr', None) or str(error)).strip().splitlines()
        raise UserError(f'{python} should be the Python of an environment with torch, mmcv and '
                        f'mmdet, and it could not import them ({said[-1] if said else error}): '
                        f'name another, or install what it lacks.') from error


def measure(python: str, cfg: Config, checkpoint: str, folder: str) -> dict:
    """The record of detections that ``python`` makes on the validation set."""
    os.makedirs(folder)
    out, path = os.path.join(folder, 'detections.json'), os.path.join(folder, 'detector.py')
    evaluators = cfg.val_evaluator
    Config(dict(cfg.to_dict(), test_dataloader=cfg.val_dataloader, test_evaluator=[
        *(evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]),
        dict(type='hsakd_mm.DetectionRecords', out_file=out)])).dump(path)
    tools = os.path.join(ROOT, 'tools')
    exit_unless_zero(run_child([python, os.path.join(tools, 'test.py'), path, checkpoint,
                                '--work-dir', folder], tools))
    with open(out) as file:
        return json.load(file)


def compare(records: list) -> dict:
    """AP in percent of both records, by class too; and how far apart they are at most.

    Also how many detections there are, and the largest distance of a box's side or of a score,
    where both found as many.
    """
    matches = [Matches(record) for record in records]
    per_class = [(100 * each.per_class().mean(1)).tolist() for each in matches]
    found = [[[*each['bbox'], 100 * each['score']] for each in record['found']]
             for record in records]
    apart = (max((abs(a - b) for one, other in zip(*found) for a, b in zip(one, other)), default=0.)
             if len(found[0]) == len(found[1]) else None)
    return dict(
        AP=[each.figures()['AP'] for each in matches],
        per_class=dict(zip(records[0]['classes'], map(list, zip(*per_class)))),
        detections=list(map(len, found)), largest_distance=apart,
        difference=max((abs(a - b) for a, b in zip(*per_class) if a == a or b == b), default=0.))


def main() -> None:
    args = parse_args()
    pythons = [sys.executable, args.other_python]
    installations = [installation(python) for python in pythons]
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    with tempfile.TemporaryDirectory() as folder:
        records = [measure(python, cfg, args.checkpoint, os.path.join(folder, str(number)))
                   for number, python in enumerate(pythons)]
    result = dict(compare(records), installations=installations, config=args.config,
                  checkpoint_sha256=sha256(args.checkpoint), images=len(records[0]['images']),
                  **provenance(shlex.join(['python', *sys.argv]), None))
    for which, value, count in zip(installations, result['AP'], result['detections']):
        kind = 'stand-in' if which['stand_in'] else 'compiled'
        print(f'{kind} operators, mmcv {which["mmcv"]}: AP {value:.6f}, {count} detections')
    print(f'largest difference of a class\'s AP: {result["difference"]:.6f}')
    if args.out:
        replace(args.out, lambda file: file.write((json.dumps(result, indent=1) + '\n').encode()))
    raise SystemExit(int(not result['difference'] <= TOLERANCE))  # nan too


if __name__ == '__main__':
    with user_errors():
        main()
