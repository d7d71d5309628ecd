"""Pretrain backbones by hierarchical self-supervised distillation, hand them to MMDetection."""

from . import compat as compat  # first: it mends mmengine before anything uses it
from .transfer.channels import provide_auto_channels
from .transfer.operators import provide_operators
from .version import __version__

# Neither imports mmcv or mmdet. An `import mmcv.ops` anywhere later needs `mmcv._ext`, for which a
# stand-in is placed where mmcv is installed without it; and detectors whose neck says
# in_channels='auto' can be built, whoever builds them.
provide_operators()
provide_auto_channels()

__all__ = ['__version__']
