# Plain training, the one row that reads the annotations: each box is an image of its category.
_base_ = '_own.py'

model = dict(
    type='Classifier',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(_base_.student, num_classes=80))

train_dataloader = dict(dataset=dict(type='BoxCrops'))
val_dataloader = dict(dataset=dict(type='BoxCrops'))
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
