# RSKD's residual head alone.
_base_ = 'cifar100_rskd_r20.py'

model = dict(intermediate=False)
