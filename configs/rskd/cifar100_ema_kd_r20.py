# EMA-KD: the same pseudo-teacher teaches the logits themselves; no residual.
_base_ = 'cifar100_rskd_r20.py'

model = dict(residual_head=False, intermediate=False)
