# Plain training, KD, HSAKD and HSSAKD online side by side on a slice of CIFAR-100, which FOLDER,
# with cifar-100-python in it, gives by
#     python tools/dataset_converters/cifar100_to_folder.py FOLDER --out data/cifar100_slice \
#         --classes 0-9 --per-class 400
# One teacher teaches all seeds.
title = 'ResNet-20 on ten classes of CIFAR-100'
baseline = 'plain'
runs = [
    dict(name='R56', config='plain_r56.py', seeds=[0]),
    dict(name='R56 branches', config='teacher_r56.py', seeds=[0],
         needs={'model.checkpoint': 'R56'}, row=False),  # its accuracy is R56's: it is frozen
    dict(name='plain', config='plain_r20.py'),
    dict(name='plain, same cost', config='plain_r20.py', cost_of='HSAKD'),
    dict(name='KD', config='kd_r56_r20.py',
         needs={'default_hooks.distillation.checkpoint': 'R56'}),
    dict(name='HSAKD', config='hsakd_r56_r20.py',
         needs={'default_hooks.distillation.checkpoint': 'R56 branches'}),
    dict(name='HSSAKD online', config='hssakd_r20.py', metric='accuracy/net1_top1'),
]
notes = [
    """Data: the first ten classes of CIFAR-100 by name; 400 images of each to train on, the 100
test images of each to judge by. Recipe: the paper's with fewer epochs, milestones in proportion:
students 8 instead of 240; the teacher's ResNet-56 24 instead of 240, its branches 10 instead of
100. In bfloat16 and NHWC, all alike. So short and small, it shows which way the methods go here,
not what the paper's tables say.""",
    """Epochs are equal, cost is not: "plain, same cost" is plain training for as many epochs as cost, in
multiply-adds, what HSAKD costs without its teacher's training, with milestones in proportion.""",
    """R56 is KD's teacher and, frozen, with branches grown on it, HSAKD's. HSSAKD online trains two
ResNet-20 together, without a teacher; its row is the first one, which starts as the plain one does.
(The authors' code takes the better of the two in each epoch.)""",
]
