from .staged import StagedBackbone
from .timm_backbone import TimmBackbone

__all__ = ['StagedBackbone', 'TimmBackbone']
