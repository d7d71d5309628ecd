"""Check this machine, and with a config what it needs: two steps, memory, an estimate of its time.

Usage::

    hsakd-mm doctor [CONFIG] [--work-dir DIR] [--json FILE]

One line a check. Exit status: 0; 2 if something is missing without which a run fails. Warnings do not count.
"""

import argparse
import contextlib
import os
import sys
from dataclasses import asdict

from hsakd_mm.commands.arguments import add_config_options
from hsakd_mm.engine.doctor import MISSING, WARNING, Check, check_machine
from hsakd_mm.engine.named_config import config_path
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.engine.trial_steps import check_config
from hsakd_mm.files import write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', nargs='?', help='config file; without it the machine only')
    parser.add_argument('--work-dir', help='where the run would write; default: work_dirs/<config>')
    parser.add_argument('--json', metavar='FILE', help='write the checks as JSON')
    add_config_options(parser, 'change the config, as for hsakd-mm train')
    args = parser.parse_args()
    args.config = args.config and config_path(args.config)
    return args


def main() -> None:
    args = parse_args()
    cfg = None
    if args.config:
        cfg = load_config(
            args.config, args.cfg_options, needs=('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
        )
    stem = os.path.splitext(os.path.basename(args.config or ''))[0]
    checks: list[Check] = []
    terminal = sys.stdout  # mmengine's logs are not shown

    def report(check: Check) -> None:
        checks.append(check)
        print(check, file=terminal, flush=True)

    for check in check_machine(args.work_dir or os.path.join('work_dirs', stem)):
        report(check)
    if cfg is not None:
        with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            for check in check_config(cfg):
                report(check)
    if args.json:
        write_json(args.json, dict(config=args.config, checks=[asdict(check) for check in checks]))
    missing, warned = ([each.name for each in checks if each.status == kind] for kind in (MISSING, WARNING))
    plural = '' if len(warned) == 1 else 's'
    print(f'{len(missing)} missing, {len(warned)} warning{plural}', file=terminal, flush=True)
    if missing:
        print(f'error: {", ".join(missing)}: see the lines above, which say what to do.', file=sys.stderr)
        raise SystemExit(2)
