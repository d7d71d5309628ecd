"""The depth of each parameter of a timm network, as timm's own ``group_matcher`` states it."""

import re
from collections.abc import Iterable

from timm.models._manipulate import group_with_matcher
from torch import nn


def layer_numbers(net: nn.Module, names: Iterable[str], coarse: bool = False) -> dict:
    """The layer of each name, 0 at the image; empty if timm states none for this network.

    Args:
        net (nn.Module): A network of timm.
        names (Iterable[str]): Of parameters, also of some that were removed from it.
        coarse (bool): Stages instead of blocks.
    """
    if not hasattr(net, 'group_matcher'):
        return {}
    return group_with_matcher(((name, None) for name in names), net.group_matcher(coarse=coarse), reverse=True)


def stem_parameters(net: nn.Module) -> set:
    """Names of the parameters before the first stage (patch and position embedding); empty if timm states none."""
    if not hasattr(net, 'group_matcher'):
        return set()
    matcher, names = net.group_matcher(coarse=True), [name for name, _ in net.named_parameters()]
    if not isinstance(matcher, dict):
        return {name for name, layer in layer_numbers(net, names, coarse=True).items() if layer == 0}
    stem = matcher.get('stem') or ()
    patterns = [stem] if isinstance(stem, str) else [pattern for pattern, _ in stem]
    return {name for name in names if any(re.match(pattern, name) for pattern in patterns)}
