# Accuracy against cost: ResNet-20 taught by ResNet-56 on 6,500 images of CIFAR-10, for one GPU.
#     python tools/benchmark.py configs/bench/front/bench.py
# A run's epochs are a budget of 60, 120, 240 or 480 epochs of plain training, divided by what an epoch of its method
# costs (tools/analysis_tools/get_flops.py): KD 2.0, HSAKD 18.8, with one rotation 9.4, and so on.
title = 'What an accuracy costs: ResNet-20 on 6,500 images of CIFAR-10'
baseline = 'plain, 240 epochs'
seeds = [0, 1, 2]

_teacher = {'default_hooks.distillation.checkpoint': 'teacher'}
_one = {'model.pretext.sampled': 1}
_kept = {'default_hooks.distillation.cached_crops': 4}
_light = {
    'model.branches.type': 'LightBranches',
    'default_hooks.distillation.teacher.branches.type': 'LightBranches',
}
_curves = [
    ('plain', 'plain.py', {}, {}, (60, 120, 240, 480)),
    ('KD', 'kd.py', {}, {}, (30, 60, 120, 240)),
    ('KD, targets of 4 crops', 'kd.py', {}, _kept, (55, 115, 235)),
    ('HSAKD', 'hsakd.py', _teacher, {}, (6, 13, 26)),
    ('HSAKD, one rotation', 'hsakd.py', _teacher, _one, (6, 13, 26, 51)),
    ('HSAKD, one rotation, targets of 4 crops', 'hsakd.py', _teacher, {**_one, **_kept}, (9, 22, 48, 98)),
    ('HSAKD, light branches, one rotation', 'hsakd.py',
     {'default_hooks.distillation.checkpoint': 'light teacher'}, {**_one, **_light}, (15, 29, 58, 117)),
    ('HSAKD, branches every 4th step', 'hsakd.py', _teacher, {'model.branch_interval': 4}, (10, 19, 39, 77)),
    ('HSAKD, from 16 to 32 pixels', 'hsakd_resize.py', _teacher, {}, (11, 22, 44)),
]

runs = [
    dict(name='teacher', config='teacher.py', seeds=[0], row=False),
    dict(name='light teacher', config='teacher.py', seeds=[0], row=False,
         options={'model.branches.type': 'LightBranches'}),
    *[
        dict(name=f'{_name}, {_epochs} epochs', curve=_name, config=_config, needs=_needs,
             options={**_options, 'train_cfg.max_epochs': _epochs, 'param_scheduler.T_max': _epochs})
        for _name, _config, _needs, _options, _all in _curves for _epochs in _all
    ],
]
for _budget in (120, 240):  # of which KD takes one half, then HSAKD, from its weights, the other
    runs.append(
        dict(name=f'KD for {_budget // 4} epochs, then HSAKD', curve='KD, then HSAKD', config='hsakd.py',
             needs={**_teacher, 'load_from': f'KD, {_budget // 4} epochs'},
             options={**_one, 'train_cfg.max_epochs': _budget // 19, 'param_scheduler.T_max': _budget // 19,
                      'optim_wrapper.optimizer.lr': 0.01}))
notes = [
    """The teacher is akamaster's ResNet-56 (93.4 % on CIFAR-10's test set), trained on the 50,000 images of CIFAR-10;
the 8,000 used here are of its test set, which it never saw. Its branches are trained here, on these 6,500 images.
All runs: SGD with a cosine over their own length.""",
]
