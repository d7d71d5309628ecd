# gpu.py, reduced for two CPU cores: networks of half the width, all 47 classes at 32 pixels, fewer
# epochs, and a smaller detector.
#     python tools/benchmark.py configs/bench/vehicles/cpu.py
_base_ = 'gpu.py'
title = 'Faster R-CNN on Vehicles, half-width ResNet-18 pretrained on Tiny-ImageNet-47 at 32 pixels'
work_dir = 'work_dirs/vehicles_cpu'
seeds = [0, 1, 2]  # of the students; each detector starts from that of its own seed

options = {
    'train_dataloader.dataset.pipeline.1.size': 32,
    'val_dataloader.dataset.pipeline.1.size': 32,
    'test_dataloader.dataset.pipeline.1.size': 32,
    'train_dataloader.batch_size': 64,
    'train_dataloader.num_workers': 1,
    'val_dataloader.num_workers': 1,
    'test_dataloader.num_workers': 1,
    'optim_wrapper.optimizer.lr': 0.05,
}


def _half(*owners):
    return {f'{owner}.backbone.channels': (32, 64, 128, 256) for owner in owners}


_one, _two = _half('model'), _half('model.nets.0', 'model.nets.1')
_taught = _half('model', 'default_hooks.distillation.teacher')
# Networks and epochs: plain training and its kin are given as many as HSAKD, and "plain, same cost" as many as
# cost what HSAKD's 4 cost.
_reduced = {
    'R34': (_one, 10), 'R34 branches': (_one, 2), 'R34 joint': (_one, 4), 'R34 SSP': (_one, 1),
    'plain': (_one, 4), 'plain, same cost': (_one, 4), 'KD': (_taught, 4), 'SSKD': (_taught, 4), 'HSAKD': (_taught, 4),
    'HSAKD*': (_taught, 4), 'HSSAKD online': (_two, 4), 'CSS': (_two, 4), 'RSKD': (_one, 4),
}
# 367 steps an epoch; the ramp-up over 64 epochs of 240.
_more = {'RSKD': {'model.momentum': 1 - 1 / 367, 'model.ramp_up_epochs': 4 * 64 / 240}}
runs = [
    dict(run, options={
        **_reduced[run['name']][0], 'train_cfg.max_epochs': _reduced[run['name']][1],
        **_more.get(run['name'], {})})
    for run in _base_.runs
]

detector = dict(config='detector_cpu.py', seeds=[0, 1, 2])

notes = [
    """Pretraining: 47 classes of Tiny-ImageNet at 32 pixels; students 4 epochs, the ResNet-34 10,
its branches 2, jointly with branches 4, SSKD's head 1. The students have three seeds, each teacher
one for all of them; the detector of a seed starts from the student of that seed.
"HSAKD" learns from the frozen ResNet-34 with branches grown on it, "HSAKD*" from one trained jointly
with its branches. Of two networks that teach each other the first is exported, of CSS's branches
the first. RSKD is our reconstruction.
Epochs are equal, cost is not: HSAKD and HSSAKD see each image in four rotations. "plain, same cost" is
plain training for as many epochs as cost, in multiply-adds, what HSAKD costs without its teacher.""",
]
