"""Compare the tensors of a file with those of a module: what fits, what does not, and the sentence for it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from hsakd_mm.checkpoints.finite import is_broken
from hsakd_mm.errors import UserError

SHOWN = 6  # keys or readings of each kind that an error lists


@dataclass
class Reading:
    """One way to read a module's weights from a file.

    Attributes:
        key, prefix (str): Where the weights are.
        weights (dict[str, Tensor]): Under the module's names.
        unused (list[str]): Names that are left over and may be.
        missing, left, odd (list[str]): What keeps it from fitting.
        found (int): Tensors that fit.
        unwrapped (bool): Names of torch's wrappers were taken out of the middle of names.
    """

    key: str
    prefix: str
    weights: dict
    unused: list = field(default_factory=list)
    missing: list = field(default_factory=list)
    left: list = field(default_factory=list)
    odd: list = field(default_factory=list)
    found: int = 0
    unwrapped: bool = False

    @property
    def fits(self) -> bool:
        return not (self.missing or self.left or self.odd)

    @property
    def place(self) -> str:
        """``' under `module.` in `model`'``; empty for a plain state dict."""
        under = f' under `{self.prefix}`' if self.prefix else ''
        within = f' in `{self.key}`' if self.key not in ('', 'state_dict') else ''
        return under + within + (" without torch's wrappers in the names" if self.unwrapped else '')


def misfit(own: Mapping, reading: Reading, source: str, what: str, others: str = '') -> str:
    """The sentence for weights that do not fit a module."""
    kinds = ((reading.missing, 'missing'), (reading.left, 'left over'), (reading.odd, 'of another shape'))
    found = '; '.join(
        f'{len(keys)} {kind}: {", ".join(keys[:SHOWN])}{", ..." if len(keys) > SHOWN else ""}'
        for keys, kind in kinds
        if keys
    )
    advice = 'use a checkpoint of the same architecture, or the config that this one was trained with.'
    if classes := _other_classes(own, reading):
        here, there = classes
        advice = (
            f'only the number of classes differs, {here} here and {there} in the file, so set num_classes={there} of '
            f'its backbone, or use another checkpoint.'
        )
    return (
        f'the {what} has {len(own)} tensors and {source} does not hold exactly these{reading.place} '
        f'({found}){others}: {advice}'
    )


def _other_classes(own: Mapping, reading: Reading) -> tuple[int, int] | None:
    """Classes here and in the file, if all that does not fit are classifiers with as many times more rows each.

    That of the backbone is one of them: of a branch alone another pretext task changes the number.
    """
    odd = {
        name: value.shape for name, value in reading.weights.items() if name in own and own[name].shape != value.shape
    }
    whole = any(name.startswith('backbone.') for name in own)
    of_backbone = [name for name in odd if name.startswith('backbone.') or not whole]
    layers = all(own[name].dim() <= 2 for name in odd) and any(own[name].dim() == 2 for name in of_backbone)
    if reading.missing or reading.left or len(odd) != len(reading.odd) or not layers:
        return None
    here, there = own[of_backbone[0]].shape[0], odd[of_backbone[0]][0]
    rows = all(
        own[name].shape[1:] == shape[1:] and own[name].shape[0] * there == shape[0] * here
        for name, shape in odd.items()
    )
    return (here, there) if rows else None


def compare(
    own: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    may_lack: Collection[str] = (),
    may_leave: Callable[[str], bool] = lambda name: False,
) -> Reading:
    """``weights`` as a reading of a module: what fits, what is missing, left over or odd."""
    unused = [name for name in weights if name not in own and may_leave(name)]
    odd = [
        f'{name} (here {list(own[name].shape)}, in the file {list(value.shape)})'
        for name, value in weights.items()
        if name in own and own[name].shape != value.shape
    ]
    # Integers in place of a network's numbers are a quantised network's, with scales of their own.
    odd += [
        f'{name} (here {own[name].dtype}, in the file {value.dtype})'
        for name, value in weights.items()
        if name in own and own[name].is_floating_point() and not value.is_floating_point()
    ]
    # Files older than torch 0.4.1 have no num_batches_tracked; torch keeps the module's own then.
    missing = [
        name
        for name in own
        if name not in weights and name not in may_lack and not name.endswith('num_batches_tracked')
    ]
    left = [name for name in weights if name not in own and name not in unused]
    kept = {name: value for name, value in weights.items() if name not in unused}
    found = sum(name in own and own[name].shape == value.shape for name, value in weights.items())
    return Reading('', '', kept, unused, missing, left, odd, found)


def require_finite(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: str, what: str) -> None:
    """Check that no number is NaN or infinite, also after conversion to the module's format.

    Raises:
        UserError: Some are; the sentence names the first tensors.
    """
    bad = [
        name
        for name, value in weights.items()
        if name in own and own[name].is_floating_point() and is_broken(value.to(own[name].dtype))
    ]
    if bad:
        raise UserError(
            f'numbers were expected in the weights of the {what} in {source}, and {len(bad)} of its {len(weights)} '
            f'tensors hold NaN or infinity ({", ".join(bad[:SHOWN])}{", ..." if len(bad) > SHOWN else ""}): its '
            f'training diverged; use an earlier checkpoint of that run, or another.'
        )
