"""A staged backbone in two parts, for methods that change what enters its last stage."""
from torch import Tensor

from hsakd_mm.errors import UserError

from .chain import run
from .cifar import CifarBackbone
from .staged import StagedBackbone
from .timm_backbone import TimmBackbone


def early_stages(backbone: StagedBackbone, images: Tensor) -> Tensor:
    """The tap before the last, ``[B, C, h, w]``, of ``images: [B, 3, H, W]``."""
    for names in stage_names(backbone, images)[:-1]:
        images = run(backbone, names, images)
    return images


def last_stage(backbone: StagedBackbone, tap: Tensor, images: Tensor) -> Tensor:
    """The last tap, of what :func:`early_stages` gave for ``images``, changed or not."""
    return run(backbone, stage_names(backbone, images)[-1], tap)


def stage_names(backbone: StagedBackbone, images: Tensor) -> list:
    """Names of the modules of each stage, the stem among the first one's.

    Raises:
        UserError: A backbone that is not made of named modules.
    """
    if isinstance(backbone, TimmBackbone):
        return backbone._cut.stages
    if isinstance(backbone, CifarBackbone):
        first, *others = backbone.stage_path(images)
        return [(*backbone.stem, *first), *others]
    raise UserError(f'a CifarBackbone or a TimmBackbone was expected, whose last stage can be run '
                    f'apart, and the backbone is a {type(backbone).__name__}: derive it from '
                    f'CifarBackbone, or use a timm network.')
