# RSKD's residual head alone.
_base_ = 'rskd.py'

model = dict(intermediate=False)
