# CSS: two ResNet-18, from scratch, teach each other on ImageNet; the schedule of all ours there.
_base_ = [
    '_method.py', '../_base_/datasets/imagenet_bs32.py',
    '../_base_/schedules/imagenet_100e.py', '../_base_/default_runtime.py'
]

net = dict(backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=1000))

model = dict(data_preprocessor=_base_.data_preprocessor, nets=[net, net])
val_evaluator = _base_.evaluator
test_evaluator = _base_.evaluator

default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
