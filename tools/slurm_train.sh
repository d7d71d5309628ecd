#!/usr/bin/env bash
# Train under Slurm: GPUS processes, GPUS_PER_NODE on each node; with CPU=1 on nodes without GPUs.
#
# A run that is asked to stop saves and ends with status 75; the same command goes on from there. Slurm asks by
# `scancel --signal=USR1 JOB`, or some time before the limit if told so. In a batch job this script then requeues it:
#
#   sbatch --requeue --signal=USR1@120 --ntasks=8 --wrap 'bash tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR'
#
# A job that is cancelled by plain `scancel`, or runs into its limit without `--signal`, has saved but is not requeued.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -lt 4 ]; then
    echo "usage: [GPUS=8 GPUS_PER_NODE=8 CPU= CPUS_PER_TASK=5 PORT=... SRUN_ARGS=...]" \
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
gres=(--gres="gpu:$per_node")
if [ -n "${CPU:-}" ]; then
    gres=()
fi

# SRUN_ARGS is several words: it is split on purpose.
# shellcheck disable=SC2086
srun --partition="$partition" --job-name="$job" "${gres[@]}" --ntasks="$gpus" \
    --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    bash "$tools/python.sh" -u "$tools/train.py" "$config" --work-dir "$work_dir" \
    --launcher slurm "$@" &
step=$!
# srun hands these on to the tasks, and this script waits for their status.
trap 'kill -TERM "$step" 2> /dev/null || true' TERM
trap 'kill -USR1 "$step" 2> /dev/null || true' USR1
trap 'kill -INT "$step" 2> /dev/null || true' INT
status=0
wait "$step" || status=$?
while kill -0 "$step" 2> /dev/null; do # a signal ends `wait`, and not the step
    status=0
    wait "$step" || status=$?
done
# A job cancelled with plain `scancel`, which ends the tasks before this script, is to stay so: it is no longer RUNNING.
runs() { [[ $(scontrol show job "$SLURM_JOB_ID" 2> /dev/null || true) == *JobState=RUNNING* ]]; }
# SLURMD_NODENAME: in a batch job, and not in a shell of salloc, which cannot be requeued.
# 137: srun ended a task that was slower to end than the first; the mark says that all had saved.
if [ -n "${SLURMD_NODENAME:-}" ] && { [ "$status" = 75 ] || { [ "$status" = 137 ] && [ -e "$work_dir/preempted.json" ]; }; }; then
    if runs; then
        scontrol requeue "$SLURM_JOB_ID"
    else
        echo "Slurm is ending job $SLURM_JOB_ID, which is not requeued; the same command goes on with the run." >&2
    fi
fi
exit "$status"
