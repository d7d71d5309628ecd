# RSKD (our reconstruction): both residuals. By the rules of configs/rskd: an average over one epoch, which has three
# steps here, and a ramp-up over 80/300 of the training.
_base_ = '../../demo/plain.py'

model = dict(type='RSKD', momentum=1 - 1 / 3, ramp_up_epochs=75 * 80 / 300)
