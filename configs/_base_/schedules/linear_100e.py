# Linear probe: 100 epochs, lr 0.1, a tenth at 30, 60 and 90, Nesterov, no weight decay.
_base_ = 'cifar_100e.py'

optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=0.0))
