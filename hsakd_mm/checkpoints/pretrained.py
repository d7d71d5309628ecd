"""Load a backbone strictly from a file, a work directory or a name that is downloaded."""

from collections.abc import Mapping

import torch
from torch import nn

from hsakd_mm.checkpoints.loading import load_checkpoint, load_fitting, refuse_several
from hsakd_mm.checkpoints.normalisation import trained_normalisation
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.errors import UserError


def load_backbone(
    backbone: nn.Module, checkpoint: str, what: str = 'backbone', preprocessor: nn.Module | None = None
) -> int:
    """Load a backbone strictly from a file, a work directory or a name that is downloaded.

    The weights are found under any key and prefix if one reading of the file fits
    (:func:`~hsakd_mm.checkpoints.readings.find_reading`). Key names of other libraries are converted
    if timm has a converter for the network (torchvision's VGG, …).

    Args:
        backbone (nn.Module): A staged backbone.
        checkpoint (str): See :func:`~hsakd_mm.checkpoints.loading.load_checkpoint` and
            :func:`~hsakd_mm.checkpoints.work_dir.find_checkpoint`.
        what (str): What the backbone is, for the message.
        preprocessor (nn.Module): Normalises the backbone's images; compared with the normalisation
            that it was trained with. None skips the comparison.

    Returns:
        int: Number of tensors loaded.

    Raises:
        UserError: As :func:`~hsakd_mm.checkpoints.loading.load_fitting` and :func:`check_normalisation`.
    """
    path = find_checkpoint(checkpoint)
    content = load_checkpoint(path)
    if preprocessor is not None:
        check_normalisation(preprocessor, content, path)
    refuse_several(content['state_dict'], path)
    load_fitting(backbone, content, path, what, convert=getattr(backbone, 'adapt_state_dict', None))
    return len(backbone.state_dict())


def check_normalisation(preprocessor: nn.Module, content: Mapping, source: str) -> None:
    """Compare a model's input normalisation with the one that its weights were trained with.

    Args:
        preprocessor (nn.Module): With ``mean`` and ``std`` in units of 0..255.
        content (Mapping): The result of :func:`~hsakd_mm.checkpoints.loading.load_checkpoint`; if
            it has no normalisation, nothing is compared.
        source (str): Its file, for the message.

    Raises:
        UserError: They differ, or the weights take BGR.
    """
    trained = trained_normalisation(content, source)
    require_rgb(trained, source)
    for name, theirs in ((name, trained[name]) for name in ('mean', 'std') if trained):
        ours = getattr(preprocessor, name, None)
        ours = None if ours is None else ours.flatten().cpu()
        if ours is None or not torch.allclose(ours, torch.tensor(theirs, dtype=ours.dtype), atol=1e-2):
            given = 'images as they come' if ours is None else f'{name} {ours.tolist()}'
            raise UserError(
                f'{source} was trained on images with {name} {theirs}, and would be given {given}: '
                f'set the data_preprocessor of the model that it is loaded into (of a teacher '
                f'default_hooks.distillation.teacher.data_preprocessor) to what it was trained '
                f'with.'
            )


def require_rgb(normalisation: Mapping, source: str) -> None:
    """Check the channel order of weights that are loaded into a model of ours, whose images are RGB.

    Args:
        normalisation (Mapping): Of :func:`~hsakd_mm.checkpoints.normalisation.trained_normalisation`.
        source (str): Their file, for the message.

    Raises:
        UserError: They take BGR.
    """
    if normalisation.get('channel_order') == 'BGR':
        raise UserError(
            f'weights for RGB images were expected, as hsakd_mm feeds them, and {source} was trained on BGR with '
            f'mean {normalisation["mean"]}: reverse the input channels of its first convolution '
            f'(weight.flip(1)), save that as a file without the config, and set mean and std of the '
            f'data_preprocessor to its own in reverse.'
        )
