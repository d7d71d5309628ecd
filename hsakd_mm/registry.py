"""Child registries of mmengine's, under the scope ``hsakd_mm``.

mmengine imports this module by its name when it meets the scope (``type='hsakd_mm.HSAKD'`` or
``default_scope = 'hsakd_mm'``), and then the ``locations`` when a type is first looked up.
"""

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(mmengine_registry, name)
    return Registry(
        parent.name, parent=parent, scope='hsakd_mm', locations=[f'hsakd_mm.{location}' for location in locations]
    )


# What we add to.
MODELS = _child('MODELS', 'models', 'evaluation', 'transfer')
DATASETS = _child('DATASETS', 'datasets')
TRANSFORMS = _child('TRANSFORMS', 'datasets.transforms')
METRICS = _child('METRICS', 'evaluation')
HOOKS = _child('HOOKS', 'engine', 'transfer')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'engine')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'transfer')

# What we only use: without a child, and a location for it, mmengine warns at each look-up.
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'engine')
EVALUATOR = _child('EVALUATOR', 'engine')
FUNCTIONS = _child('FUNCTIONS', 'engine')
LOG_PROCESSORS = _child('LOG_PROCESSORS', 'engine')
LOOPS = _child('LOOPS', 'engine')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'engine')
OPTIMIZERS = _child('OPTIMIZERS', 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'engine')
RUNNERS = _child('RUNNERS', 'engine')
VISBACKENDS = _child('VISBACKENDS', 'engine')
VISUALIZERS = _child('VISUALIZERS', 'engine')
