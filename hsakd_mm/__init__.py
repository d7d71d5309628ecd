"""Pretrain backbones by hierarchical self-supervised distillation, hand them to MMDetection."""

from . import threads as threads  # first: it decides how torch's threads wait, which is read when torch is loaded

# isort: split
from . import compat as compat  # it patches mmengine before anything uses it
from .transfer.channels import provide_auto_channels
from .transfer.operators import provide_operators
from .version import __version__

# Neither imports mmcv or mmdet. A later `import mmcv.ops` needs `mmcv._ext`: a replacement is registered if mmcv is
# installed without it. Detectors with neck.in_channels='auto' can be built by any tool.
provide_operators()
provide_auto_channels()

__all__ = ['__version__']
