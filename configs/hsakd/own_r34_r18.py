# A ResNet-18 learns your own classes from own_r34_teacher.py; both start from torchvision's weights.
_base_ = 'imagenet_r34_r18.py'

model = dict(backbone=dict(num_classes=10), load_backbone_from='torchvision://resnet18')

_own = dict(data_root='data/own', non_rgb='error')
train_dataloader = dict(dataset=_own)
val_dataloader = dict(dataset=_own)
test_dataloader = dict(dataset=_own)

optim_wrapper = dict(optimizer=dict(lr=0.01))  # a tenth of that from scratch
default_hooks = dict(
    distillation=dict(
        checkpoint='work_dirs/own_r34_teacher', teacher=dict(backbone=dict(num_classes=10))))
