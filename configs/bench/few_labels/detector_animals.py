# The same on photographs of kangaroos and raccoons: half as many images, twice the epochs.
_base_ = 'detector_vehicles.py'

model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))

_set = dict(data_root='data/animals/', metainfo=dict(classes=('kangaroo', 'raccoon')))
train_dataloader = dict(dataset=_set)
val_dataloader = dict(dataset=_set)
val_evaluator = dict(ann_file='data/animals/val.json')
test_dataloader = dict(dataset=_set)
test_evaluator = dict(ann_file='data/animals/test.json')

train_cfg = dict(max_epochs=16, val_interval=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='MultiStepLR', by_epoch=True, milestones=[10, 14], gamma=0.1),
]
