#!/usr/bin/env bash
# Train under Slurm: GPUS processes, GPUS_PER_NODE on each node.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -lt 4 ]; then
    echo "usage: [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 PORT=... SRUN_ARGS=...]" \
        "bash tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR [options of train.py]" >&2
    exit 2
fi
partition=$1
job=$2
config=$3
work_dir=$4
shift 4
if ! command -v srun > /dev/null; then
    echo "error: slurm_train.sh needs srun, and there is none here: run it on a login node of a" \
        "Slurm cluster, or use tools/dist_train.sh." >&2
    exit 2
fi
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
# Without PORT each job gets one of its own, from its number; see hsakd_mm/engine/launch.py.
if [ -n "${PORT:-}" ]; then
    export MASTER_PORT=$PORT
fi

# SRUN_ARGS is several words: it is split on purpose.
# shellcheck disable=SC2086
exec srun --partition="$partition" --job-name="$job" --gres="gpu:$per_node" --ntasks="$gpus" \
    --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    bash "$tools/python.sh" -u "$tools/train.py" "$config" --work-dir "$work_dir" \
    --launcher slurm "$@"
