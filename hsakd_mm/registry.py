"""Child registries of mmengine's, under the scope ``hsakd_mm``.

mmengine imports this module by its name when it meets the scope (``type='hsakd_mm.HSAKD'`` or
``default_scope = 'hsakd_mm'``), and then the ``locations`` when a type is first looked up.
"""
from mmengine import registry as mmengine_registry
from mmengine.registry import Registry


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(mmengine_registry, name)
    return Registry(parent.name, parent=parent, scope='hsakd_mm',
                    locations=[f'hsakd_mm.{location}' for location in locations])


MODELS = _child('MODELS', 'models')
DATASETS = _child('DATASETS', 'datasets')
TRANSFORMS = _child('TRANSFORMS', 'datasets.transforms')
METRICS = _child('METRICS', 'evaluation')
HOOKS = _child('HOOKS', 'engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'engine')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'transfer')
