# CSS for as much longer as its code trains than the others do, 300 epochs to 240.
_base_ = 'css.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=6, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=6, end=94, T_max=88, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=94, val_interval=19)
