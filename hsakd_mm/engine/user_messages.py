"""Turns exceptions that are caused by a user's mistake into a sentence.

mmengine and torch report many mistakes (a misspelt type, a wrong argument in a config, a full disk) by
exceptions from deep inside. Exceptions recognised here become a sentence; all others count as bugs and
keep their traceback.
"""

import difflib
import dis
import errno
import importlib.util
import inspect
import pickle
import re
import traceback
from collections.abc import Iterator, Mapping

import torch
from mmengine.registry import Registry, build_from_cfg

from hsakd_mm.errors import UserError

EXTRAS = dict(
    mmdet='det', mmcv='det', pycocotools='det', sklearn='demo', tensorboard='loggers', wandb='loggers', mlflow='loggers'
)


def user_message(error: BaseException) -> str | None:
    """The sentence for a user's mistake, on one line, or None if ``error`` is not one."""
    chain = list(_chain(error))
    # The first exception names the cause; later ones may only repeat it.
    for link in reversed(chain):
        if isinstance(link, UserError):
            return _one_line(_own_words(link))
    for link in chain:
        if sentence := _no_memory(link) or _no_space(link) or _bad_batch(link) or _not_plain(link):
            return _one_line(sentence)
    for recognise in (_empty_dataset, _no_metric, _not_registered, _not_installed, _wrong_argument, _refused_argument):
        if sentence := recognise(error):
            return _one_line(sentence)
    return None


def nearest(name: str, names) -> str:
    """``' (did you mean X or Y?)'``, or an empty string if no name is similar."""
    by_lower = {each.lower(): each for each in sorted(set(names))}
    close = [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, n=2, cutoff=0.6)]
    return f' (did you mean {" or ".join(close)}?)' if close else ''


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _own_words(error: UserError) -> str:
    # A DataLoader re-raises the exception of a worker with the traceback as its text.
    return re.split(r'^(?:[\w.]+\.)?(?:UserError|UnreadableImage): ', str(error), flags=re.MULTILINE)[-1]


def _one_line(text: str) -> str:
    return ' '.join(text.split())


def _no_memory(error: BaseException) -> str | None:
    if isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and re.search(r'CUDA( error:)? out of memory', str(error))
    ):
        return (
            "the GPU's memory is full: use fewer images a step with --cfg-options "
            'train_dataloader.batch_size=N (and --auto-scale-lr), train with --amp, or end '
            'what else runs on this GPU.'
        )
    # Workers pass batches through shared memory; if it is full, one of these errors occurs.
    if isinstance(error, (OSError, RuntimeError)) and re.search(
        r'signal: Bus error|unable to (?!open)[^<]*</torch_', str(error)
    ):
        return (
            'the shared memory through which DataLoader workers hand over images (/dev/shm) is '
            'full: enlarge it (in Docker with --shm-size=16g or --ipc=host), or use fewer '
            'workers with --cfg-options train_dataloader.num_workers=N.'
        )
    return None


def _no_space(error: BaseException) -> str | None:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not full and isinstance(error, (OSError, RuntimeError)):
        # torch's zip writer and DataLoader workers set no errno.
        words = r'No space left on device|Disk quota|PytorchStreamWriter failed|inline_container\.cc.*unexpected pos'
        full = bool(re.search(words, str(error), re.DOTALL))
    if not full:
        return None
    name = getattr(error, 'filename', None)
    return (
        f'the disk is full{f" (while writing {name})" if name else ""}: free some space, or '
        f'choose another place with --work-dir, then run the same command with --resume; '
        f'checkpoints written before are still there.'
    )


def _not_plain(error: BaseException) -> str | None:
    if not isinstance(error, pickle.UnpicklingError):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = ('filename', 'filepath', 'file', 'f')
    found = [frame.f_locals[name] for frame in frames for name in names if isinstance(frame.f_locals.get(name), str)]
    named = re.findall(r'GLOBAL ([\w.]+)|an object of ([\w.]+)', str(error))
    what = f' ({"".join(named[0])})' if named else ''
    return (
        f'tensors and plain values were expected in {found[-1] if found else "a file of this run"}, and it holds '
        f'something else{what}, which is not read because unpickling it can run any code: save its values alone, or '
        f'name another file.'
    )


def _bad_batch(error: BaseException) -> str | None:
    text = str(error)
    if isinstance(error, ValueError) and 'Expected more than 1 value per channel when training' in text:
        return (
            'a batch of at least two images was expected, as a BatchNorm layer sees maps of 1 x 1 pixel, and this '
            'batch has one: set train_dataloader.drop_last=True, or another train_dataloader.batch_size.'
        )
    if isinstance(error, TypeError) and 'default_collate: batch must contain' in text:
        kind = text.split('found ')[-1]
        return (
            f'samples that can be put into a batch were expected of the pipeline, and they hold {kind}: end it with '
            f'PackInputs.'
        )
    # A worker stacks in shared memory, where torch does not give the sizes; its traceback is then in the text.
    unequal = r'stack expects each tensor to be equal size, but got (\[.*?\]) at entry \d+ and (\[.*?\])|resize storage'
    found = isinstance(error, RuntimeError) and re.search(unequal, text)
    frames = {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}
    if not found or not ('collate' in text or any('collate' in name for name in frames)):
        return None
    sizes = f', and two of them have {found[1]} and {found[2]}' if found[1] else ', and they have several'
    return (
        f'the images of a batch should have one size (channels, height, width){sizes}: add a transform that gives all '
        f'images one size to the pipeline, such as torchvision/RandomResizedCrop, or torchvision/Resize and '
        f'torchvision/CenterCrop.'
    )


def _empty_dataset(error: BaseException) -> str | None:
    if not isinstance(error, ValueError) or 'need at least one array' not in str(error):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    frame = next((each for each in frames if each.f_code.co_name == '_serialize_data'), None)
    if frame is None:
        return None
    dataset = frame.f_locals['self']
    places = [place for name in ('data_root', 'ann_file') if (place := getattr(dataset, name, ''))]
    return (
        f'images were expected in the {type(dataset).__name__} of {" ".join(places) or "the config"}, and it has none: '
        f'correct its paths, and what filter_cfg, metainfo.classes, indices or fraction leave of it.'
    )


def _no_metric(error: BaseException) -> str | None:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    frame = next((each for each in frames if each.f_code.co_name == '_save_best_checkpoint'), None)
    if not isinstance(error, KeyError) or frame is None:
        return None
    known = list(frame.f_locals.get('metrics') or {})
    name = str(error.args[0])
    return (
        f'default_hooks.checkpoint.save_best is expected to be a metric of the validation ({", ".join(known)}), and it '
        f'is {name}{nearest(name, known)}: correct the name; the checkpoint of the epoch was saved before.'
    )


def _not_registered(error: BaseException) -> str | None:
    found = (
        isinstance(error, KeyError)
        and error.args
        and re.match(r'(\S+) is not in the (?:(\S+)::)?(.+?) registry\. ', str(error.args[0]))
    )
    if not found:
        return None
    name, scope, kind = found.groups()
    root = name.split('.')[0]
    if root in EXTRAS and importlib.util.find_spec(root) is None:
        return how_to_install(root)
    names = _registered(scope or 'hsakd_mm', kind)
    return (
        f'the config asks for a {kind} of type {name}, and no such name is registered in '
        f'scope {scope or "hsakd_mm"}{nearest(name.split(".")[-1], names)}: correct the type, '
        f'or name the module that defines it in custom_imports.'
    )


def _registered(scope: str, kind: str) -> set:
    names = set()
    try:
        module = importlib.import_module(f'{scope}.registry')
    except ImportError:
        return names
    for registry in vars(module).values():
        while isinstance(registry, Registry) and registry.name == kind:
            names |= set(registry.module_dict)
            registry = registry.parent
    return names


def _not_installed(error: BaseException) -> str | None:
    if not isinstance(error, ImportError):
        return None
    told = re.match(r'(\w+) is not installed', str(error))  # mmengine's, for `_base_ = 'mmdet::'`
    root = (error.name or (told[1] if told else '')).split('.')[0]
    if root in EXTRAS and importlib.util.find_spec(root) is None:
        return how_to_install(root)
    if command := re.search(r'[Pp]lease run "(pip install [^"]+)"', str(error)):  # visualizer backends
        frame = list(traceback.walk_tb(error.__traceback__))[-1][0]
        kind = type(frame.f_locals.get('self')).__name__
        return f'{kind} needs a package that is not installed: run {command[1]}, or leave {kind} out of the config.'
    return None


def how_to_install(package: str) -> str:
    """The sentence for a missing package of :data:`EXTRAS`."""
    return (
        f"this needs {package}, which is not installed: run pip install 'hsakd_mm[{EXTRAS[package]}]' (in a checkout "
        f"pip install -e '.[{EXTRAS[package]}]', or bash tools/setup_env.sh)."
    )


def _wrong_argument(error: BaseException) -> str | None:
    """A config gives a class an unknown argument, or lacks a required one."""
    found = isinstance(error, TypeError) and re.match(
        r'(?:(\w+)\.)?.*__init__\(\) (got an unexpected keyword argument|missing \d+ required .*?'
        r'arguments?:) (.+)',
        str(error),
    )
    if not found:
        return None
    owner, kind, names = found.groups()
    unknown = re.findall(r"'(\w+)'", names)[0] if kind.startswith('got') else None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    built = None
    while unknown and frames and frames[-1].f_code.co_name == '__init__':
        built = frames.pop().f_locals.get('self', built)  # it passes arguments on to its base class
    if not frames or not frames[-1].f_globals.get('__name__', '').startswith('mmengine.'):
        return None  # a call in code, not one made for a config
    if unknown is None:
        return f'the config does not give {owner or "a class"} the argument {names}: add it.'
    given = any(isinstance(value, Mapping) and unknown in value for value in frames[-1].f_locals.values())
    known = (
        []
        if built is None
        else [
            name
            for base in type(built).__mro__
            if '__init__' in vars(base)
            for name in inspect.signature(vars(base)['__init__']).parameters
        ]
    )
    owner = owner or 'a class' if built is None else type(built).__name__
    return (
        (
            f'the config gives {owner} the argument {unknown}, which it does not have'
            f'{nearest(unknown, known)}: correct the name in the config or in '
            f'--cfg-options.'
        )
        if given
        else None
    )


def _refused_argument(error: BaseException) -> str | None:
    """A class that a config asks for raises of its own accord while it is built: what it was given is not right.

    An operation in it that fails may be a bug, and so may what another object says that it has made.
    """
    links, link = [], error.__traceback__
    while link is not None:
        links.append(link)
        link = link.tb_next
    frames = [each.tb_frame for each in links]
    builds = [number for number, frame in enumerate(frames) if frame.f_code is build_from_cfg.__code__]
    if type(error) not in (ValueError, AssertionError, TypeError) or not str(error) or not builds:
        return None
    own = frames[builds[-1] + 1 :]
    built = own[0].f_locals.get('self') if own and own[0].f_code.co_name == '__init__' else None
    raised = frames[-1].f_code.co_code[links[-1].tb_lasti] == dis.opmap['RAISE_VARARGS']
    if built is None or not raised or any(frame.f_locals.get('self') is not built for frame in own):
        return None
    return (
        f'the config gives {type(built).__name__} what it does not take ({str(error).rstrip(". ")}): correct its '
        f'arguments in the config or in --cfg-options.'
    )
