#!/usr/bin/env bash
# Train on several GPUs, or in several processes on a machine without one.
#
# On several machines run it on each, with the same MASTER_ADDR and PORT, NNODES machines and this
# one's NODE_RANK (0 is the one at MASTER_ADDR). Other settings of torchrun are taken from its own
# variables, such as PET_MAX_RESTARTS=3.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -lt 2 ]; then
    echo "usage: [NNODES=1 NODE_RANK=0 MASTER_ADDR=127.0.0.1 PORT=29500]" \
        "bash tools/dist_train.sh CONFIG GPUS [options of train.py]" >&2
    exit 2
fi
HSAKD_MM_COMMAND=$(printf ' %q' bash "tools/dist_train.sh" "$@")
export HSAKD_MM_COMMAND=${HSAKD_MM_COMMAND# } # as typed: the workers' own line cannot be

config=$1
gpus=$2
shift 2

exec bash "$tools/python.sh" -m hsakd_mm.engine.torchrun \
    --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" \
    --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}" \
    --nproc-per-node "$gpus" \
    "$tools/train.py" "$config" --launcher pytorch "$@"
