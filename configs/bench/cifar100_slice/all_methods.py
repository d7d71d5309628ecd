# Every method here on the slice of bench.py, whose runs it shares: these are not done twice.
#     python tools/benchmark.py configs/bench/cifar100_slice/all_methods.py
_base_ = 'bench.py'

_from_r56 = {'default_hooks.distillation.checkpoint': 'R56'}

runs = [
    *_base_.runs,
    dict(name='R56 SSP', config='sskd_teacher_r56.py', seeds=[0],
         needs={'model.checkpoint': 'R56'}, row=False),
    dict(name='DKD', config='dkd_r56_r20.py', needs=_from_r56),
    dict(name='CRD', config='crd_r56_r20.py', needs=_from_r56),
    dict(name='SSKD', config='sskd_r56_r20.py',
         needs={'default_hooks.distillation.checkpoint': 'R56 SSP'}),
    dict(name='EMA-KD', config='ema_kd_r20.py'),
    dict(name='RSKD head', config='rskd_head_r20.py'),
    dict(name='RSKD', config='rskd_r20.py'),
    dict(name='DML', config='dml_r20.py', metric='accuracy/net1_top1'),
    dict(name='OKDDip', config='okddip_r20.py'),
    dict(name='CSS', config='css_r20.py', metric='accuracy/net1_top1'),
]
notes = [
    *_base_.notes,
    """R56 is DKD's and CRD's teacher too and, frozen, with a head trained for 6 epochs instead of 60,
SSKD's. SSKD rotates one crop, and has Nesterov as all here; its authors' code has neither. DKD's
warm-up is 2/3 of an epoch, in proportion to 20 of 240. CRD draws its 16384 negatives of 3600 images
with replacement, as its authors' code does where there are fewer.""",
    """DML trains four ResNet-20 together, and its row is the first of them; OKDDip's is its leader;
RSKD's and EMA-KD's the network, not its average. CSS's is the first of its two networks with all
three branches, that is with three last stages: more than the one backbone that "parameters" counts
and that is exported. Its classifier, of 30 outputs, does not start as the plain one's.""",
]
