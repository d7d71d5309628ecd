# KD on your own classes: a ResNet-18 learns from the classifier of own_r34_teacher.py. Its branches are not asked.
_base_ = '../hsakd/own_r34_r18.py'

model = dict(
    _delete_=True,
    type='KD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=10),
    load_backbone_from='torchvision://resnet18')
