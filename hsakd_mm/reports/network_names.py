"""What a config's networks are called in tables: ``ResNet-34 → ResNet-18``."""

from collections.abc import Mapping

_NAMES = dict(
    CifarMobileNetV2=lambda of: 'MobileNetV2',
    CifarResNet=lambda of: f'ResNet-{of["depth"]}{_width(of)}{_block(of)}',
    CifarStemResNet=lambda of: f'ResNet-{of["depth"]}',
    ResNet=lambda of: f'ResNet-{of["depth"]}',  # MMDetection's
    TimmBackbone=lambda of: f'{of["model_name"]}{_channels(of)}',
    TimmDetBackbone=lambda of: of['model_name'],
    VGG=lambda of: f'VGG{of["depth"]}',
    WideBottleneckResNet=lambda of: f'WRN-{of["depth"]}-{of["widen_factor"]} (bottleneck)',
    WideResNet=lambda of: f'WRN-{of["depth"]}-{of["widen_factor"]}',
)


def networks_of(model: Mapping, teacher: Mapping | None = None) -> str:
    """The networks that a config trains, and before an arrow the one that teaches them.

    Args:
        model (Mapping): The config's ``model``.
        teacher (Mapping): That of the teacher.
    """
    backbones = [name_of(net['backbone']) for net in model.get('nets') or [model]]
    trained = ', '.join(
        name if backbones.count(name) == 1 else f'{backbones.count(name)} × {name}' for name in dict.fromkeys(backbones)
    )
    return f'{name_of(teacher["backbone"])} → {trained}' if teacher else trained


def name_of(backbone: Mapping) -> str:
    """The name of a backbone by its config; the type of one that has none here."""
    kind = backbone['type'].rpartition('.')[2]  # without its scope
    return _NAMES.get(kind, lambda of: kind)(backbone)


def _width(of: Mapping) -> str:
    return f'×{of["width"][-1] // 64}' if of.get('width') else ''


def _block(of: Mapping) -> str:
    return ' (bottleneck)' if of.get('block') == 'bottleneck' else ''


def _channels(of: Mapping) -> str:
    return f' ({"-".join(map(str, of["channels"]))})' if of.get('channels') else ''
