# The rows without labels beside "plain" and "HSAKD": students that learn from the teacher alone, on the
# pictures of Tiny-ImageNet, and on the detector's own 439 photographs. For two CPU cores.
#     python tools/benchmark.py configs/bench/vehicles/unlabelled.py
# data/tiny-imagenet-200 has to hold the 47 classes of _tiny47.py and no others: without labels all pictures
# are read.
_base_ = 'cpu.py'
title = 'Faster R-CNN on Vehicles, half-width ResNet-18 pretrained with labels and without, at 32 pixels'
work_dir = 'work_dirs/vehicles_unlabelled'
seeds = [0, 1, 2]

options = {'optim_wrapper.type': 'OptimWrapper'}  # float32: not every CPU has bfloat16

_half = (32, 64, 128, 256)
_hook = 'default_hooks.distillation.checkpoint'
_taught = {
    'model.backbone.channels': _half,
    'default_hooks.distillation.teacher.backbone.channels': _half,
}
# As many images as in four epochs of Tiny-ImageNet's 23,500: 214 of the 439 photographs.
_short, _long = {'train_cfg.max_epochs': 4}, {'train_cfg.max_epochs': 214, 'train_cfg.val_interval': 53}
_hsakd = dict(needs={_hook: 'R34 branches'}, metric='agreement/top1')
_features = dict(needs={_hook: 'R34'}, metric='agreement/cosine')
_shared = ('R34', 'R34 branches', 'plain', 'plain, same cost', 'HSAKD')
runs = [run for run in _base_.runs if run['name'] in _shared] + [
    dict(name='features, Tiny-ImageNet without labels', config='features_tiny.py',
         options={**_taught, **_short, 'model.teacher_features': 256}, **_features),
    dict(name='HSAKD, Tiny-ImageNet without labels', config='hsakd_tiny.py',
         options={**_taught, **_short}, **_hsakd),
    dict(name='features, the 439 photographs', config='features_vehicles.py',
         options={**_taught, **_long, 'model.teacher_features': 256,
                  'val_dataloader.dataset.pipeline.2.size': 32}, **_features),
    dict(name='HSAKD, the 439 photographs', config='hsakd_vehicles.py',
         options={**_taught, **_long, 'val_dataloader.dataset.pipeline.2.size': 32}, **_hsakd),
]

notes = [
    """Pretraining at 32 pixels: "plain" and "HSAKD" on 47 classes of Tiny-ImageNet with labels, the others
without: on the same pictures, or on the detector's own 439 photographs, for as many images. All learn from
one ResNet-34 that was trained with labels for 10 epochs, its branches for 2; "features" follows its last map.
Three seeds of the students; the detector of a seed starts from the student of that seed. Images are equal,
cost is not: HSAKD sees each in four rotations. "plain, same cost" is plain training for as many epochs as cost,
in multiply-adds, what HSAKD with labels costs without its teacher.""",
]
