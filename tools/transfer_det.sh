#!/usr/bin/env bash
# Fine-tune a detector from a pretrained backbone, and report its AP.
#
#   bash tools/transfer_det.sh [CHECKPOINT [CONFIG] [GPUS]] [--work-dir DIR] [--seed N]
#                              [--resume] [--cfg-options KEY=VALUE ...] [options of train.py]
#
# CHECKPOINT: what tools/train.py wrote, a backbone file (.pth, .safetensors), or "random".
# Without arguments: the newest distilled student under work_dirs, and the COCO config.
# With several GPUs, NNODES, NODE_RANK, MASTER_ADDR and PORT are as for dist_train.sh.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec bash "$tools/python.sh" "$tools/transfer_det.py" "$@"
