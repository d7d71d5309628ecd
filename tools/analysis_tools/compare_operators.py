"""Compare the AP of one detector with compiled mmcv and with torchvision's kernels.

Usage::

    python tools/analysis_tools/compare_operators.py CONFIG CHECKPOINT OTHER_PYTHON \
        [--out FILE.json] [--cfg-options KEY=VALUE ...]

One of this interpreter and OTHER_PYTHON has compiled mmcv, the other mmcv-lite. Both evaluate the
checkpoint on the config's validation images, and AP is computed from the detections in full
precision. The exit status is 1 if the AP of a class differs by more than 1e-4 percent, and 2 after
a user error.
"""

import argparse
import copy
import json
import os
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

import numpy as np
from mmengine.config import Config

import hsakd_mm  # noqa: F401  patches mmengine and mmcv before they are used
from hsakd_mm.checkpoints.loading import load_checkpoint, sha256
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.engine.options import Options
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.average_precision import Matches
from hsakd_mm.evaluation.detection_records import read_record
from hsakd_mm.experiments.child import run_child, tool
from hsakd_mm.experiments.detector_metrics import write_config
from hsakd_mm.experiments.provenance import provenance
from hsakd_mm.files import write_atomically
from hsakd_mm.transfer.detector import as_test_config, record_detections

TOLERANCE = 1e-4
ASK = """
import json
import hsakd_mm
from hsakd_mm.transfer.operators import provide_operators
stand_in = provide_operators()
import mmcv.ops, mmdet, torch, torchvision
print(json.dumps(dict(operators='stand-in' if stand_in else 'compiled', mmcv=mmcv.__version__,
                      mmdet=mmdet.__version__, torch=torch.__version__,
                      torchvision=torchvision.__version__)))
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='AP of one detector by two installations of mmcv.')
    parser.add_argument('config', help='detection config')
    parser.add_argument('checkpoint', help='of the detector')
    parser.add_argument('other_python', help='interpreter of the other installation')
    parser.add_argument('--out', metavar='FILE', help='write the result as JSON')
    parser.add_argument('--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE', help='change the config')
    return parser.parse_args()


def installations(pythons: list) -> list:
    """Versions and kind of operators of each interpreter.

    Raises:
        UserError: One lacks a package, or both have the same kind of operators.
    """
    path = os.pathsep.join(filter(None, [ROOT, os.environ.get('PYTHONPATH')]))
    found = []
    for python in pythons:
        try:
            done = subprocess.run(
                [python, '-W', 'ignore', '-c', ASK],
                capture_output=True,
                text=True,
                env={**os.environ, 'PYTHONPATH': path},
                check=True,
            )
            found.append(json.loads(done.stdout.splitlines()[-1]))
        except (OSError, subprocess.CalledProcessError, IndexError, ValueError) as error:
            said = (getattr(error, 'stderr', None) or str(error)).strip().splitlines()
            raise UserError(
                f'{python} should be the Python of an environment with torch, mmcv '
                f'and mmdet, and could not import them ({said[-1] if said else error}):'
                f' name another, or install what it lacks.'
            ) from error
    kinds = [each['operators'] for each in found]
    if len(set(kinds)) < 2:
        raise UserError(
            f'one of {" and ".join(pythons)} should have compiled mmcv and the other '
            f'mmcv-lite, and the operators of both are {kinds[0]}: name another '
            f'interpreter.'
        )
    return found


def measure(python: str, cfg: Config, checkpoint: str, folder: str) -> dict:
    """Evaluate with ``python``, and return the record of its detections.

    Raises:
        UserError: Its ``tools/test.py`` failed.
    """
    out, path = os.path.join(folder, 'detections.json'), os.path.join(folder, 'detector.py')
    cfg = copy.deepcopy(cfg)
    record_detections(cfg, out)
    write_config(as_test_config(cfg), path)
    try:
        run_child([python, tool('test.py'), path, checkpoint, '--work-dir', folder])
    except SystemExit as ended:
        if ended.code == 130:
            raise
        raise UserError(
            f'{python} was expected to measure {checkpoint}, and ended with status {ended.code}: what it said stands '
            f'above.'
        ) from None
    return read_record(out)


def compare(records: list) -> dict:
    """Compare two records of detections of the same images.

    Returns:
        dict: ``AP`` of both in percent, AP ``per_class``, the largest ``difference`` of a class's
        AP, and the numbers of ``detections``.

    Raises:
        UserError: The images or objects differ, or there are no objects.
    """
    one, other = records
    if any(one[part] != other[part] for part in ('classes', 'images', 'truth')):
        raise UserError(
            'both installations should have evaluated the same images, classes and '
            'objects, and did not: compare on one machine, with one dataset.'
        )
    aps = [100 * Matches(record).per_class().mean(1) for record in records]
    known = ~np.isnan(aps[0])  # a class without objects has no AP
    if not known.any():
        raise UserError(
            'the validation images should have objects, and have none: name a config with other validation images.'
        )
    return dict(
        AP=[float(each[known].mean()) for each in aps],
        per_class={
            name: [float(each[label]) for each in aps] for label, name in enumerate(one['classes']) if known[label]
        },
        difference=float(np.abs(aps[0] - aps[1])[known].max()),
        detections=[len(record['found']) for record in records],
    )


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options, needs=('model', 'val_dataloader', 'val_evaluator'))
    load_checkpoint(args.checkpoint)  # fails early if it is not a checkpoint
    pythons = [sys.executable, args.other_python]
    found = installations(pythons)
    with tempfile.TemporaryDirectory() as folder:
        records = [
            measure(python, cfg, args.checkpoint, os.path.join(folder, str(number)))
            for number, python in enumerate(pythons)
        ]
    result = dict(
        compare(records),
        installations=found,
        images=len(records[0]['images']),
        config=args.config,
        checkpoint_sha256=sha256(args.checkpoint),
        **provenance(shlex.join(['python', *sys.argv]), None),
    )
    for each, value, count in zip(found, result['AP'], result['detections']):
        print(f'{each["operators"]} operators, mmcv {each["mmcv"]}: AP {value:.6f}, {count} detections')
    print(f"largest difference of a class's AP: {result['difference']:.6f}")
    if args.out:
        write_atomically(args.out, lambda file: file.write((json.dumps(result, indent=1) + '\n').encode()))
    raise SystemExit(int(result['difference'] > TOLERANCE))


if __name__ == '__main__':
    with user_errors():
        main()
