"""A backbone's weights from wherever they are, loaded whole or not at all."""
from torch import nn

from hsakd_mm.checkpoint import load_backbone_weights, load_strict
from hsakd_mm.work_dir import find_checkpoint


def load_backbone(backbone: nn.Module, checkpoint: str, what: str = 'backbone') -> int:
    """Load a backbone strictly from a file, a work directory or a name that is fetched.

    Key names that are not the network's own are translated where its library knows how
    (torchvision's VGG for timm's, …).

    Args:
        backbone (nn.Module): A staged backbone.
        checkpoint (str): See :func:`~hsakd_mm.checkpoint.load_checkpoint` and
            :func:`~hsakd_mm.work_dir.find_checkpoint`.
        what (str): What the backbone is, for the message.

    Returns:
        int: Tensors loaded.

    Raises:
        UserError: As :func:`load_strict`.
    """
    path = find_checkpoint(checkpoint)
    weights = load_backbone_weights(path)
    if hasattr(backbone, 'adapt_state_dict') and weights.keys() != backbone.state_dict().keys():
        weights = backbone.adapt_state_dict(weights)
    return load_strict(backbone, weights, source=path, what=what)
