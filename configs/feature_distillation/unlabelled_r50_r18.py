# Feature distillation: ResNet-18's last map follows that of timm's ResNet-50, on any pictures.
_base_ = [
    '../_base_/datasets/unlabelled_bs32.py', '../_base_/schedules/imagenet_100e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    type='FeatureDistillation',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=1000),  # not trained
    teacher_features=2048)

default_hooks = dict(
    checkpoint=dict(save_best='agreement/cosine', rule='greater'),
    distillation=dict(
        type='DistillationHook',
        checkpoint='timm://resnet50.a1_in1k',
        teacher=dict(
            type='Classifier',
            data_preprocessor=_base_.data_preprocessor,
            backbone=dict(type='TimmBackbone', model_name='resnet50', num_classes=1000))))
