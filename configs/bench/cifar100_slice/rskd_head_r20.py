# RSKD's residual head alone.
_base_ = 'rskd_r20.py'

model = dict(intermediate=False)
