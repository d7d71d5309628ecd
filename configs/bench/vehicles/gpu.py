# What pretraining is worth to a detector, small: ResNet-18 pretrained on 47 classes of
# Tiny-ImageNet, each row by another method, then Faster R-CNN on Vehicles-OpenImages.
#     python tools/benchmark.py configs/bench/vehicles/gpu.py
# Networks of full width, all images, for one modern GPU; cpu.py is the same for two CPU cores.
title = 'Faster R-CNN on Vehicles, ResNet-18 pretrained on Tiny-ImageNet-47'
baseline = 'plain'
work_dir = 'work_dirs/vehicles'
seeds = [0]  # of the students; each teacher is one for all of them

_teacher = dict(seeds=[0], row=False)
_hook = 'default_hooks.distillation.checkpoint'
runs = [
    dict(name='R34', config='plain_r34.py', **_teacher),
    dict(name='R34 branches', config='teacher.py', needs={'model.checkpoint': 'R34'}, **_teacher),
    dict(name='R34 joint', config='teacher_joint.py', **_teacher),
    dict(name='R34 SSP', config='sskd_teacher.py', needs={'model.checkpoint': 'R34'}, **_teacher),
    dict(name='plain', config='plain_r18.py'),
    dict(name='plain, same cost', config='plain_r18.py', cost_of='HSAKD'),
    dict(name='KD', config='kd.py', needs={_hook: 'R34'}),
    dict(name='SSKD', config='sskd.py', needs={_hook: 'R34 SSP'}),
    dict(name='HSAKD', config='hsakd.py', needs={_hook: 'R34 branches'}),
    dict(name='HSAKD*', config='hsakd.py', needs={_hook: 'R34 joint'}),
    dict(name='HSSAKD online', config='hssakd.py', metric='accuracy/net1_top1'),
    dict(name='CSS', config='css.py', metric='accuracy/net1_top1'),
    # 183 steps an epoch; the ramp-up over 64 epochs of 240.
    dict(name='RSKD', config='rskd.py',
         options={'model.momentum': 1 - 1 / 183, 'model.ramp_up_epochs': 8}),
]

detector = dict(config='detector.py', seeds=[0, 1, 2])  # of the detector

notes = [
    """Pretraining: 47 classes of Tiny-ImageNet at 64 pixels, one seed, 30 epochs each, teachers too.
"HSAKD" learns from the frozen ResNet-34 with branches grown on it, "HSAKD*" from one trained jointly
with its branches. Of two networks that teach each other the first is exported, of CSS's branches
the first. RSKD is our reconstruction.
Epochs are equal, cost is not: HSAKD and HSSAKD see each image in four rotations. "plain, same cost" is
plain training for as many epochs as cost, in multiply-adds, what HSAKD costs without its teacher.""",
]
