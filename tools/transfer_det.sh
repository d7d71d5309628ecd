#!/usr/bin/env bash
# Fine-tune a detector from pretrained backbones, and report its AP.
#
#   bash tools/transfer_det.sh [[NAME=]CHECKPOINT ...] [CONFIG.py] [GPUS] [--work-dir DIR]
#                              [--seed N | --seeds N ...] [--baseline NAME] [--resume]
#                              [--overwrite] [--amp] [--auto-scale-lr] [--no-validate]
#                              [--tensorboard] [--wandb] [--mlflow]
#                              [--cfg-options KEY=VALUE ...]
#
# CHECKPOINT: what tools/train.py wrote, a backbone file (.pth, .safetensors) of ours or of another project,
# torchvision://NAME, timm://NAME or hf-hub:OWNER/NAME (fetched, and kept as a file in the work directory), or "random".
# "{seed}" in a path is the detector's seed, so that each starts from a pretraining of its own:
# 'HSAKD=work_dirs/hsakd/seed{seed}/epoch_100.pth' --seeds 0 1 2.
# What ends in .py is the config, a whole number the GPUs (without any: processes).
# Without arguments: the newest distilled student under work_dirs, and the COCO config.
#
# One checkpoint and one seed: one run, in work_dirs/transfer/<checkpoint>-<config>[-seed<N>], with
# its report.md and report.json; --resume goes on with it.
# Several checkpoints or seeds, or a path with {seed}: each run in <work-dir>/<name>-seed<N>, and in
# <work-dir> (default: work_dirs/transfer/<config>) the comparison as report.md, .json, .png and
# .html. The same command again skips what is done and goes on with the rest. NAME is by default the method of a checkpoint
# of ours, the name of fetched weights, or a file's; --baseline says with which one to compare.
# The comparison covers the names and seeds of the command: another list needs another --work-dir.
#
# Before the first run trains, the weights of all have to fit, and the data has to be there, with
# the categories that the config names. Which weights were loaded and what is frozen is said, and
# written into the report.
#
# With several GPUs, NNODES, NODE_RANK, MASTER_ADDR and PORT are as for dist_train.sh; several
# machines share the work directory, and each is given the same command.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec bash "$tools/python.sh" "$tools/transfer_det.py" "$@"
