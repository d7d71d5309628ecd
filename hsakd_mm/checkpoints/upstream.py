"""Key names of the HSAKD authors' files (winycg/HSAKD) and of RepDistiller's, and ours.

Theirs is ``{backbone, auxiliary_classifier}``, online twice, as ``net1`` and ``net2``; a plain
network has no prefix at all. Within a backbone the names are the same. Of a branch (counted from 1)
they keep the stages in ``block_extractor<l>``, the classifier in ``fc<l>`` and, in two families,
the layers between these in ``bn<l>`` or ``conv2_<l>``; with us those follow in ``stages`` as well.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from hsakd_mm.errors import UserError

_NET = r'(?P<net>net[12]\.)?'
_THEIR_BRANCH = re.compile(
    _NET + r'auxiliary_classifier\.(?P<part>block_extractor|fc|bn|conv2_)(?P<branch>\d+)\.'
    r'(?P<rest>.+)'
)
_OUR_BRANCH = re.compile(_NET + r'branches\.(?P<branch>\d+)\.(?P<part>stages|fc)\.(?P<rest>.+)')
_BACKBONE = re.compile(_NET + r'backbone\..+')
_NET_OR_PART = re.compile(_NET + r'(backbone|auxiliary_classifier)\.|net[12]\.')

# A backbone with this key keeps what follows a branch's stages apart, under this name.
_NECKS = {'block1.layer.0.conv1.weight': 'bn', 'blocks.0.0.conv.0.weight': 'conv2_'}


def from_upstream(state_dict: Mapping) -> OrderedDict:
    """Our names, in our order, for a state dict under theirs; :func:`to_upstream` undoes it.

    Args:
        state_dict (Mapping[str, Any]): Of an ``*_aux`` network, of two online, or of a plain one.
            ``module.``, which DataParallel puts before the names, is dropped.

    Raises:
        UserError: A name that is in no network of theirs.

    Example:
        >>> list(from_upstream({'auxiliary_classifier.block_extractor1.0.1.conv2.weight': 0}))
        ['branches.0.stages.0.1.conv2.weight']
        >>> list(from_upstream({'module.conv1.weight': 0}))
        ['backbone.conv1.weight']
    """
    state_dict = {key.removeprefix('module.'): value for key, value in state_dict.items()}
    if not any(map(_NET_OR_PART.match, state_dict)):
        return OrderedDict((f'backbone.{key}', value) for key, value in state_dict.items())
    lengths = _lengths(state_dict, _THEIR_BRANCH, 'block_extractor')
    renamed = []
    for key, value in state_dict.items():
        found = _match(key, _THEIR_BRANCH, "the authors'")
        place = ('', -1)
        if found:
            net, part, branch, rest = found.group('net', 'part', 'branch', 'rest')
            if part in ('bn', 'conv2_'):
                rest = f'{lengths.get((net, branch), 0)}.{rest}'
            place = (net or '', int(branch) - 1)
            kind = 'fc' if part == 'fc' else 'stages'
            key = f'{net or ""}branches.{place[1]}.{kind}.{rest}'
        renamed.append((_net(key), place[1], key, value))
    return _in_order(renamed)


def to_upstream(state_dict: Mapping) -> OrderedDict:
    """Their names, in their order, for a state dict of ours.

    Args:
        state_dict (Mapping[str, Any]): Of a model with ``backbone`` and ``branches``, with two such
            nets, or with a backbone alone, which becomes a plain network of theirs.

    Raises:
        UserError: A name that is in no such model.
    """
    if all(key.startswith('backbone.') for key in state_dict):
        return OrderedDict((key.removeprefix('backbone.'), value) for key, value in state_dict.items())
    lengths = _lengths(state_dict, _OUR_BRANCH, 'stages')
    necks = {
        net: name
        for net in (None, 'net1.', 'net2.')
        for key, name in _NECKS.items()
        if f'{net or ""}backbone.{key}' in state_dict
    }
    renamed = []
    for key, value in state_dict.items():
        found = _match(key, _OUR_BRANCH, 'our')
        part = ''
        if found:
            net, part, branch, rest = found.group('net', 'part', 'branch', 'rest')
            number, last = int(branch) + 1, f'{lengths.get((net, branch), 0) - 1}.'
            if part == 'stages' and net in necks and rest.startswith(last):
                part, rest = necks[net], rest.removeprefix(last)
            key = f'{net or ""}auxiliary_classifier.{"block_extractor" if part == "stages" else part}{number}.{rest}'
        # They hold the stages of all branches first, then all necks, then all classifiers.
        order = ('', 'stages', 'bn', 'conv2_', 'fc').index(part)
        renamed.append((_net(key), order, key, value))
    return _in_order(renamed)


def _match(key: str, branch: re.Pattern, whose: str):
    """The parts of a branch's key; None for a backbone's."""
    found = branch.fullmatch(key)
    if not found and not _BACKBONE.fullmatch(key):
        raise UserError(
            f'a network with branches under {whose} names was expected, and there is '
            f'no {key!r} in any: name a file of winycg/HSAKD or RepDistiller, or in '
            f'the other direction a checkpoint of such a network.'
        )
    return found


def _net(key: str) -> str:
    return re.match(_NET, key).group()  # type: ignore[union-attr]  # it matches every key


def _lengths(keys: Iterable, branch: re.Pattern, part: str) -> dict:
    """Of each branch, by net and number, how many numbered layers ``part`` has."""
    lengths = {}
    for found in filter(None, map(branch.fullmatch, keys)):
        if found['part'] == part:
            place = found['net'], found['branch']
            index = int(found['rest'].partition('.')[0])
            lengths[place] = max(lengths.get(place, 0), index + 1)
    return lengths


def _in_order(renamed: list) -> OrderedDict:
    """``(net, place within it, key, value)`` in order; what has the same place stays as it was."""
    return OrderedDict((key, value) for _, _, key, value in sorted(renamed, key=lambda entry: entry[:2]))
