# What the CIFAR-100 teachers with a frozen backbone share: 100 epochs for the branches.
_base_ = [
    '../_base_/datasets/cifar100_bs64.py', '../_base_/schedules/cifar_100e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='HSAKDTeacher',
    data_preprocessor=_base_.data_preprocessor,
    branches=dict(type='TailBranches'),
    pretext=dict(type='Rotation'),
    frozen_backbone=True,
    predict_branches=True)  # they are what this stage trains

# No save_best: on CIFAR-100 the reference code's students load the teacher of the last epoch, and
# where a work directory holds a best checkpoint the students here would take that.
val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='BranchAccuracy')]
test_evaluator = val_evaluator
