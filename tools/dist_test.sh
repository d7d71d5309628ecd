#!/usr/bin/env bash
# Test on several GPUs, or in several processes on a machine without one; see dist_train.sh.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -lt 3 ]; then
    echo "usage: [NNODES=1 NODE_RANK=0 MASTER_ADDR=127.0.0.1 PORT=29500]" \
        "bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]" >&2
    exit 2
fi
HSAKD_MM_COMMAND=$(printf ' %q' bash "tools/dist_test.sh" "$@")
export HSAKD_MM_COMMAND=${HSAKD_MM_COMMAND# } # as typed: the workers' own line cannot be

config=$1
checkpoint=$2
gpus=$3
shift 3

exec bash "$tools/python.sh" -m hsakd_mm.engine.torchrun \
    --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" \
    --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}" \
    --nproc-per-node "$gpus" \
    "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
