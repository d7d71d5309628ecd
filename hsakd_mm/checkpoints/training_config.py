"""Read the config inside a training checkpoint without executing it.

mmengine stores ``Config.pretty_text`` in ``meta['cfg']``: Python code, which ``Config.fromstring``
would execute. Weights are read with ``weights_only``, so that a checkpoint from the internet cannot
run code; neither can its config here. mmengine writes assignments of plain values (numbers, strings,
lists, tuples, ``dict(...)``), and only these are read.
"""

from collections.abc import Mapping

from hsakd_mm.errors import UserError
from hsakd_mm.literals import assigned_values


def has_config(content: Mapping) -> bool:
    """Whether a checkpoint's content has a config."""
    return bool(_text(content).strip())


def training_config(content: Mapping, source: str) -> dict:
    """The config inside a training checkpoint.

    Args:
        content (Mapping): The result of :func:`~hsakd_mm.checkpoints.loading.load_checkpoint`.
        source (str): Its file, for the errors.

    Raises:
        UserError: There is none, so tools/train.py did not write the checkpoint; or it holds more
            than plain values.
    """
    if not has_config(content):
        raise UserError(
            f'a training checkpoint was expected at {source}, and the file holds '
            f'weights without the config they were trained with: name a checkpoint '
            f'that hsakd-mm train wrote.'
        )
    try:
        return assigned_values(_text(content))
    # ValueError: null bytes; TypeError: unhashable keys; the last two: nested too deeply.
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        number = getattr(error, 'lineno', None)
        line = f'line {number}' if number else 'one'
        raise UserError(
            f'the config inside {source} was expected to hold plain values, as '
            f'mmengine writes them, and {line} does not ({error}): it is not '
            f'executed; if you need only the weights, save its state_dict as a file.'
        ) from error


def _text(content: Mapping) -> str:
    meta = content.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    # mmengine writes `cfg`, OpenMMLab's projects before it `config`.
    return next((meta[key] for key in ('cfg', 'config') if isinstance(meta.get(key), str)), '')
