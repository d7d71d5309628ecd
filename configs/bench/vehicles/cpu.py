# gpu.py, reduced to about an hour on two CPU cores: networks of half the width, the 13 classes that
# are vehicles, 250 images of each at 48 pixels, fewer epochs, and a smaller detector.
#     python tools/benchmark_transfer.py --scale cpu
_base_ = 'gpu.py'
title = 'Faster R-CNN on Vehicles, half-width ResNet-18 pretrained on 13 classes of Tiny-ImageNet'
work_dir = 'work_dirs/vehicles_cpu'

_vehicles = ('n02814533', 'n02917067', 'n03100240', 'n03393912', 'n03444034', 'n03599486',
             'n03670208', 'n03796401', 'n03977966', 'n04146614', 'n04285008', 'n04465501',
             'n04487081')
options = {
    'train_dataloader.dataset.metainfo.classes': _vehicles,
    'val_dataloader.dataset.metainfo.classes': _vehicles,
    'train_dataloader.dataset.fraction': 0.5,
    'train_dataloader.dataset.pipeline.1.size': 48,
    'val_dataloader.dataset.pipeline.1.size': 48,
    'train_dataloader.batch_size': 64,
    'train_dataloader.num_workers': 1,
    'val_dataloader.num_workers': 1,
    'optim_wrapper.optimizer.lr': 0.05,
}


def _half(*owners):
    return {f'{owner}.backbone.{key}': value for owner in owners for key, value in (
        ('channels', (32, 64, 128, 256)), ('num_classes', len(_vehicles)))}


_one, _two = _half('model'), _half('model.nets.0', 'model.nets.1')
_taught = _half('model', 'default_hooks.distillation.teacher')
# Networks and epochs; plain training and its kin are cheap, and are given as many as HSAKD.
_reduced = {
    'R34': (_one, 24), 'R34 branches': (_one, 5), 'R34 joint': (_one, 8), 'R34 SSP': (_one, 3),
    'plain': (_one, 8), 'KD': (_taught, 8), 'SSKD': (_taught, 8), 'HSAKD': (_taught, 8),
    'HSAKD*': (_taught, 8), 'HSSAKD online': (_two, 8), 'CSS': (_two, 8), 'RSKD': (_one, 8),
}
_more = {'RSKD': {'model.momentum': 1 - 1 / 50, 'model.ramp_up_epochs': 8 * 64 / 240}}
runs = [
    dict(run, options={
        **_reduced[run['name']][0], 'train_cfg.max_epochs': _reduced[run['name']][1],
        **_more.get(run['name'], {})})
    for run in _base_.runs
]

transfer = dict(config='detector_cpu.py', seeds=[0, 1, 2])

notes = [
    """Pretraining: 13 classes of Tiny-ImageNet, the vehicles among 47, 250 images of each at 48
pixels, one seed; students 8 epochs, the ResNet-34 24, its branches 5, jointly with
branches 8, SSKD's head 3.
"HSAKD" learns from the frozen ResNet-34 with branches grown on it, "HSAKD*" from one trained jointly
with its branches. Of two networks that teach each other the first is handed on, of CSS's branches
the first. RSKD is our reconstruction.
Epochs are equal, cost is not: HSAKD and HSSAKD see each image in four rotations. "random" trains all
layers and its BatchNorm, so that it differs in more than its start. So short, small and with one seed
of the pretraining it cannot rank the methods: it shows what this budget gave.""",
]
