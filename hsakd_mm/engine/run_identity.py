"""What makes a run this run: teacher, data and recipe as plain data, stored in its checkpoints.

A resumed run is the run that was stopped. What changes the result is compared and refused; what does not (the number
of processes, the batch, the workers, where files are) is said.
"""

import hashlib
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from mmengine.config import Config
from mmengine.dataset import BaseDataset

from hsakd_mm.checkpoints.hf_hub import is_hub_name, read_repository
from hsakd_mm.checkpoints.loading import sha256
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.datasets.same_classes import classes_of
from hsakd_mm.registry import type_name

KEY = 'run_identity'  # in a checkpoint's `meta`
_HOOKS = ('DistillationHook', 'EMAHook', 'PipelineSwitchHook', 'ProgressiveResizeHook')  # these change what is learnt
# How a run starts, where files are, and in which order numbers lie in memory.
_PLACES = (
    'checkpoint',
    'init_cfg',
    'load_backbone_from',
    'pretrained',
    'check',
    'check_classes',
    'channels_last',
    'fold_bn',
    'with_cp',
)
_SHOWN = 120
_CLASSIFIED = {'img_path', 'gt_label', 'sample_idx', 'row'}  # what a classification set knows of a sample


def run_identity(runner) -> dict:
    """Teacher, data and recipe of a run whose training loop is built.

    Returns:
        dict: ``weights`` (SHA-256 of the files that the model learns from, by their place in the config), ``data``
        (:func:`data_fingerprint`), ``recipe`` (:func:`recipe_of`), ``length``, ``may_change``: of plain values only.
    """
    cfg = runner.cfg
    # MMDetection's configs set no seed; mmengine draws one then, and a resumed run takes that of its checkpoint.
    seed = (cfg.get('randomness') or {}).get('seed')
    return dict(
        version=1,
        weights=dict(_weights(cfg)),
        data=data_fingerprint(runner.train_dataloader.dataset),
        recipe={**recipe_of(cfg), **({} if seed is None else {'randomness.seed': seed})},
        length={name: cfg.train_cfg[name] for name in ('max_epochs', 'max_iters') if cfg.train_cfg.get(name)},
        may_change=_may_change(runner),
    )


def data_fingerprint(dataset) -> dict:
    """Number of samples, classes in order, and a SHA-256 over the names and labels of all samples.

    A file's name counts from the folder of the data, so that the data may be moved. A detection set that is read from
    one file is known by that file. The content of images is not read. Measured on one core: 3.5 s for
    1.28 million files.
    """
    classes = classes_of(dataset)
    digest = hashlib.sha256()
    for text in _samples(dataset):
        digest.update(text.encode(errors='surrogateescape'))
    return dict(
        type=type(dataset).__name__,
        images=len(dataset) if hasattr(dataset, '__len__') else None,
        classes=None if classes is None else list(map(str, classes)),
        sha256=digest.hexdigest(),
    )


def _samples(dataset) -> Iterator[str]:
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner != [None]:
        for each in inner:
            yield from _samples(each)
        return
    root = str(getattr(dataset, 'folder', None) or getattr(dataset, 'data_root', None) or '')
    ann_file = getattr(dataset, 'ann_file', None)
    yield f'{type(dataset).__name__} {len(dataset) if hasattr(dataset, "__len__") else ""}\n'
    if isinstance(ann_file, str) and ann_file.endswith('.json') and os.path.isfile(ann_file):
        yield sha256(ann_file)
    elif isinstance(dataset, BaseDataset):
        dataset.full_init()
        pixels = getattr(dataset, '_images', None)
        if pixels is not None:  # they are in one array, whose rows have no names: some of them
            yield hashlib.sha256(pixels[:: max(1, len(pixels) // 256)].tobytes()).hexdigest()
        texts = (_text(info, root) for info in _infos(dataset))
        while some := ''.join(islice(texts, 4096)):
            yield some


def _infos(dataset: BaseDataset) -> Iterator[dict]:
    """What the set knows of each sample, without its image."""
    if not dataset.serialize_data:
        yield from dataset.data_list
        return
    stored, start = memoryview(dataset.data_bytes), 0
    for end in dataset.data_address.tolist():  # not by get_data_info, which takes four times as long
        yield pickle.loads(stored[start:end])
        start = end


def _text(info: Mapping, root: str) -> str:
    path = info.get('img_path')
    name = path.removeprefix(root) if isinstance(path, str) else ''
    if info.keys() <= _CLASSIFIED:
        return f'{name}\0{info.get("row")}\0{info.get("gt_label")}\n'
    others = {key: value for key, value in info.items() if not str(key).endswith(('_path', 'sample_idx'))}
    return f'{name}\0{sorted(others.items())!r}\n'


def recipe_of(cfg: Config) -> dict:
    """``{'model.temperature': 3.0, ...}``: what of a config changes the result, without learning rate and length."""
    optimizer = dict(cfg.get('optim_wrapper') or {})
    for name in ('type', 'loss_scale', 'dtype', 'accumulative_counts'):  # numeric format and batch: see _may_change
        optimizer.pop(name, None)
    if isinstance(optimizer.get('optimizer'), Mapping):
        optimizer['optimizer'] = {key: value for key, value in optimizer['optimizer'].items() if key != 'lr'}
    loader = cfg.get('train_dataloader') or {}
    parts = dict(
        model=cfg.get('model'),
        optim_wrapper=optimizer,
        param_scheduler=cfg.get('param_scheduler'),
        train_dataloader=dict(
            dataset=_seen(loader.get('dataset')),
            drop_last=loader.get('drop_last', False),
            collate_fn=loader.get('collate_fn'),
        ),
        hooks={
            name: hook for hook in _hooks(cfg) if (name := type_name(hook.get('type'))) in _HOOKS
        },
    )  # fmt: skip
    return dict(_flat(parts, ''))


def _seen(dataset) -> dict:
    """How samples become inputs; which they are is in the fingerprint of the data."""
    dataset = dataset if isinstance(dataset, Mapping) else {}
    kept = {key: dataset[key] for key in ('type', 'pipeline', 'times', 'oversample_thr') if key in dataset}
    inner = dataset.get('dataset'), *(dataset.get('datasets') or ())
    return {**kept, **{f'inner{number}': _seen(each) for number, each in enumerate(inner) if each is not None}}


def _hooks(cfg: Config) -> Iterator[Mapping]:
    for hook in (*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or ())):
        if isinstance(hook, Mapping):
            yield hook


def _weights(cfg: Config) -> Iterator[tuple]:
    """The files of weights that the loss needs: they are not in the checkpoint, or frozen in it."""
    places = [('model.checkpoint', cfg.get('model') or {})]
    places += [('teacher', hook) for hook in _hooks(cfg) if type_name(hook.get('type')).endswith('DistillationHook')]
    for name, owner in places:
        if named := owner.get('checkpoint'):
            path = find_checkpoint(named)
            yield name, _identity(path)


def _identity(path: str) -> str:
    """SHA-256 of a file, also of one in a repository of the Hub, which may change under its name; else the name."""
    if os.path.isfile(path):
        return sha256(path)
    if is_hub_name(path):  # in the cache by now; load_checkpoint would wait for ranks that are not here
        return read_repository(path)['meta']['sha256']
    return str(path)


def _may_change(runner) -> dict:
    loader, wrapper = runner.cfg.get('train_dataloader') or {}, runner.cfg.get('optim_wrapper') or {}
    return {
        'processes': runner.world_size,
        'batch of each': loader.get('batch_size'),
        'steps of one update': wrapper.get('accumulative_counts', 1),
        'workers': loader.get('num_workers', 0),
        'optim_wrapper.type': _plain(wrapper.get('type', 'OptimWrapper')),
    }


def _flat(value, name: str) -> Iterator[tuple]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key not in _PLACES:
                yield from _flat(each, f'{name}.{key}' if name else str(key))
    elif (
        isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(each, Mapping) for each in value)
    ):
        for number, each in enumerate(value):
            yield from _flat(each, f'{name}.{number}')
    elif value is not None:
        yield name, _plain(value)


def _plain(value):
    """The value as torch's safe unpickler returns it."""
    if isinstance(value, list | tuple | set):
        return [_plain(each) for each in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    return getattr(value, '__qualname__', None) or str(value)


def differences(old: Mapping, new: Mapping) -> list[str]:
    """``'model.temperature was 3.0 and is 4.0'`` for each difference that changes the result."""
    found = _differing(old.get('weights') or {}, new.get('weights') or {})
    # An earlier version may have stored what is no part of the recipe now.
    recipes = [
        {name: value for name, value in (each.get('recipe') or {}).items() if name.rpartition('.')[2] not in _PLACES}
        for each in (old, new)
    ]
    found += _differing(*recipes)
    theirs, ours = old.get('data') or {}, new.get('data') or {}
    if theirs.get('images') != ours.get('images'):
        found.append(f'the training data had {theirs.get("images")} images and has {ours.get("images")}')
    if theirs.get('classes') != ours.get('classes'):
        found.append(_classes(theirs.get('classes') or [], ours.get('classes') or []))
    if not found and theirs.get('sha256') != ours.get('sha256'):
        found.append(
            f'the names or labels of the training data are others (fingerprint {str(theirs.get("sha256"))[:12]}, and '
            f'now {str(ours.get("sha256"))[:12]})'
        )
    return found


def changes(old: Mapping, new: Mapping) -> list[str]:
    """The same for what may change."""
    return [
        *_differing(old.get('may_change') or {}, new.get('may_change') or {}),
        *_differing(old.get('length') or {}, new.get('length') or {}),
    ]


def _differing(old: Mapping, new: Mapping) -> list[str]:
    names = [*old, *(name for name in new if name not in old)]
    return [
        f'{name} was {_short(old, name)} and is {_short(new, name)}' for name in names if old.get(name) != new.get(name)
    ]


def _short(values: Mapping, name: str) -> str:
    text = repr(values[name]) if name in values else 'not set'
    return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'


def _classes(old: list, new: list) -> str:
    if sorted(old) == sorted(new):
        first = next(index for index, pair in enumerate(zip(old, new)) if pair[0] != pair[1])
        return f'the classes had another order (label {first} was {old[first]!r} and is {new[first]!r})'
    gone, added = [each for each in old if each not in new], [each for each in new if each not in old]
    return f'the data had {len(old)} classes and has {len(new)} (only then {gone[:3]}, only now {added[:3]})'
