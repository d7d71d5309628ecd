"""The file of a step that failed: all that replays it, as tensors and plain values; nothing in it is code."""

import importlib
import os
from collections.abc import Mapping

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from hsakd_mm.checkpoints.reading_files import read_file
from hsakd_mm.datasets.same_classes import classes_of
from hsakd_mm.errors import UserError
from hsakd_mm.files import write_atomically

FOLDER = 'non_finite'  # in the work directory
FORMAT_VERSION = 1
_PACKAGES = ('mmengine', 'mmdet', 'hsakd_mm')  # whose data structures are rebuilt


def save_failed_step(path: str, runner, model: nn.Module, batch, rng: dict, **found) -> None:
    """Write the state before the step, and beside it a ``.txt`` with the names of the images.

    Args:
        path (str): Of the ``.pth`` file.
        runner (Runner): At the step.
        model (nn.Module): Its model without wrapper; weights and buffers are those before the step.
        batch (Any): As the data loader gave it; left out if it holds objects that cannot be written.
        rng (dict): Of :func:`~hsakd_mm.engine.before_step.random_state`.
        **found: What was seen: ``losses``, ``gradients``, ``images``, and the model's ``attributes``.

    Raises:
        UserError: It cannot be written.
    """
    try:
        batch = to_plain(batch)
    except TypeError as error:
        runner.logger.warning(f'The batch is not in {path}: {error}.')
        batch = None
    info = {
        key: value for key, value in runner.message_hub.runtime_info.items() if isinstance(value, bool | int | float)
    }
    content = dict(
        format_version=FORMAT_VERSION,
        iter=runner.iter,
        epoch=runner.epoch,
        rank=get_rank(),
        world_size=get_world_size(),
        seed=runner.seed,
        config=_plain_config(runner.cfg.to_dict()),
        state_dict={key: value.detach().cpu() for key, value in model.state_dict().items()},
        optimizer=to_plain(runner.optim_wrapper.state_dict(), strict=False),
        batch=batch,
        rng=to_plain(rng),
        info=info,
        labels=_labels(runner) if hasattr(model, 'attach_dataset') else None,
        classes=_classes(runner),
        device=next(model.parameters()).device.type,
        **found,
    )
    write_atomically(path, lambda file: torch.save(content, file))
    images = found.get('images') or ['(not known)']
    write_atomically(f'{os.path.splitext(path)[0]}.txt', lambda file: file.write('\n'.join(images).encode() + b'\n'))


def load_failed_step(path: str) -> dict:
    """Read such a file, or the first one of a work directory. Only tensors and plain values are unpickled.

    Raises:
        UserError: There is none, or it is something else.
    """
    if os.path.isdir(path):
        folder = os.path.join(path, FOLDER) if os.path.isdir(os.path.join(path, FOLDER)) else path
        files = sorted(name for name in os.listdir(folder) if name.startswith('iter_') and name.endswith('.pth'))
        if os.path.basename(os.path.abspath(folder)) != FOLDER or not files:
            raise UserError(
                f'a step that failed was expected in {path}, and the folder has none: name the work directory of a run '
                f'that FiniteHook stopped, or the file that its message names.'
            )
        path = os.path.join(folder, max(files, key=lambda name: os.path.getmtime(os.path.join(folder, name))))
    content = read_file(path)
    if not isinstance(content, Mapping) or 'format_version' not in content or 'rng' not in content:
        raise UserError(
            f'a step that failed was expected at {path}, and the file holds something else: name the file that '
            f"FiniteHook's message names, in {FOLDER}/ of the work directory."
        )
    return dict(content, path=path, batch=from_plain(content['batch']))


def image_names(runner, batch_idx: int, batch) -> list[str]:
    """The image files of this rank's batch; numbers in the data set where it has no files, [] if not known."""
    loop, dataset = runner.train_loop, runner.train_dataloader.dataset
    indices = loop.batch_indices(batch_idx) if hasattr(loop, 'batch_indices') else None
    if indices is None and isinstance(batch, Mapping) and 'indices' in batch:
        indices = torch.as_tensor(batch['indices']).tolist()
    if indices is not None:
        if not hasattr(dataset, 'get_data_info'):
            return [f'number {index}' for index in indices]
        return [str(dataset.get_data_info(index).get('img_path', f'number {index}')) for index in indices]
    samples = batch.get('data_samples', []) if isinstance(batch, Mapping) else []
    return [str(sample.metainfo['img_path']) for sample in samples if 'img_path' in getattr(sample, 'metainfo', {})]


def to_plain(value, strict: bool = True):
    """Tensors, arrays, plain values and data elements of OpenMMLab as tensors and plain values.

    Raises:
        TypeError: Something else is in it; with ``strict=False`` that is left out.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
        return {'__array__': torch.from_numpy(value.copy())}
    if isinstance(value, Mapping):
        return {key: to_plain(each, strict) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_plain(each, strict) for each in value) if type(value) in (list, tuple) else [*value]
    name = f'{type(value).__module__}:{type(value).__qualname__}'
    if isinstance(value, BaseDataElement):
        fields = {key: to_plain(each, strict) for key, each in value.items()}
        return {'__element__': name, 'meta': to_plain(value.metainfo, strict), 'data': fields}
    if isinstance(getattr(value, 'tensor', None), Tensor) and name.startswith('mmdet.structures.bbox'):
        return {'__boxes__': name, 'tensor': to_plain(value.tensor)}
    if strict:
        raise TypeError(f'a {type(value).__name__} is neither a tensor nor a plain value')
    return None


def from_plain(value):
    """Inverse of :func:`to_plain`."""
    if isinstance(value, list | tuple):
        return type(value)(map(from_plain, value))
    if not isinstance(value, Mapping):
        return value
    if '__array__' in value:
        return value['__array__'].numpy()
    if '__boxes__' in value:
        return _class(value['__boxes__'])(value['tensor'])
    if '__element__' in value:
        element = _class(value['__element__'])(metainfo=from_plain(value['meta']))
        for key, each in value['data'].items():
            setattr(element, key, from_plain(each))
        return element
    return {key: from_plain(each) for key, each in value.items()}


def _class(name: str) -> type:
    module, _, kind = name.partition(':')
    found = None
    if module.split('.')[0] in _PACKAGES and '.structures' in module:
        found = getattr(importlib.import_module(module), kind, None)
    if not isinstance(found, type):
        raise UserError(
            f'a data structure of {", ".join(_PACKAGES)} was expected, and the file names {name}: it is not read.'
        )
    return found


def _plain_config(value):
    if isinstance(value, Mapping):
        return {str(key): _plain_config(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_plain_config, value)] if isinstance(value, list) else tuple(map(_plain_config, value))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return f'{value.__module__}.{value.__qualname__}' if isinstance(value, type) else repr(value)


def _labels(runner) -> list:
    dataset = runner.train_dataloader.dataset
    return [int(dataset.get_data_info(index)['gt_label']) for index in range(len(dataset))]


def _classes(runner) -> list | None:
    """Names of the training data's classes; where it has none, of those that a teacher's were numbered by."""
    classes = classes_of(runner.train_dataloader.dataset)
    if classes is None and getattr(runner, 'val_loop', None) is not None:
        classes = classes_of(runner.val_dataloader.dataset)
    return None if classes is None else [*map(str, classes)]
