"""The reference's networks by its names, as configs of ours. A name not in here is missing."""


def _imagenet(depth: int) -> dict:
    return dict(type='TimmBackbone', model_name=f'resnet{depth}')


def _resnet(depth: int, times: int = 1) -> dict:
    width = (16, 16, 32, 64) if times == 1 else (32, 64, 128, 256)
    return dict(type='CifarResNet', depth=depth, width=width)


def _wrn(depth: int, widen_factor: int) -> dict:
    return dict(type='WideResNet', depth=depth, widen_factor=widen_factor)


BACKBONES = {
    'resnet18_imagenet_aux': _imagenet(18),
    'resnet34_imagenet_aux': _imagenet(34),
    'resnet50_imagenet_aux': _imagenet(50),
    'resnet20_aux': _resnet(20),
    'resnet56_aux': _resnet(56),
    'resnet8x4_aux': _resnet(8, times=4),
    'resnet32x4_aux': _resnet(32, times=4),
    'wrn_16_2_aux': _wrn(16, 2),
    'wrn_40_1_aux': _wrn(40, 1),
    'wrn_40_2_aux': _wrn(40, 2),
    'vgg8_bn_aux': dict(type='VGG', depth=8),
    'vgg13_bn_aux': dict(type='VGG', depth=13),
    'mobilenetV2_aux': dict(type='CifarMobileNetV2'),
    'ShuffleV1_aux': dict(type='ShuffleNetV1'),
    'ShuffleV2_aux': dict(type='ShuffleNetV2'),
    'ResNet50_aux': dict(type='CifarStemResNet', depth=50),
}

# Of PumpkinsLemon/CSS; there they are made with their branches.
CSS_BACKBONES = {
    'resnet56': dict(type='CifarResNet', depth=56, block='bottleneck'),
    'resnet110': dict(type='CifarResNet', depth=110, block='bottleneck'),
    'wide_resnet20_8': dict(type='WideBottleneckResNet', depth=20, widen_factor=8),
}
