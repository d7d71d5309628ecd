"""The model zoo lists every config, is what configs and metafiles say, and its costs are counted again for a few."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from hsakd_mm.errors import UserError
from hsakd_mm.experiments import model_zoo
from hsakd_mm.experiments.model_zoo import collect, write_zoo, zoo_differences
from hsakd_mm.files import read_json
from hsakd_mm.reports.network_names import networks_of
from hsakd_mm.reports.published import differences, write_published
from tests.configs.catalog import FOLDERS
from tests.conftest import REPO

ZOO = read_json(REPO, 'docs/zoo.json')
TINY = ('baselines/cifar100_r20', 'baselines/cifar100_kd_r56_r20', 'rskd/cifar100_rskd_r20')


def listed() -> dict:
    return {f'{folder["name"]}/{row["name"]}': row for folder in ZOO['folders'] for row in folder['rows']}


def test_it_is_what_configs_and_metafiles_say() -> None:
    assert list(map(str, zoo_differences(str(REPO)))) == []


def test_every_config_is_listed_once() -> None:
    there = [f'configs/{name}.py' for name in listed()]
    there += [bench['file'] for folder in ZOO['folders'] for bench in folder['benches']]
    folders = [folder for folder in FOLDERS if folder.name != '_base_']
    assert sorted(there) == sorted(
        str(path.relative_to(REPO)) for folder in folders for path in folder.rglob('[!_]*.py')
    )
    page = (REPO / 'docs/zoo.md').read_text()
    for folder in ZOO['folders']:
        assert f'\n## {folder["name"]}\n' in page


def test_parameters_are_those_of_the_metafiles() -> None:
    for folder in FOLDERS:
        if (folder / 'metafile.yml').exists():
            for model in yaml.safe_load((folder / 'metafile.yml').read_text())['Models']:
                row = listed()[f'{folder.name}/{Path(model["Config"]).stem}']
                assert row['parameters'] == model.get('Metadata', {}).get('Parameters', row['parameters'])
                assert row.get('published') == model.get('Published')


@pytest.fixture
def small(tmp_path) -> Path:
    """A repository with three configs of two folders."""
    shutil.copytree(REPO / 'configs/_base_', tmp_path / 'configs/_base_')
    for name in TINY:
        folder = tmp_path / 'configs' / name.partition('/')[0]
        folder.mkdir(exist_ok=True)
        for path in [REPO / f'configs/{name}.py', *(REPO / 'configs' / folder.name).glob('_*.py')]:
            shutil.copy(path, folder)
    for folder in ('baselines', 'rskd'):
        content = yaml.safe_load((REPO / f'configs/{folder}/metafile.yml').read_text())
        content['Models'] = [each for each in content['Models'] if f'{folder}/{each["Name"]}' in TINY]
        (tmp_path / f'configs/{folder}/metafile.yml').write_text(yaml.safe_dump(content, sort_keys=False))
    (tmp_path / 'model-index.yml').write_text('Import: [configs/baselines/metafile.yml, configs/rskd/metafile.yml]\n')
    (tmp_path / 'docs').mkdir()
    return tmp_path


def test_costs_are_those_of_todays_code(small) -> None:
    counted = collect(str(small), {})
    assert [folder['name'] for folder in counted['folders']] == ['baselines', 'rskd']
    for folder in counted['folders']:
        for row in folder['rows']:
            assert row == listed()[f'{folder["name"]}/{row["name"]}']


def test_only_what_changed_is_counted(small, monkeypatch) -> None:
    wanted = {name: row for name, row in listed().items() if name in TINY}
    known = dict(folders=[dict(name=name.partition('/')[0], rows=[row]) for name, row in wanted.items()])
    (small / 'docs/zoo.json').write_text(json.dumps(known))
    monkeypatch.setattr(model_zoo, 'training_macs', lambda cfg, size: 7.0)
    said = []
    write_zoo(str(small), said.append)
    assert not said and zoo_differences(str(small)) == []
    write_published(str(small))
    assert differences(str(small)) == []
    page = (small / 'docs/zoo.md').read_text()
    assert (
        '| [`cifar100_r20`](../configs/baselines/cifar100_r20.py) | Classifier | ResNet-20 | CIFAR-100 | 240 |' in page
    )
    assert (
        '| 69.62 (b) | not run |' in page
        and '(b) winycg/HSAKD, slides p. 22, S.' in page
        and 'ResNet-56 → ResNet-20' in page
    )

    config = small / 'configs/baselines/cifar100_r20.py'
    config.write_text(config.read_text().replace('depth=20', 'depth=8'))
    (found,) = zoo_differences(str(small))
    assert 'docs/zoo.json' in str(found) and 'python tools/publish.py' in str(found)
    write_zoo(str(small), said.append)
    assert said == ['Counting configs/baselines/cifar100_r20.py'] and zoo_differences(str(small)) == []
    write_published(str(small))
    assert '| ResNet-8 |' in (small / 'docs/zoo.md').read_text()


def test_a_run_of_a_config_is_shown(small, monkeypatch) -> None:
    monkeypatch.setattr(model_zoo, 'training_macs', lambda cfg, size: 7.0)
    file = small / 'docs/runs/rskd/cifar100_rskd_r20.json'
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(dict(top1=70.123, command='python', commit='1234567', seed=0)))
    with pytest.raises(UserError, match=r'docs/runs/rskd/cifar100_rskd_r20.json .* lacks hardware'):
        write_zoo(str(small))
    file.write_text(json.dumps(dict(top1=70.123, command='python', commit='1234567', seed=0, hardware='a CPU')))
    write_zoo(str(small), lambda line: None)
    write_published(str(small))
    assert '| [70.12](runs/rskd/cifar100_rskd_r20.json) |' in (small / 'docs/zoo.md').read_text()


def test_names_of_networks() -> None:
    r8x4 = dict(type='CifarResNet', depth=8, width=(32, 64, 128, 256))
    narrow = dict(type='TimmBackbone', model_name='resnet18', channels=(16, 32, 64, 128))
    assert networks_of(dict(backbone=r8x4), dict(backbone=narrow)) == 'resnet18 (16-32-64-128) → ResNet-8×4'
    pair = [dict(backbone=dict(type='CifarResNet', depth=depth, block='bottleneck')) for depth in (110, 56)]
    assert networks_of(dict(nets=pair)) == 'ResNet-110 (bottleneck), ResNet-56 (bottleneck)'
    assert networks_of(dict(nets=[dict(backbone=dict(type='VGG', depth=13))] * 2)) == '2 × VGG13'
    assert networks_of(dict(backbone=dict(type='ShuffleNetV1'))) == 'ShuffleNetV1'


def test_variants_are_cheaper_than_their_config() -> None:
    paper, *others = ZOO['variants']
    row = listed()['hsakd/imagenet_r34_r18']
    assert paper['options'] == [] and paper['macs'] == row['macs'] and paper['plain_macs'] == row['plain_macs']
    costs = [each['macs'] for each in (paper, *others)]
    assert costs == sorted(costs, reverse=True) and len(set(costs)) == len(costs)
