"""The reference's networks by its names, as configs of ours. A name not in here is missing."""

BACKBONES = {
    'resnet18_imagenet_aux': dict(type='TimmBackbone', model_name='resnet18'),
    'resnet34_imagenet_aux': dict(type='TimmBackbone', model_name='resnet34'),
    'resnet50_imagenet_aux': dict(type='TimmBackbone', model_name='resnet50'),
}
