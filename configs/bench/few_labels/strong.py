# The teacher: a ResNet-18 of twice the students' width, plain, with all 500 images of each class.
_base_ = '_tiny47.py'

train_dataloader = dict(dataset=dict(fraction=1.0))
model = dict(type='Classifier', data_preprocessor=_base_.data_preprocessor, backbone=_base_.strong)
train_cfg = dict(max_epochs=10, val_interval=2)
