"""Pretrain backbones by hierarchical self-supervised distillation, hand them to MMDetection."""

from . import compat as compat  # first: it patches mmengine before anything uses it
from .transfer.operators import provide_operators
from .version import __version__

# A later `import mmcv.ops` needs `mmcv._ext`. This registers a replacement if mmcv is installed without
# it, and imports neither mmcv nor mmdet.
provide_operators()

__all__ = ['__version__']
