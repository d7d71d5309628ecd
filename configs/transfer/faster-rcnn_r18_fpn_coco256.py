# Faster R-CNN R18-FPN on 128 + 128 images of COCO: a test of format and code, too few images to
# learn 80 classes.
_base_ = ['_faster-rcnn_fpn.py', '_small.py']

train_dataloader = dict(dataset=dict(data_root='data/coco256/'))
val_dataloader = dict(dataset=dict(data_root='data/coco256/'))
val_evaluator = dict(ann_file='data/coco256/val.json')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
