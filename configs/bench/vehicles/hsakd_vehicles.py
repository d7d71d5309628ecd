# The same on the detector's own photographs.
_base_ = 'hsakd_tiny.py'

train_dataloader = dict(dataset=dict(data_root='data/vehicles', ann_file='train.json'))
val_dataloader = dict(dataset=dict(
    data_root='data/vehicles', ann_file='val.json',
    pipeline=[
        dict(type='LoadImage'),
        dict(type='torchvision/Resize', size=64),
        dict(type='torchvision/CenterCrop', size=64),
        dict(type='PackInputs'),
    ]))
test_dataloader = val_dataloader
