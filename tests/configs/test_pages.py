"""Every config stands in its folder's metafile and README, and what stands there is so."""

import re
from pathlib import Path

import pytest
import yaml

from hsakd_mm.registry import MODELS
from tests.configs.catalog import FOLDERS, METHODS, REPO, backbone_configs, leaves, load, work_dir

INDEX = yaml.safe_load((REPO / 'model-index.yml').read_text())['Import']
WITH_METAFILE = [folder for folder in FOLDERS if (folder / 'metafile.yml').exists()]


DATA = {
    'data/cifar100': 'CIFAR-100',
    'data/imagenet': 'ImageNet-1k',
    'data/cub200': 'CUB-200-2011',
    'data/stanford_cars': 'StanfordCars',
    'data/stanford_dogs': 'StanfordDogs',
    'data/unlabelled': 'Unlabelled images',
    'data/own': 'your own',
}


def metafile(folder: Path) -> dict:
    return yaml.safe_load((folder / 'metafile.yml').read_text())


def by_folder(folders: list):
    return pytest.mark.parametrize('folder', folders, ids=lambda folder: folder.name)


def test_model_index_imports_every_metafile() -> None:
    assert sorted(INDEX) == [f'configs/{folder.name}/metafile.yml' for folder in WITH_METAFILE]


def test_names_are_unique() -> None:
    names = [model['Name'] for folder in WITH_METAFILE for model in metafile(folder)['Models']]
    assert len(set(names)) == len(names)


@by_folder(WITH_METAFILE)
def test_metafile_lists_what_there_is(folder) -> None:
    content = metafile(folder)
    listed = [model['Config'] for model in content['Models']]
    assert sorted(listed) == [str(path.relative_to(REPO)) for path in leaves(folder)]
    collections = {collection['Name'] for collection in content['Collections']}
    assert {model['In Collection'] for model in content['Models']} == collections
    for collection in content['Collections']:
        assert (REPO / collection['README']).parent == folder
        assert (REPO / collection['README']).is_file()


@by_folder(METHODS)
def test_metafile_says_what_configs_say(folder) -> None:
    parameters = {}
    for model in metafile(folder)['Models']:
        name = model['Config'].removeprefix('configs/').removesuffix('.py')
        cfg, said = load(name), model['Metadata']
        assert model['Name'] == Path(work_dir(name)).name
        assert said['Epochs'] == cfg.train_cfg.max_epochs
        assert said['Batch Size'] == cfg.auto_scale_lr.base_batch_size
        assert said['Training Data'] == DATA[cfg.train_dataloader.dataset.data_root]
        backbone = backbone_configs(cfg)[0]
        if str(backbone) not in parameters:
            parameters[str(backbone)] = sum(weight.numel() for weight in MODELS.build(backbone).parameters())
        assert said['Parameters'] == parameters[str(backbone)]


@by_folder(WITH_METAFILE)
def test_readme_names_every_config(folder) -> None:
    text = (folder / 'README.md').read_text()
    for path in leaves(folder):
        assert f'`{path.name}`' in text or f'`{path.relative_to(REPO)}`' in text, path.name


@by_folder(WITH_METAFILE)
def test_readme_names_only_what_exists(folder) -> None:
    text = (folder / 'README.md').read_text()
    here = re.findall(r'`([\w.-]+\.py)`', text)
    for name in here:
        if re.match(r'(cifar100|imagenet|unlabelled|own)_', name):
            assert (folder / name).is_file(), name
    for path in re.findall(r'\b(?:configs|tools)/[\w./-]+\.(?:py|sh|md)', text):
        assert (REPO / path).is_file(), path
    for link in re.findall(r'\]\((?!https?:)([^)#]+)\)', text):
        assert (folder / link).exists(), link


@by_folder([REPO / 'configs' / 'hsakd'])
def test_ablation_lines_are_switches(folder) -> None:
    text = (folder / 'README.md').read_text()
    switches = set(re.findall(r'model\.(\w+)=[01]\b', text))
    assert switches == {'kl_rotated', 'kl_unrotated', 'ce_branches'}
    model = load('hsakd/cifar100_wrn40_2_joint_wrn16_2').model
    assert switches <= set(model)
