#!/usr/bin/env bash
# Pretrain a student on a detector's own pictures, without labels, and fine-tune the detector from it.
#
#   bash tools/pretrain_and_transfer.sh TEACHER STUDENT COCO_ROOT [DETECTOR.py] [--size 224] [--epochs 100]
#                                       [--seeds N ...] [--work-dir DIR] [--only-write] [--smoke]
#
# TEACHER: a network of timm with its weights (resnet50.a1_in1k), or with a file of yours (resnet50=FILE).
#   Branches grow on it, frozen. They learn the classes that it sees itself in the pictures; a teacher without a
#   classifier (DINOv2 ...) gets one of the boxes' categories, and its branches learn these.
# STUDENT: a network of timm (resnet18), from random weights.
# COCO_ROOT: the folder with annotations and pictures of training and validation, as COCO's, or
#   {train,val}.json and {train,val}/, or Roboflow's.
# DETECTOR.py: a detection config, whose backbone is replaced by the student and whose data_root by COCO_ROOT;
#   by default Faster R-CNN with FPN, of a small data set (up to 10,000 pictures) with the recipe for one.
#
# The runs: the teacher's branches, then the student by HSAKD without labels, by feature distillation, and by plain
# training on the boxes; then the detector from each and from random weights, compared in one report. They are
# configs and a bench file in work_dirs/<student>_from_<teacher>, which may be changed and run again with
# tools/benchmark.py. Called again, the command goes on where it stopped.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec bash "$tools/python.sh" "$tools/pretrain_and_transfer.py" "$@"
