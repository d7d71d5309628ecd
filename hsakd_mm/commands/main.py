"""``hsakd-mm COMMAND ...``, also as ``python -m hsakd_mm COMMAND ...``."""

import importlib
import sys
from types import ModuleType

from hsakd_mm.version import __version__

# Name -> the module in this folder, and what it does.
COMMANDS = {
    'train': ('train', 'train a model: pretraining and detectors, the config decides'),
    'test': ('test', 'measure a checkpoint on the test set of its config'),
    'transfer': ('transfer_det', 'fine-tune a detector from pretrained backbones, and compare'),
    'export': ('export_backbone', "write a checkpoint's backbone for MMDetection, timm and others"),
    'benchmark': ('benchmark', 'compare methods over seeds, with detectors from each'),
    'doctor': ('doctor', 'check this machine, and what a config needs: memory, time'),
    'linear-probe': ('linear_probe', 'measure a backbone by a linear probe, or by k-NN'),
    'pretrain-and-transfer': ('pretrain_and_transfer', "from a detector's own pictures to a table of detectors"),
}


def main() -> None:
    """Run the command that is named first; exit status 2 if there is none of that name."""
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ('--help', [])
    if name == '--version':
        print(f'hsakd_mm {__version__}')
        return
    if name in ('-h', '--help'):
        print(usage())
        return
    if name not in COMMANDS:
        known = ', '.join(COMMANDS)
        print(f'error: a command was expected ({known}), and got {name}: see hsakd-mm --help.', file=sys.stderr)
        raise SystemExit(2)
    sys.argv = [f'hsakd-mm {name}', *arguments]
    run(importlib.import_module(f'hsakd_mm.commands.{COMMANDS[name][0]}'))


def run(command: ModuleType) -> None:
    """Run a command of this folder; a user's mistake ends it with one sentence, and Ctrl-C with how to go on."""
    from hsakd_mm.engine.launch import user_errors

    with user_errors(getattr(command, 'INTERRUPTED', 'interrupted.')):
        command.main()


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f'  {name:{width}}  {what}' for name, (_, what) in COMMANDS.items()]
    return '\n'.join(
        [
            'usage: hsakd-mm COMMAND ... [--help]',
            '',
            *lines,
            '',
            'A config is a file, or one of the package: hsakd_mm::hsakd/own_r34_r18.py.',
        ]
    )
