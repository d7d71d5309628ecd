"""Pretrain backbones by hierarchical self-supervised distillation, hand them to MMDetection."""

from . import compat as compat  # first: it mends mmengine before anything uses it
from .transfer.operators import provide_operators
from .version import __version__

# An `import mmcv.ops` anywhere later needs `mmcv._ext`; this only places a stand-in where mmcv is
# installed without it, and imports neither mmcv nor mmdet.
provide_operators()

__all__ = ['__version__']
