"""A teacher's weights and state, whoever attaches it: DistillationHook in a run, hsakd_mm.api in a plain loop."""

import torch
from torch import nn

from hsakd_mm.checkpoints.loading import load_checkpoint, load_fitting
from hsakd_mm.checkpoints.pretrained import check_normalisation, load_backbone
from hsakd_mm.models.folding import fold_teacher


def load_trained(model: nn.Module, path: str, what: str) -> None:
    """Load all weights of a model strictly: backbone, branches, heads.

    Args:
        model (nn.Module): A distiller with one backbone.
        path (str): A checkpoint file of such a model. For one that is only a backbone, such as a ``Classifier``, also
            weights of a plain backbone: a file of torchvision or timm, ``torchvision://resnet34``,
            ``timm://resnet34.a1_in1k``.
        what (str): What the model is ("teacher"), for the message.

    Raises:
        UserError: The file belongs to another network, or to one trained with another normalisation.
    """
    if any(not key.startswith('backbone.') for key in model.state_dict()):  # branches, a head
        content = load_checkpoint(path)
        load_fitting(model, content, path, what)
        check_normalisation(model.data_preprocessor, content, path)
    else:
        load_backbone(model.backbone, path, what, model.data_preprocessor)


def freeze_teacher(teacher: nn.Module, student: nn.Module, fold_bn: bool = False) -> None:
    """Prepare a loaded teacher: frozen, in eval mode, on the student's device, in its memory format.

    Args:
        teacher (nn.Module): Changed in place.
        student (nn.Module): The distiller that it is about to be attached to.
        fold_bn (bool): Fold BatchNorms into convolutions, see :mod:`~hsakd_mm.models.folding`.
    """
    teacher.requires_grad_(False).eval()
    if fold_bn:
        fold_teacher(teacher)  # still on the CPU, where float32 is never rounded to TF32
    teacher.to(next(student.parameters()).device)
    if getattr(student.data_preprocessor, 'channels_last', False):
        teacher.to(memory_format=torch.channels_last)
