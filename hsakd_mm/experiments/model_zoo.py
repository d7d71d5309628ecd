"""Collects the model zoo: what every config of the repository trains, and what a training image of it costs.

A cost is counted where the config's networks, method or image size are others than in ``docs/zoo.json``, else it is
taken from there: counting all takes some minutes. Everything else is read anew.
"""

import copy
import hashlib
import json
import os
from collections.abc import Callable
from importlib.util import find_spec

import yaml
from mmengine.config import Config

from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.training_cost import train_size, training_macs
from hsakd_mm.files import read_json, write_json
from hsakd_mm.registry import MODELS, type_name
from hsakd_mm.reports.network_names import networks_of
from hsakd_mm.reports.published import PUBLISH, REPORTS, Difference, paths_of
from hsakd_mm.reports.zoo import ZOO

RUNS = 'docs/runs'  # <folder>/<config>.json, the figures of a run
INDEX = 'model-index.yml'
ORIGIN = ('command', 'commit', 'seed', 'hardware')
COUNTED = ('macs', 'plain_macs', 'parameters', 'counted_of')


def write_zoo(root: str, say: Callable = print) -> None:
    """Write ``docs/zoo.json`` of a repository with a model index anew; only what changed is counted."""
    if not os.path.exists(os.path.join(root, INDEX)):
        return
    known = read_json(root, ZOO)
    content = collect(root, known, say)
    if content != known:
        write_json(os.path.join(root, ZOO), content)


def zoo_differences(root: str) -> list[Difference]:
    """Whether the zoo still says what configs and metafiles say; costs are not counted again."""
    known = read_json(root, ZOO)
    if not known or collect(root, known, count=False) == known:
        return []
    return [Difference(ZOO, '', 'configs, metafiles or results are others than those it was written from', PUBLISH)]


def collect(root: str, known: dict, say: Callable = lambda line: None, count: bool = True) -> dict:
    """The zoo of a repository.

    Args:
        root (str): The repository.
        known (dict): The zoo as it was, for what need not be counted.
        say (Callable): Gets a line for each config that is counted.
        count (bool): False: costs that are not known are None.

    Raises:
        UserError: A config or a result cannot be read, or a detector is to be counted and mmdet is not installed.
    """
    before = {(folder['name'], row['name']): row for folder in known.get('folders', ()) for row in folder['rows']}
    before.update({(row['config'], row['name']): row for row in known.get('variants', ())})
    counter = _Counter(say, count)
    folders, variants = [], []
    for name in _folders(root):
        files = paths_of(root, f'configs/{name}/[!_]*.py')
        metafile = _metafile(root, name)
        variants += _variants(root, metafile, before, counter)
        rows = [_row(root, name, path, metafile, before, counter) for path in files]
        folders.append(
            dict(
                name=name,
                collections=[_collection(each) for each in metafile.get('Collections', ())],
                benches=[
                    dict(file=path, results=_results(root, path)) for path, row in zip(files, rows) if row is None
                ],
                rows=[row for row in rows if row],
            )
        )
    return dict(command=PUBLISH, folders=folders, **(dict(variants=variants) if variants else {}))


def _folders(root: str) -> list[str]:
    """Of configs that are run: those of the model index in its order, then the others."""
    with open(os.path.join(root, INDEX)) as file:
        first = [path.split('/')[1] for path in yaml.safe_load(file)['Import']]
    every = {os.path.dirname(os.path.relpath(path, 'configs')) for path in paths_of(root, 'configs/**/[!_]*.py')}
    return [*first, *sorted(name for name in every - set(first) if not name.startswith('_'))]


def _metafile(root: str, folder: str) -> dict:
    path = os.path.join(root, 'configs', folder, 'metafile.yml')
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        return yaml.safe_load(file)


def _collection(given: dict) -> dict:
    return dict(name=given['Name'], readme=given['README'], paper=given.get('Paper'), method=given.get('Method'))


def _results(root: str, bench: str) -> list[str]:
    """The published reports that a bench made."""
    return [
        path.replace('.json', '.md') for path in paths_of(root, REPORTS) if read_json(root, path).get('bench') == bench
    ]


def _row(root: str, folder: str, path: str, metafile: dict, before: dict, counter: '_Counter') -> dict | None:
    """What the zoo says of a config; None of a bench file."""
    name = os.path.splitext(os.path.basename(path))[0]
    was = before.get((folder, name), {})
    try:
        cfg = load_config(os.path.join(root, path))
    except UserError:
        if was and find_spec('mmdet') is None:  # of a detector
            return was
        raise
    if 'runs' in cfg:
        return None
    said = next((each for each in metafile.get('Models', ()) if each['Config'] == path), {})
    hook = (cfg.get('default_hooks') or {}).get('distillation') or {}
    row = dict(
        name=name,
        model=type_name(cfg.model.type),
        network=networks_of(cfg.model, hook.get('teacher')),
        data=(said.get('Metadata') or {}).get('Training Data') or _data_root(cfg),
        length=_length(cfg),
    )
    row.update(counter.counted(cfg, was, path))
    if 'Published' in said:
        row['published'] = said['Published']
    if ours := _ours(root, folder, name):
        row['ours'] = ours
    return row


def _variants(root: str, metafile: dict, before: dict, counter: '_Counter') -> list[dict]:
    """What the changes to a config that a metafile lists cost."""
    return [
        dict(
            name=row['Name'],
            config=given['Config'],
            options=[f'{key}={value}' for key, value in row['Options'].items()],
            **counter.counted(
                load_config(os.path.join(root, given['Config']), dict(row['Options'])),
                before.get((given['Config'], row['Name']), {}),
                f'{given["Config"]}: {row["Name"]}',
            ),
        )
        for collection in metafile.get('Collections', ())
        if (given := collection.get('Variants'))
        for row in given['Rows']
    ]


def _data_root(cfg: Config) -> str:
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return f'`{dataset.get("data_root")}`'


def _length(cfg: Config) -> str:
    train = cfg.train_cfg
    return f'{train.max_epochs}' if train.get('max_epochs') else f'{train.max_iters:,} steps'


def _ours(root: str, folder: str, name: str) -> dict | None:
    """The figure of a run of the config, if there is a JSON file of it."""
    file = os.path.join(RUNS, folder, f'{name}.json')
    content = read_json(root, file)
    if not content:
        return None
    figure = content.get('top1', content.get('AP'))
    if missing := [key for key in ORIGIN if content.get(key) is None] + (['top1 or AP'] if figure is None else []):
        raise UserError(
            f'{file} should say {", ".join(ORIGIN)} and top1 or AP of a run, and it lacks {", ".join(missing)}: take '
            f'one of the runs in the report.json of a bench.'
        )
    return dict(figure=figure, file=file)


class _Counter:
    """Counts parameters and multiply-adds, equal ones once."""

    def __init__(self, say: Callable, count: bool) -> None:
        self.say, self.count = say, count
        self._macs: dict = {}

    def counted(self, cfg: Config, was: dict, path: str) -> dict:
        """``macs``, ``plain_macs`` and ``parameters`` of a config, and ``counted_of``, what decides them."""
        hook = (cfg.get('default_hooks') or {}).get('distillation') or {}
        detects = 'roi_head' in cfg.model or 'bbox_head' in cfg.model
        decides = [cfg.model, hook.get('teacher'), hook.get('cached_crops'), cfg.get('custom_hooks')]
        decides += [cfg.train_cfg.get('max_epochs'), train_size(cfg)]
        if detects:  # the rest is MMDetection's, and may be another one's in another version
            decides = [cfg.model.backbone]
        counted_of = hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:16]
        if was.get('counted_of') == counted_of:
            return {key: was[key] for key in COUNTED}
        if not self.count:
            return dict.fromkeys(COUNTED)
        self.say(f'Counting {path}')
        if detects:
            return dict(macs=None, plain_macs=None, parameters=_detector_parameters(cfg), counted_of=counted_of)
        backbone = (cfg.model.get('nets') or [cfg.model])[0].backbone
        plain = Config(dict(model=dict(type='Classifier', backbone=backbone)))
        return dict(
            macs=self._training(cfg, cfg.model, hook),
            plain_macs=self._training(plain, plain.model, {}, train_size(cfg)),
            parameters=_parameters(MODELS.build(backbone)),
            counted_of=counted_of,
        )

    def _training(self, cfg: Config, model: dict, hook: dict, size: int | None = None) -> float:
        weights = ('checkpoint', 'load_backbone_from')  # not read
        size = size or train_size(cfg)
        key = json.dumps(
            [
                {name: value for name, value in model.items() if name not in weights},
                {name: value for name, value in hook.items() if name != 'checkpoint'},
                cfg.get('custom_hooks'),
                cfg.get('train_cfg'),
                size,
            ],
            sort_keys=True,
            default=str,
        )
        if key not in self._macs:
            if model.get('frozen_backbone') and not model.get('checkpoint'):  # which a bench names
                cfg = copy.deepcopy(cfg)
                cfg.model.checkpoint = 'not read'
            self._macs[key] = training_macs(cfg, size)
        return self._macs[key]


def _detector_parameters(cfg: Config) -> int:
    from mmdet.registry import MODELS as DETECTORS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    return _parameters(DETECTORS.build(cfg.model.backbone))


def _parameters(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
