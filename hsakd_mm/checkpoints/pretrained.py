"""Load a backbone strictly from a file, a work directory or a name that is downloaded, with or without its head."""

import os
from collections.abc import Mapping

import torch
from torch import nn

from hsakd_mm.checkpoints.fitting import Reading
from hsakd_mm.checkpoints.loading import load_checkpoint, load_fitting, refuse_several, sha256
from hsakd_mm.checkpoints.normalisation import trained_normalisation
from hsakd_mm.checkpoints.readings import find_reading
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


def load_or_advise(backbone: nn.Module, checkpoint: str, what: str, preprocessor: nn.Module | None, advice: str) -> int:
    """:func:`load_backbone`; where only the classifier does not fit, the error ends with ``advice``."""
    try:
        return load_backbone(backbone, checkpoint, what, preprocessor)
    except UserError as error:
        if not only_head_misfits(backbone, checkpoint):
            raise
        # From None: of a chain of errors, the first one's sentence is shown.
        raise UserError(f'{str(error).removesuffix(".")}; but for the classifier it fits: {advice}') from None


def load_without_head(
    backbone: nn.Module, checkpoint: str, what: str = 'backbone', preprocessor: nn.Module | None = None
) -> str:
    """Load a backbone strictly but for its classifier, which keeps its values.

    In the file the classifier may be missing, or have any number of classes.

    Args:
        As in :func:`load_backbone`.

    Returns:
        str: What was loaded, a sentence for the log.

    Raises:
        UserError: As :func:`load_backbone`, for all that is not the classifier.
    """
    path = find_checkpoint(checkpoint)
    content = load_checkpoint(path)
    if preprocessor is not None:
        check_normalisation(preprocessor, content, path)
    refuse_several(content['state_dict'], path)
    head = head_names(backbone)
    name = f'{what} without its classifier'
    reading: Reading = load_fitting(backbone, content, path, name, skip=head, **_leaving_heads(backbone))
    digest = f' (SHA-256 {sha256(path)})' if os.path.isfile(path) else ''
    left = f'; left out of the file: {", ".join(reading.unused)}' if reading.unused else ''
    return (
        f'The {what} starts from {path}{digest}: {len(reading.weights)} tensors{reading.place}{left}; '
        f'random: {", ".join(head)}.'
    )


def only_head_misfits(backbone: nn.Module, checkpoint: str) -> bool:
    """Whether :func:`load_backbone` fails at the classifier and nothing else, which :func:`load_without_head` loads."""
    path = find_checkpoint(checkpoint)
    content, own, head = load_checkpoint(path), backbone.state_dict(), head_names(backbone)
    search = _leaving_heads(backbone)

    def fits(wanted: dict, **search) -> bool:
        try:
            find_reading(wanted, content, path, 'backbone', **search)
        except UserError:
            return False
        return True

    without = {name: value for name, value in own.items() if name not in head}
    return not fits(own, convert=search['convert']) and fits(without, **search)


def head_names(backbone: nn.Module) -> list[str]:
    """Names of the classifier's tensors in a staged backbone's state dict."""
    heads = _heads(backbone)
    return [name for name in backbone.state_dict() if name.startswith(heads)]


def _heads(backbone: nn.Module) -> tuple[str, ...]:
    layers = backbone.classifiers()
    return tuple(
        f'{name}.' for name, module in backbone.named_modules() if name and any(module is each for each in layers)
    )


def _leaving_heads(backbone: nn.Module) -> dict:
    """For :func:`~.readings.find_reading`: what of a file may be left over."""
    heads = (*_heads(backbone), 'head_dist.')  # DeiT's, which learns from a teacher
    return dict(may_leave=lambda name: name.startswith(heads), convert=getattr(backbone, 'adapt_state_dict', None))


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
