"""The input that a checkpoint's network was trained on: mean, std, and the order of its channels.

Our data pipeline feeds RGB. OpenMMLab's loads images with OpenCV as BGR, and its data preprocessor
(in old projects the transform ``Normalize``) swaps the channels if it is told to, before it subtracts
the mean. So mean and std are always in the order in which the first layer gets its channels.
"""

from collections.abc import Iterator, Mapping

from hsakd_mm.checkpoints.reading_files import METADATA
from hsakd_mm.checkpoints.training_config import has_config, training_config

SWAPS = ('bgr_to_rgb', 'rgb_to_bgr', 'to_rgb')  # each of them swaps, whatever its name says


def trained_normalisation(content: Mapping, source: str) -> dict:
    """``mean``, ``std`` (in units of 0..255) and ``channel_order`` that the weights were trained with.

    They are read from the config in a checkpoint of ours or of OpenMMLab, from the metadata of an
    exported backbone, or from timm for its weights.

    Args:
        content (Mapping): The result of :func:`~hsakd_mm.checkpoints.loading.load_checkpoint`.
        source (str): Its file, for the error.

    Returns:
        dict: Mean and std as lists in the channel order, ``'RGB'`` or ``'BGR'``. Empty if the
        checkpoint does not have them.

    Raises:
        UserError: As :func:`~hsakd_mm.checkpoints.training_config.training_config`.
    """
    if has_config(content):
        return configured_normalisation(training_config(content, source))
    meta = content.get('meta') or {}
    inside = getattr(content['state_dict'], '_metadata', None) or {}
    norm = meta.get('normalisation') or (meta.get(METADATA) or inside.get(METADATA) or {}).get('normalisation') or {}
    if norm.get('mean') is None or norm.get('std') is None:
        return {}
    return _plain(norm, norm.get('channel_order') or 'RGB')


def configured_normalisation(config: Mapping) -> dict:
    """The same of a config, of ours, MMDetection 2 and 3, MMPretrain and MMClassification."""
    scope = config.get('default_scope') or ''
    for preprocessor in _preprocessors(config):
        if preprocessor.get('mean') is not None and preprocessor.get('std') is not None:
            return _plain(preprocessor, _order(preprocessor, scope))
    for transform in _normalising(config):
        return _plain(transform, 'RGB' if transform.get('to_rgb', True) else 'BGR')
    return {}


def _preprocessors(config: Mapping) -> Iterator[Mapping]:
    for owner in (config.get('model'), config):
        preprocessor = owner.get('data_preprocessor') if isinstance(owner, Mapping) else None
        while isinstance(preprocessor, Mapping):  # MultiBranchDataPreprocessor has one inside
            yield preprocessor
            preprocessor = preprocessor.get('data_preprocessor')


def _order(preprocessor: Mapping, scope: str) -> str:
    kind = str(preprocessor.get('type') or '').rpartition('.')[2]
    if kind == 'ImagePreprocessor':
        return 'RGB'
    swapped = any(preprocessor.get(name) for name in SWAPS)
    openmmlab = kind.endswith('DataPreprocessor') or any(name in preprocessor for name in SWAPS)
    loads_bgr = scope != 'hsakd_mm' if scope else openmmlab
    return 'RGB' if loads_bgr == swapped else 'BGR'


def _normalising(value) -> Iterator[Mapping]:
    """``img_norm_cfg`` and all transforms ``Normalize`` in a config."""
    if isinstance(value, Mapping):
        norm = value.get('img_norm_cfg') if isinstance(value.get('img_norm_cfg'), Mapping) else None
        for found in (norm, value if value.get('type') == 'Normalize' else None):
            if found and found.get('mean') is not None and found.get('std') is not None:
                yield found
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _normalising(item)


def _plain(norm: Mapping, order: str) -> dict:
    values = {name: norm[name] for name in ('mean', 'std')}
    return dict(
        {name: list(value) if isinstance(value, list | tuple) else [value] for name, value in values.items()},
        channel_order=order,
    )
