"""Find a module's weights in a file, under whatever key and prefix another project saved them.

A reading is a key of the file that holds a state dict (``state_dict``, ``model``, ``teacher``,
``ema.model`` …) and a prefix of the names in it (``module.``, ``backbone.``, ``_orig_mod.``,
``module.encoder_q.`` …). A reading fits if it holds every tensor of the module in its shape, and
nothing else but what the caller lets be left over. Exactly one has to fit.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hsakd_mm.checkpoints.fitting import SHOWN, Reading, compare, misfit
from hsakd_mm.checkpoints.reading_files import METADATA
from hsakd_mm.errors import UserError

# Names that torch's own wrappers put into keys, also in the middle.
WRAPPERS = ('_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module')
DEPTH = 3  # of mappings inside mappings that are searched for state dicts
# In `meta` of safetensors, of weights of timm and of the hub, which are no training checkpoints.
OWN_META = (METADATA, 'normalisation', 'revision', 'sha256')
EXTRACT = 'hsakd-mm export {source} --with-head --key KEY --prefix PREFIX --out FILE'


@dataclass(frozen=True)
class Selection:
    """Which part of a file is wanted.

    Args:
        key (str): Key of the state dict in the file, with dots where it is nested; '' searches.
        prefix (str): Prefix of the names; '' searches.
        only (str): Use only names that begin with this, after the prefix.
        without (str): Skip names that begin with this, after the prefix.
    """

    key: str = ''
    prefix: str = ''
    only: str = ''
    without: str = ''


def is_openmmlab(content: Mapping) -> bool:
    """Whether a file is a training checkpoint of mmengine or mmcv: its ``meta`` says more than we add ourselves."""
    return any(key not in OWN_META for key in content.get('meta') or {})


def state_dicts(content: Mapping) -> dict[str, Mapping]:
    """All state dicts in a file's content by their key, with dots where they are nested.

    A state dict is a mapping from names to tensors; other entries in it (an epoch) are left out.
    """
    found: dict[str, Mapping] = {}
    _search(content, '', DEPTH, found)
    return found


def _search(content: Mapping, path: str, depth: int, found: dict) -> None:
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        found[path] = content if len(tensors) == len(content) else tensors
    for key, value in content.items():
        if depth and isinstance(key, str) and isinstance(value, Mapping) and 'optimizer' not in key:
            _search(value, f'{path}.{key}'.lstrip('.'), depth - 1, found)


def find_reading(
    own: Mapping[str, Tensor],
    content: Mapping,
    source: str,
    what: str,
    selection: Selection | None = None,
    may_lack: Collection[str] = (),
    may_leave: Callable[[str], bool] = lambda name: False,
    convert: Callable[[dict], Mapping] | None = None,
    choose: str = '',
) -> Reading:
    """The one reading of a file that fits a module.

    Of a training checkpoint of OpenMMLab (with ``meta``) the keys under ``state_dict`` are read,
    and there the whole or ``backbone.`` before any other prefix. Readings with the same tensors
    count as one.

    Args:
        own (Mapping): The module's state dict.
        content (Mapping): The result of :func:`~hsakd_mm.checkpoints.loading.load_checkpoint`.
        source (str): The file, for the message.
        what (str): What the module is ("teacher", "backbone"), for the message.
        selection (Selection): What the user chose.
        may_lack (Collection[str]): Names that the file need not have.
        may_leave (Callable): Whether a name that the module does not have may be left over.
        convert (Callable): Converts a state dict of another library; tried if nothing fits.
        choose (str): How to choose a reading, for the message; by default :data:`EXTRACT`.

    Raises:
        UserError: None fits, or several do; the sentence lists them.
    """
    selection = selection or Selection()
    places = _places(content, selection, source)
    judge = _Judge(own, selection, may_lack, may_leave)
    readings = [
        judge.read(key, prefix, tensors) for key, tensors in places.items() for prefix in judge.prefixes(tensors)
    ]
    if selection.prefix and not any(reading.weights for reading in readings):
        first = next(iter(next(iter(places.values()))))
        raise UserError(
            f'keys under {_dotted(selection.prefix) + selection.only!r} were expected in {source}, and there are '
            f'none (its first key is {first!r}): leave the prefix out for an exported backbone.'
        )
    fitting = _distinct([reading for reading in readings if reading.fits])
    if not fitting and convert:
        readings += judge.converted(places, convert)
        fitting = _distinct([reading for reading in readings if reading.fits])
    usual = [each for each in fitting if each.key == 'state_dict' and each.prefix in ('', 'backbone.')]
    if len(fitting) > 1 and usual and is_openmmlab(content):
        fitting = usual[:1]
    choose = (choose or EXTRACT).replace('{source}', source)
    if len(fitting) > 1:
        raise UserError(
            f'one set of weights for the {what} was expected in {source}, and {len(fitting)} fit it '
            f'({_listed(fitting, own)}): choose one with {choose}.'
        )
    if fitting:
        return fitting[0]
    best = _nearest(readings, own)
    near = [each for each in readings if each is best or (each.found and 2 * each.found >= best.found)]
    once = list({(each.key, each.prefix): each for each in near}.values())  # some were converted too
    raise UserError(misfit(own, best, source, what, _others(once, places, own, choose)))


class _Judge:
    """Reads and compares parts of a file for one module."""

    def __init__(self, own: Mapping, selection: Selection, may_lack: Collection, may_leave: Callable) -> None:
        self.own, self.selection = own, selection
        self.may_lack, self.may_leave = may_lack, may_leave

    def prefixes(self, tensors: Mapping) -> list:
        """The chosen prefix; else none, and every prefix under which half as many names match as under the best."""
        if self.selection.prefix:
            return [_dotted(self.selection.prefix)]
        counts: Counter = Counter()
        for name in tensors:
            parts = name.split('.')
            for cut in range(1, len(parts)):
                if parts[cut] not in WRAPPERS and _unwrapped(parts[cut:]) in self.own:
                    counts['.'.join(parts[:cut]) + '.'] += 1
        most = max(counts.values(), default=0)
        return ['', *(prefix for prefix, count in counts.items() if 2 * count >= most)]

    def read(self, key: str, prefix: str, tensors: Mapping) -> Reading:
        weights = self.part(prefix, tensors)
        reading = compare(self.own, weights, self.may_lack, self.may_leave)
        if head := _head_beside(prefix, tensors, reading.missing):
            reading = compare(self.own, {**weights, **head}, self.may_lack, self.may_leave)
        reading.key, reading.prefix = key, prefix
        reading.unwrapped = any(prefix + name not in tensors for name in weights)
        return reading

    def part(self, prefix: str, tensors: Mapping) -> dict:
        """The selected tensors under a prefix, which is stripped."""
        only, without = self.selection.only, self.selection.without
        below = (name for name in tensors if name.startswith(prefix))
        names = {name: _unwrapped(name.removeprefix(prefix).split('.')) for name in below}
        if len(set(names.values())) < len(names):  # two names became one: they are no wrapper's
            names = {name: name.removeprefix(prefix) for name in names}
        return {
            short: tensors[name]
            for name, short in names.items()
            if short.startswith(only) and not (without and short.startswith(without))
        }

    def converted(self, places: Mapping, convert: Callable) -> Iterator[Reading]:
        """Readings of what another library saved, under the prefixes of the first names."""
        for key, tensors in places.items():
            parts = next(iter(tensors)).split('.')
            prefixes = ['.'.join(parts[:cut]) + '.' for cut in range(1, len(parts))]
            for prefix in [_dotted(self.selection.prefix)] if self.selection.prefix else ['', *prefixes]:
                part = self.part(prefix, tensors)
                if 2 * len(part) < len(self.own):
                    continue
                weights = convert(part)
                reading = compare(self.own, weights, self.may_lack, self.may_leave)
                reading.key, reading.prefix = key, prefix
                yield reading


def _head_beside(prefix: str, tensors: Mapping, missing: list) -> dict:
    """The classifier that a backbone lacks and MMPretrain has beside it, as ``head.fc``, under the backbone's names."""
    name = missing[0].rpartition('.')[0] if missing else ''
    owner = prefix.removesuffix('backbone.')
    if owner == prefix or sorted(missing) != [f'{name}.bias', f'{name}.weight']:
        return {}
    theirs = {f'{name}.{end}': f'{owner}head.fc.{end}' for end in ('weight', 'bias')}
    return {ours: tensors[their] for ours, their in theirs.items()} if set(theirs.values()) <= tensors.keys() else {}


def _places(content: Mapping, selection: Selection, source: str) -> dict[str, Mapping]:
    places = state_dicts(content)
    nested = {id(tensors) for key, tensors in places.items() if key != 'state_dict'}
    if id(places.get('state_dict')) in nested:  # load_checkpoint gave it that name
        del places['state_dict']
    if selection.key:
        if selection.key not in places:
            raise UserError(
                f'a state dict under the key {selection.key!r} was expected in {source}, and it has '
                f'{", ".join(repr(key) for key in places)}: name one of these as key.'
            )
        return {selection.key: places[selection.key]}
    if is_openmmlab(content) and 'state_dict' in places:  # beside it are an optimizer and averages
        return {'state_dict': places['state_dict']}
    return places


def _nearest(readings: list, own: Mapping) -> Reading:
    """Of those that hold half of the tensors the one with the fewest misfits, else the one that holds most."""
    if half := [each for each in readings if 2 * each.found >= len(own)]:
        return min(half, key=lambda each: len(each.missing) + len(each.left) + len(each.odd))
    return max(readings, key=lambda each: (each.found, not each.prefix, each.key == 'state_dict'))


def _distinct(readings: list) -> list:
    kept: list = []
    usual_first = sorted(readings, key=lambda each: (each.key != 'state_dict', len(each.key), len(each.prefix)))
    for reading in usual_first:
        if not any(_same(reading.weights, other.weights) for other in kept):
            kept.append(reading)
    return kept


def _same(one: Mapping, other: Mapping) -> bool:
    return one.keys() == other.keys() and all(
        value is other[name] or (value.dtype == other[name].dtype and torch.equal(value, other[name]))
        for name, value in one.items()
    )


def _listed(readings: list, own: Mapping) -> str:
    shown = [
        f'key={each.key!r} prefix={each.prefix!r} with {each.found} of {len(own)} tensors' for each in readings[:SHOWN]
    ]
    return '; '.join(shown) + (f'; and {len(readings) - SHOWN} more' if len(readings) > SHOWN else '')


def _others(near: list, places: Mapping, own: Mapping, choose: str) -> str:
    """What else the file holds, where it is more than one plain state dict."""
    far = [key for key in places if not any(each.key == key for each in near)]
    if len(near) + len(far) == 1:
        return ''
    listed = _listed(near, own)
    listed += ''.join(f'; key={key!r} with {len(places[key])} other tensors' for key in far[:SHOWN])
    return f'; the file holds {listed}, of which {choose} chooses one'


def _dotted(prefix: str) -> str:
    return prefix.rstrip('.') + '.' if prefix else ''


def _unwrapped(parts: list) -> str:
    """A name without torch's wrappers inside it; one in front is a prefix."""
    return '.'.join(part for place, part in enumerate(parts) if not place or part not in WRAPPERS)
