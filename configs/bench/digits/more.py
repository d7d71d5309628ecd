# online.py, whose runs it shares, with the ablations, DML and a longer CSS.
#     python tools/benchmark.py configs/bench/digits/more.py
_base_ = 'online.py'

runs = [
    *_base_.runs,
    dict(name='EMA-KD', config='ema_kd.py'),
    dict(name='RSKD head', config='rskd_head.py'),
    dict(name='RSKD, average of 20 steps', config='rskd.py', options={'model.momentum': 0.95}),
    dict(name='DML', config='dml.py', metric='accuracy/net1_top1'),
    dict(name='CSS, detached', config='css.py', metric='accuracy/net1_top1', options={'model.detach': True}),
    dict(name='CSS, 94 epochs', config='css_94e.py', metric='accuracy/net1_top1'),
]
