"""``load_backbone_from`` of a method: trained weights that its networks start from."""

import os
from collections.abc import Sequence

from torch import nn

from hsakd_mm.checkpoints.pretrained import head_names, load_without_head
from hsakd_mm.errors import UserError
from hsakd_mm.randomness import isolated_rng


def load_initial_backbones(
    backbones: Sequence[nn.Module], sources: str | Sequence[str | None], preprocessor: nn.Module | None, method: str
) -> list[str]:
    """Load each network from its source, without its classifier.

    Args:
        backbones (Sequence[nn.Module]): Staged backbones.
        sources (str | Sequence[str | None]): One for all networks, which then have one architecture; or one for
            each, None for one that stays random.
        preprocessor (nn.Module): As in :func:`~hsakd_mm.checkpoints.pretrained.load_without_head`.
        method (str): Name of the method, for the error.

    Returns:
        list[str]: What was loaded, a sentence for each network that was.

    Raises:
        UserError: Another number of sources than of networks, one source for several architectures, or a source
            does not fit its network.
    """
    if isinstance(sources, str | os.PathLike):
        sources = str(sources)
        _check_one_architecture(backbones, sources, method)
        sources = [sources] * len(backbones)
    if not isinstance(sources, Sequence) or len(sources) != len(backbones):
        given = f'{len(sources)} in' if isinstance(sources, Sequence) else 'no list but'
        raise UserError(
            f'load_backbone_from is expected to name the weights of {_count(backbones)} of {method}, as one text or as '
            f'a list with an entry for each, and there are {given} {sources!r}: correct the list; None leaves a '
            f'network random.'
        )
    said = []
    with isolated_rng('load_backbone_from'):  # timm draws weights before it loads them
        for number, (backbone, source) in enumerate(zip(backbones, sources), 1):
            if source is not None:
                what = 'backbone' if len(backbones) == 1 else f'backbone of net{number}'
                said.append(load_without_head(backbone, source, what, preprocessor))
    return said


def _check_one_architecture(backbones: Sequence[nn.Module], source: str, method: str) -> None:
    shapes = []
    for backbone in backbones:
        own = {name: value.shape for name, value in backbone.state_dict().items()}
        shapes.append({name: own[name] for name in own.keys() - head_names(backbone)})
    if any(each != shapes[0] for each in shapes):
        raise UserError(
            f'load_backbone_from={source!r} is expected to fit all of {_count(backbones)} of {method}, and they have '
            f'different architectures: give a list with the weights of each, None for one that stays random.'
        )


def _count(backbones: Sequence) -> str:
    return 'the one network' if len(backbones) == 1 else f'the {len(backbones)} networks'
