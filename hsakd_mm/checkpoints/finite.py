"""A checkpoint with a number that is none is not written, resumed, taught by or handed on."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from hsakd_mm.errors import UserError

SHOWN = 4
PARTS = ('state_dict', 'ema_state_dict', 'optimizer')  # of mmengine's checkpoints


def non_finite(content, name: str = '') -> Iterator[str]:
    """Names of the tensors and numbers within nested dicts and lists that are NaN or infinite."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from non_finite(value, f'{name}.{key}' if name else str(key))
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            yield from non_finite(value, f'{name}.{number}' if name else str(number))
    elif isinstance(content, Tensor) and is_broken(content):
        yield name


def is_broken(value: Tensor) -> bool:
    """Whether a tensor holds NaN or infinity. A single number may be infinite: a bound of clipping that does nothing,
    as Gemma's ``input_max``."""
    return bool(value.isnan().any() if value.dim() == 0 else not value.isfinite().all())


def check_finite(content: Mapping, path: str) -> None:
    """Check the weights, their average and the optimizer's state of a checkpoint, read or about to be written.

    Args:
        content (Mapping): mmengine's checkpoint, or a plain state dict.
        path (str): Its file, for the message.

    Raises:
        UserError: A number in it is NaN or infinite; the sentence names the first tensors.
    """
    parts = {part: content[part] for part in PARTS if part in content} or content
    if bad := list(non_finite(parts)):
        shown = ', '.join(bad[:SHOWN]) + (', ...' if len(bad) > SHOWN else '')
        raise UserError(
            f'finite numbers were expected in the checkpoint {path}, and {len(bad)} of its tensors hold NaN or '
            f'infinity ({shown}): the training diverged; go on from an earlier checkpoint with a lower learning rate.'
        )
