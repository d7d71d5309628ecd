"""The pages of the methods say what the code does: losses by name, switches with their defaults, configs that exist."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config

import hsakd_mm.models.distillers  # noqa: F401
from hsakd_mm.evaluation.training_cost import build_with_teacher
from hsakd_mm.models.distillers.base import BaseDistiller
from hsakd_mm.registry import MODELS
from tests.configs.catalog import CONFIGS, REPO, load
from tests.models.test_crd import Images

FOLDER = REPO / 'docs/methods'
PAGES = [path for path in sorted(FOLDER.glob('*.md')) if path.stem != 'index']
SMALL = dict(type='CifarResNet', depth=8, num_classes=5)
# Commands of LaTeX that GitHub and the site's converter show alike, as was seen.
COMMANDS = {
    *('alpha', 'bar', 'beta', 'cdot', 'cos', 'dots', 'exp', 'frac', 'in', 'lambda', 'left', 'log', 'mathcal', 'mathrm'),
    *('neq', 'parallel', 'quad', 'right', 'sigma', 'sum', 'tau'),
}


def each(things):
    return pytest.mark.parametrize('page', things, ids=lambda path: path.stem)


def switches(page: Path) -> dict:
    """By class: the rows of its table, switch and default."""
    parts = re.split(r'^## Switches of `(\w+)`\n', page.read_text(), flags=re.MULTILINE)
    return {
        name: dict(re.findall(r'^\| `(\w+)` \| (.+?) \|', rest.partition('\n## ')[0], re.MULTILINE))
        for name, rest in zip(parts[1::2], parts[2::2])
    }


def signature(method: type) -> dict:
    """The parameters of a class and of those that it passes others on to; its own come first."""
    found: dict = {}
    for each in method.__mro__:
        if issubclass(each, BaseDistiller) and '__init__' in each.__dict__:
            for name, parameter in inspect.signature(each).parameters.items():
                found.setdefault(name, parameter)
    return found


def own_switches(method: type) -> set:
    parameters = inspect.signature(method.__dict__['__init__']).parameters.values()
    return {
        each.name
        for each in parameters
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and each.name not in ('self', 'data_preprocessor', 'backbone')
    }


def test_every_method_has_its_page() -> None:
    used = {load(name).model.type for name in CONFIGS}
    used = {name for name in used if issubclass(MODELS.get(name), BaseDistiller)}
    described = [name for page in PAGES for name in switches(page)]
    assert sorted(described) == sorted(set(described)), 'one page describes a class'
    assert used == set(described)


def test_the_index_names_every_page() -> None:
    named = set(re.findall(r'\]\((\w+)\.md\)', (FOLDER / 'index.md').read_text()))
    assert {page.stem for page in PAGES} <= named
    for path in (REPO / 'configs').glob('*/metafile.yml'):
        for collection in yaml.safe_load(path.read_text())['Collections']:
            if method := collection.get('Method'):
                assert (REPO / method['Page']).is_file() and (REPO / method['Cost Of']).is_file()


def test_the_index_says_who_refuses_mixed_images() -> None:
    (said,) = re.findall(r'^  (`.*) refuse mixed images', (FOLDER / 'index.md').read_text(), re.MULTILINE)
    described = {name for page in PAGES for name in switches(page)}
    refuse = {name for name in described if not MODELS.get(name).takes_soft_labels}
    assert set(re.findall(r'`(\w+)`', said)) == refuse


@each(PAGES)
def test_defaults(page) -> None:
    for name, rows in switches(page).items():
        known = signature(MODELS.get(name))
        for switch, said in rows.items():
            default = known[switch].default
            if said == 'required':
                assert default is inspect.Parameter.empty, f'{name}.{switch}'
            else:
                value = ast.literal_eval(said.strip('`'))
                assert (type(value), value) == (type(default), default), f'{name}.{switch}'
        if '__init__' in MODELS.get(name).__dict__:
            assert own_switches(MODELS.get(name)) <= set(rows), name


def models_of(page: Path) -> list:
    """What the configs of a page's classes train, each different one once, with small networks.

    Where the page says that a loss is there with a switch, as in ``loss_kd``, with ``kd_weight``, the switch is 1.
    """
    switched = re.findall(r'`loss_\w+`[^|`]* with `(\w+)`', page.read_text())
    models: dict = {}
    for name in CONFIGS:
        cfg = load(name)
        if cfg.model.type in switches(page):
            hook = cfg.default_hooks.get('distillation')
            for model in [cfg.model, *([hook.teacher] if hook else [])]:
                model.data_preprocessor = None
                for owner in model.get('nets') or [model]:
                    owner.backbone = dict(SMALL)
            if 'teacher_features' in cfg.model:
                cfg.model.teacher_features = 64
            known = signature(MODELS.get(cfg.model.type))
            cfg.model.update({switch: 1.0 for switch in switched if switch in known})
            small = Config(dict(model=cfg.model, default_hooks=dict(distillation=hook) if hook else {}))
            models[str(small)] = small
    return list(models.values())


def losses_of(cfg: Config) -> set:
    """The names of the losses of a step, a number in a name as #."""
    torch.manual_seed(0)
    model = build_with_teacher(cfg)
    if hasattr(model, 'attach_dataset'):
        model.attach_dataset(Images([0, 3, 1, 1, 0, 4, 3, 0, 1, 2]))
    images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 3, 1, 1])
    returned = model(images, labels, mode='loss', indices=torch.arange(4))
    return {re.sub(r'\d+', '#', key) for key in returned if 'loss' in key}


@each(PAGES)
def test_losses_are_those_that_are_returned(page) -> None:
    named = {re.sub(r'\d+', '#', key) for key in re.findall(r'`(loss_\w+)`', page.read_text())}
    assert named == set().union(*map(losses_of, models_of(page)))


@each([*PAGES, FOLDER / 'index.md'])
def test_what_a_page_names_exists(page) -> None:
    text = page.read_text()
    for link in re.findall(r'\]\((?!https?:)([^)]+)\)', text):
        path, _, anchor = link.partition('#')
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            titles = re.findall(r'^#+ (.*)$', target.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r'[^\w -]', '', title).lower().replace(' ', '-') for title in titles], link
    named = re.findall(r'hsakd_mm::([\w/]+\.py)', text)
    assert named or page.stem == 'index'
    for config in named:
        assert (REPO / 'configs' / config).is_file(), config
    code = ' '.join(path.read_text() for path in (REPO / 'hsakd_mm').rglob('*.py'))
    for name in re.findall(r'^\|.*\| .*?`([\w.]+)`.* \|$', text.partition('## Switches')[0], re.MULTILINE):
        last = name.rpartition('.')[2]
        assert re.search(rf'\b(def|class) {last}\b|\b{last}\b', code), name


@each(PAGES)
def test_configs_on_a_page_train(page, tmp_path) -> None:
    """Each is a file of one's own, inherited by name; its networks take a step, from random weights."""
    torch.set_num_threads(1)
    (text,) = re.findall(r'^```python\n(.*?)^```', page.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / 'mine.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    torch.manual_seed(0)
    model = build_with_teacher(cfg)
    classes = model.num_classes
    if hasattr(model, 'attach_dataset'):
        model.attach_dataset(Images([index % classes for index in range(1000)]))
    labels = torch.arange(4) % classes
    losses = model(torch.randn(4, 3, 64, 64), labels, mode='loss', indices=torch.arange(4))
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    assert torch.isfinite(total)


def formulas(page: Path) -> list:
    text = re.sub(r'^```.*?^```|`[^`\n]*`', '', page.read_text(), flags=re.MULTILINE | re.DOTALL)
    display = re.findall(r'^\$\$\n(.*?)\n\$\$$', text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r'^\$\$\n.*?\n\$\$$', '', text, flags=re.MULTILINE | re.DOTALL)
    assert rest.count('$') % 2 == 0
    return display + re.findall(r'\$([^$]+)\$', rest)


@each([*PAGES, FOLDER / 'index.md'])
def test_formulas_are_shown_alike_on_github_and_on_the_site(page) -> None:
    for formula in formulas(page):
        assert not re.search(r'\\[^a-zA-Z]|[*<>&|]', formula), formula  # which Markdown may take for itself
        assert set(re.findall(r'\\([a-zA-Z]+)', formula)) <= COMMANDS, formula


@each([*PAGES, FOLDER / 'index.md'])
def test_formulas_become_mathml(page) -> None:
    converter = pytest.importorskip('latex2mathml.converter', reason='latex2mathml, of the site, is not installed')
    for formula in formulas(page):
        made = converter.convert(formula)
        assert '\\' not in made and '<math' in made, formula
