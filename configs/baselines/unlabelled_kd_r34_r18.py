# KD without labels: a ResNet-18 learns the classes that torchvision's ResNet-34 sees in any pictures.
_base_ = '../hsakd/unlabelled_r34_r18.py'

model = dict(
    _delete_=True,
    type='KD',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=1000),
    ce_weight=0.0)

default_hooks = dict(
    distillation=dict(
        checkpoint='torchvision://resnet34',
        teacher=dict(
            _delete_=True,
            type='Classifier',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='TimmBackbone', model_name='resnet34', num_classes=1000))))
