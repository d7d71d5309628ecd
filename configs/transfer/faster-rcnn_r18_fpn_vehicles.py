# Faster R-CNN R18-FPN on Vehicles-OpenImages, five classes: 439 images for training, 125 for
# validation, and 63 for tools/test.py.
_base_ = ['_faster-rcnn_fpn.py', '_small.py']

_set = dict(
    data_root='data/vehicles/',
    metainfo=dict(classes=('Ambulance', 'Bus', 'Car', 'Motorcycle', 'Truck')))

model = dict(roi_head=dict(bbox_head=dict(num_classes=5)))

train_dataloader = dict(dataset=_set)
val_dataloader = dict(dataset=_set)
val_evaluator = dict(ann_file='data/vehicles/val.json')
test_dataloader = dict(dataset=dict(_set, ann_file='test.json', data_prefix=dict(img='test/')))
test_evaluator = dict(ann_file='data/vehicles/test.json')
