"""Reads a bench file and checks it, so that a mistake in it is told before anything is trained.

:mod:`.bench` says what each key means.
"""

import os
from collections.abc import Callable, Mapping

from hsakd_mm.checkpoints.source import RANDOM
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError
from hsakd_mm.files import folder_name

from .equal_cost import check_cost_of


def _is_text(value) -> bool:
    return isinstance(value, str)


def _is_number(value, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_list(value, fits: Callable) -> bool:
    return isinstance(value, list | tuple | range) and all(map(fits, value))


def _has(*keys: str) -> tuple[str, Callable]:
    wanted = f'dict({", ".join(f"{key}=..." for key in keys)})'
    return wanted, lambda value: isinstance(value, dict) and set(keys) <= set(value)


# What a value should be, and whether it is.
_TEXT = 'a text', _is_text
_TEXTS = 'a list of texts', lambda value: _is_list(value, _is_text)
_COUNT = 'a number of 1 or more', lambda value: _is_number(value, 1)
_SEEDS = 'a list of numbers of 0 or more, as [0, 1]', lambda value: _is_list(value, lambda seed: _is_number(seed, 0))
_OPTIONS = (
    'a dict of values by option, as {"train_cfg.max_epochs": 10}',
    lambda value: isinstance(value, dict) and all(map(_is_text, value)),
)

_FILE = dict(
    runs=('a list of dict(name=..., config=...)', lambda value: _is_list(value, lambda run: isinstance(run, dict))),
    pairs=('a list of pairs, as [("A", "B")]', lambda value: _is_list(value, _TEXTS[1])),
    measure=("'val' or 'test'", lambda value: value in ('val', 'test')),
    prepare=_has('title', 'command', 'produces'),
    detector=_has('config'),
    custom_imports=_has('imports'),
    options=_OPTIONS,
    seeds=_SEEDS,
    notes=_TEXTS,
    **dict.fromkeys(('threads', 'jobs'), _COUNT),
    **dict.fromkeys(('title', 'baseline', 'work_dir', 'filename'), _TEXT),
)
_RUN = dict(
    needs=(
        'a dict of names of runs by option, as {"load_from": "A"}',
        lambda value: _OPTIONS[1](value) and all(map(_is_text, value.values())),
    ),
    row=('True or False', lambda value: isinstance(value, bool)),
    options=_OPTIONS,
    seeds=_SEEDS,
    **dict.fromkeys(('name', 'config', 'metric', 'curve', 'cost_of'), _TEXT),
)
_DETECTOR = dict(config=_TEXT, seeds=_SEEDS, folder=_TEXT, title=_TEXT)
_PREPARE = dict(title=_TEXT, command=_TEXTS, produces=_TEXT)


def read_bench(file: str) -> tuple[dict, dict]:
    """Read a bench file; what is None in it is as if it were left out.

    Returns:
        tuple[dict, dict]: What the file sets, its baseline in any case; and the entries of its runs by name, each after
        what it needs.

    Raises:
        UserError: The file is not a bench, or its runs do not fit together.
    """
    content = _given(load_config(file, needs=('runs',)))
    for key in ('detector', 'prepare'):
        if isinstance(content.get(key), dict):
            content[key] = _given(content[key])
    own = {key: value for key, value in content.items() if not key.startswith('_')}
    _check(own, _FILE, file, '; names of your own start with _')
    _check(content.get('prepare', {}), _PREPARE, f'prepare of {file}')
    entries = _entries(content['runs'], file)
    _check_detector(content.get('detector', {}), entries, file)
    rows = [name for name, entry in entries.items() if entry.get('row', True)]
    if not rows:
        raise UserError(f'{file} should list runs, and none in its list is a row: add one, or leave out row=False.')
    if content.setdefault('baseline', rows[0]) not in rows:
        raise UserError(
            f'the baseline of {file} should be one of its rows, and it is {content["baseline"]!r}'
            f'{nearest(content["baseline"], rows)}: name one of {", ".join(rows)}.'
        )
    for pair in content.get('pairs', ()):
        if len(set(pair)) != 2 or set(pair) - set(rows) or 'detector' not in content:
            raise UserError(
                f'pairs of {file} should have two of its rows each ({", ".join(rows)}), of a bench with a '
                f'detector, and one is {pair!r}: write [("A", "B")].'
            )
    return content, entries


def _given(content: Mapping) -> dict:
    return {key: value for key, value in content.items() if value is not None}


def _check(content: Mapping, kinds: Mapping[str, tuple[str, Callable]], owner: str, more: str = '') -> None:
    for key, value in content.items():
        if key not in kinds:
            raise UserError(
                f'{owner} sets {key}, which it does not have{nearest(str(key), kinds)}: it takes '
                f'{", ".join(sorted(kinds))}{more}.'
            )
        wanted, fits = kinds[key]
        if not fits(value):
            raise UserError(f'{key} of {owner} should be {wanted}, and is {value!r}: correct it.')


def _entries(runs: list, file: str) -> dict:
    entries: dict = {}
    for run in runs:
        entry = _given(run)
        name = entry.get('name')
        _check(entry, _RUN, f'the run {name!r} of {file}')
        taken = map(folder_name, (RANDOM, *entries))  # two names may be one folder
        if not name or 'config' not in entry or folder_name(name) in taken:
            raise UserError(
                f'every run of {file} should have a name of its own (not {RANDOM}), a config and '
                f'perhaps {", ".join(sorted(set(_RUN) - {"name", "config"}))}, and one is {run}: correct it.'
            )
        for other in entry.get('needs', {}).values():
            if other not in entries:
                raise UserError(
                    f'{name!r} in {file} needs {other!r}, and no run before it has '
                    f'that name: put it before, or correct the name.'
                )
        entries[name] = entry
    if not entries:
        raise UserError(f'{file} should list runs, and its list is empty: add some.')
    check_cost_of(entries, file)
    return entries


def _check_detector(detector: Mapping, entries: Mapping, file: str) -> None:
    _check(detector, _DETECTOR, f'the detector of {file}')
    folder = detector.get('folder', 'detectors')
    if folder in ('', '.', '..', *map(folder_name, entries)) or folder != os.path.basename(folder):
        raise UserError(
            f'folder of the detector in {file} should be a name in the work directory that is none of its runs, and '
            f'it is {folder!r}: choose another.'
        )
