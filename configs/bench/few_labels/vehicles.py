# A detector of photographs from backbones that were pretrained on few labelled images, for two CPU cores.
#     python tools/benchmark.py configs/bench/few_labels/vehicles.py
title = 'Pretrained on 25 labelled images of each of 47 classes'
baseline = 'plain, same cost'
pairs = [
    ('HSAKD', 'KD, same cost'),
    ('HSAKD, light branches', 'KD, same cost'),
    ('HSAKD, no labels', 'KD, no labels'),
    ('HSAKD, light branches, no labels', 'KD, no labels'),
]
seeds = [0, 1, 2, 3, 4]
threads = 1
work_dir = 'work_dirs/few_labels'

_distillation = 'default_hooks.distillation'
_strong = {f'{_distillation}.checkpoint': 'strong'}
_teacher = {f'{_distillation}.checkpoint': 'teacher'}
_light_teacher = {f'{_distillation}.checkpoint': 'light teacher'}
_light = {'model.branches.type': 'LightBranches', f'{_distillation}.teacher.branches.type': 'LightBranches'}
_unlabelled = {'model.ce_weight': 0.0, 'train_dataloader.dataset.fraction': 1.0}
_grown = dict(config='teacher.py', seeds=[0], row=False, needs={'model.checkpoint': 'strong'})
runs = [
    dict(name='strong', config='strong.py', seeds=[0], row=False),
    dict(name='teacher', **_grown),
    dict(name='light teacher', **_grown, options={'model.branches.type': 'LightBranches'}),
    dict(name='plain', config='plain.py'),
    dict(name='plain, same cost', config='plain.py', cost_of='HSAKD'),
    dict(name='KD, same cost', config='kd.py', cost_of='HSAKD', needs=_strong),
    dict(name='HSAKD', config='hsakd.py', needs=_teacher),
    dict(name='HSAKD, light branches', config='hsakd.py', cost_of='HSAKD', needs=_light_teacher, options=_light),
    dict(name='KD, no labels', config='kd.py', cost_of='HSAKD, no labels', needs=_strong, options=_unlabelled),
    dict(name='HSAKD, no labels', config='hsakd_unlabelled.py', needs=_teacher),
    dict(
        name='HSAKD, light branches, no labels',
        config='hsakd_unlabelled.py',
        cost_of='HSAKD, no labels',
        needs=_light_teacher,
        options=_light),
]
detector = dict(
    config='detector_vehicles.py',
    folder='vehicles',
    title='Faster R-CNN on vehicles, pretrained on 25 labelled images of each of 47 classes')
notes = [
    """Pretraining: 32 pixels of 47 classes of Tiny-ImageNet, of which a student has 25 labelled images each. The
teacher, a ResNet-18 of twice their width, one for all seeds, has learnt from all 500 of each class; then, frozen,
it grew branches. So it knows more than a student can find out from its labels. HSAKD turns its images in one of
three ways in each step, at half the cost. **plain, same cost** is plain training for as many multiply-adds as
HSAKD's; the teacher's own training comes on top, and is told apart. **KD, same cost** is KD from the same teacher
without its branches, for as many multiply-adds as HSAKD's. **HSAKD, no labels** learns from the teacher
alone, on all 500 images of each class without their labels, for 2 epochs, at 1.34 times HSAKD's cost (1.5 epochs
would cost the same, but epochs are whole); **KD, no labels** does so without branches, for as many multiply-adds.
**Light branches** are the cheaper ones, in a teacher of their own and in the student, for as many multiply-adds as full
branches. Top-1: of the last epoch, on 50 images of each class.""",
    """AP: after the last epoch, on the photographs of `val`. Nothing is frozen in any row. What counts:
the difference of HSAKD, with labels and without, to plain training at the same cost, mean over five seeds, on each of
the two data sets, which was decided before the runs; that of HSAKD to KD at the same cost, decided when the results
of all rows but KD were known, and before KD ran; and, decided when all of these were known and before KD without labels
and light branches ran, that of light branches to KD with labels, and those of full and of light branches to KD
without labels. Light branches were taken because their top-1 is HSAKD's highest at a given cost in the front
(configs/bench/front), on the same images.""",
]
