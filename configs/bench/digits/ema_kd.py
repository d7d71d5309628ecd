# EMA-KD: RSKD's pseudo-teacher teaches the logits themselves; no residual.
_base_ = 'rskd.py'

model = dict(residual_head=False, intermediate=False)
