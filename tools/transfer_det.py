"""Fine-tune a detector from pretrained backbones: hsakd_mm/commands/transfer_det.py, from a checkout."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hsakd_mm.commands import transfer_det
from hsakd_mm.commands.main import run

if __name__ == '__main__':
    run(transfer_det)
