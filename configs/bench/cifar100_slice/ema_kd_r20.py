# EMA-KD: RSKD's pseudo-teacher teaches the logits themselves; no residual.
_base_ = 'rskd_r20.py'

model = dict(residual_head=False, intermediate=False)
