"""Child registries of mmengine's registries, with the scope ``hsakd_mm``.

mmengine imports this module by name when a config uses the scope (``type='hsakd_mm.HSAKD'`` or
``default_scope = 'hsakd_mm'``), and imports the ``locations`` at the first look-up of a type.
"""

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(mmengine_registry, name)
    return Registry(
        parent.name, parent=parent, scope='hsakd_mm', locations=[f'hsakd_mm.{location}' for location in locations]
    )


# Registries with classes of this package.
MODELS = _child('MODELS', 'models', 'evaluation', 'transfer')
DATASETS = _child('DATASETS', 'datasets')
TRANSFORMS = _child('TRANSFORMS', 'datasets.transforms')
METRICS = _child('METRICS', 'evaluation')
HOOKS = _child('HOOKS', 'engine', 'transfer')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'engine')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'transfer')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'datasets')
LOOPS = _child('LOOPS', 'engine')
VISBACKENDS = _child('VISBACKENDS', 'engine')

# Registries without any: if they had no child with a location, mmengine would warn at each look-up.
EVALUATOR = _child('EVALUATOR', 'engine')
FUNCTIONS = _child('FUNCTIONS', 'engine')
LOG_PROCESSORS = _child('LOG_PROCESSORS', 'engine')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'engine')
OPTIMIZERS = _child('OPTIMIZERS', 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'engine')
RUNNERS = _child('RUNNERS', 'engine')
VISUALIZERS = _child('VISUALIZERS', 'engine')


def type_name(kind) -> str:
    """The name that a config's ``type`` ends in: of ``'mmengine.EMAHook'`` and of the class itself, ``EMAHook``."""
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]
