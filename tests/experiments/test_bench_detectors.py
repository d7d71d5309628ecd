"""From a bench's backbones to detectors, and the plan of the benchmark that ships with the project."""

import importlib.util
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope

from hsakd_mm.checkpoints.backbone_file import read_backbone
from hsakd_mm.checkpoints.export import export_all
from hsakd_mm.errors import UserError
from hsakd_mm.experiments import bench_detectors
from hsakd_mm.experiments.bench import Bench
from hsakd_mm.experiments.bench_detectors import (
    backbone_file,
    check_detector,
    detector_seeds,
    folder_sha256,
    plan_detectors,
)
from hsakd_mm.experiments.pretraining import collect
from hsakd_mm.experiments.run_bench import run_bench
from hsakd_mm.experiments.schedule import run_all
from hsakd_mm.files import sha256
from hsakd_mm.registry import MODELS
from tests.conftest import REPO
from tests.undrawn import undrawn

needs_mmdet = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason='mmdet is not installed')
VEHICLES = REPO / 'configs' / 'bench' / 'vehicles'
CONFIG = """
_base_ = '{demo}/plain.py'
net = dict(type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(16, 32, 64, 128))
model = dict(_delete_=True, data_preprocessor=_base_.data_preprocessor, type='{type}', {nets})
train_cfg = dict(max_epochs=1)
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(indices=64))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(indices=8))
"""
BENCH = """
seeds = [0]
runs = [
    dict(name='plain', config='plain.py', options={'train_cfg.max_epochs': 1}),
    dict(name='DML', config='dml.py', metric='accuracy/net1_top1'),
]
detector = dict(config='detector.py', seeds=[3, 4])
pairs = [('DML', 'plain')]
"""


@pytest.fixture
def digits(demo_data, tmp_path, monkeypatch) -> Path:
    """A folder, now the current one, with a bench of two runs on the demo's digits."""
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'demo').symlink_to(demo_data)
    demo, folder = REPO / 'configs' / 'demo', tmp_path / 'digits'
    folder.mkdir()
    for name, kind, nets in (('plain', 'Classifier', 'backbone=net'), ('dml', 'DML', 'nets=[dict(backbone=net)] * 2')):
        (folder / f'{name}.py').write_text(CONFIG.format(demo=demo, type=kind, nets=nets))
    (folder / 'bench.py').write_text(BENCH)
    (folder / 'detector.py').write_text(f"_base_ = '{demo}/faster_rcnn.py'\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pretrain(plan: Bench, seeds=()) -> None:
    assert run_all(plan.selected(seeds=seeds)) == []


@needs_mmdet
def test_every_row_and_random_start_a_detector(digits, monkeypatch) -> None:
    plan = Bench('digits/bench.py')
    with pytest.raises(UserError, match="'plane' is none"):
        run_bench(plan, 'test', ['random', 'plane'])
    assert [run.name for run in plan_detectors(plan, only=['random']).runs] == ['random'] * 2
    with pytest.raises(UserError, match='finished pretraining of any row .* none matches the current configs'):
        plan_detectors(plan)
    with pytest.raises(UserError, match='finished pretraining of plain .* none matches the current configs'):
        plan_detectors(plan, only=['plain'])
    check_detector(plan)
    pretrain(plan)
    monkeypatch.setattr(bench_detectors, 'weak_teachers', lambda results: [run['name'] for run in results])
    made = plan_detectors(plan)
    assert made.warnings == ['plain', 'DML']  # what is done was looked at
    assert [(run.name, run.seed) for run in made.runs] == [
        (name, seed) for seed in (3, 4) for name in ('random', 'plain', 'DML')
    ]
    assert made.pairs == [('DML', 'plain')]
    assert made.baseline == 'plain' and made.work_dir == 'work_dirs/digits/detectors'
    made.check()  # the weights fit, the data are there
    starts = {run.name: run for run in made.runs[:3]}
    assert starts['random'].cost is None and starts['plain'].cost['macs'] > 0 == starts['plain'].cost['teachers_macs']
    assert starts['random'].top1 is None and 0 <= starts['plain'].top1 <= 100
    said = starts['DML'].source.backbone.metadata
    assert (said['method'], said['network']) == ('DML', 'net1')
    again = {run.name: run.config_sha256 for run in plan_detectors(plan, [3]).runs}
    assert again['DML'] == starts['DML'].config_sha256  # what is done then is done now


@needs_mmdet
def test_two_bench_files_with_different_detectors_share_their_pretraining(digits) -> None:
    plan = Bench('digits/bench.py')
    pretrain(plan)
    text = BENCH.replace("config='detector.py'", "config='detector.py', folder='others', title='Others'")
    assert text != BENCH
    (digits / 'digits' / 'others.py').write_text(text)
    first, second = plan_detectors(plan), plan_detectors(Bench('digits/others.py'))
    assert (first.work_dir, second.work_dir) == ('work_dirs/digits/detectors', 'work_dirs/digits/others')
    assert second.title == 'Others' and len(second.runs) == len(first.runs)

    (digits / 'digits' / 'others.py').write_text(text.replace('folder=', 'foldr='))
    with pytest.raises(UserError, match='detector of .*others.py sets foldr, .* folder'):
        Bench('digits/others.py')
    for folder in ('', '../others', 'plain'):  # the work directory, outside of it, a run's
        (digits / 'digits' / 'others.py').write_text(text.replace("folder='others'", f'folder={folder!r}'))
        with pytest.raises(UserError, match='none of its runs'):
            Bench('digits/others.py')


@needs_mmdet
def test_each_detector_starts_from_the_pretraining_of_its_seed(digits, refusal) -> None:
    file = digits / 'digits' / 'bench.py'
    file.write_text(BENCH.replace('seeds = [0]', 'seeds = [3, 4]'))
    plan = Bench('digits/bench.py')
    assert 'of its seed, 3, 4, and seed 5 was wanted' in refusal('benchmark.py', 'digits/bench.py', '--seeds', 3, 5)
    pretrain(plan, seeds=[4])
    assert 'pretraining of DML with seed 3, 4 was' in refusal(
        'benchmark.py', 'digits/bench.py', '--no-pretraining', '--only', 'DML'
    )
    assert [run.name for run in plan_detectors(plan, [4]).runs] == ['random', 'plain', 'DML']
    pretrain(plan)
    made = plan_detectors(plan)
    made.check()
    top1 = {(of['name'], of['seed']): of['top1'] for of in collect(plan.runs)}
    started = [run for run in made.runs if run.name != 'random']
    for run in started:
        assert run.source.backbone.path.startswith(f'work_dirs/digits/{run.name}/seed{run.seed}/')
        assert run.top1 == top1[run.name, run.seed]
    assert len({run.source.backbone.sha256 for run in started}) == len(started) == 4
    assert sum('seed3' in note or 'seed4' in note for note in made.origins['DML']) == 2


@needs_mmdet
def test_the_detectors_data_is_missed_before_the_pretraining(digits) -> None:
    (digits / 'data' / 'demo').unlink()
    with pytest.raises(UserError, match='data/demo'):
        check_detector(Bench('digits/bench.py'))


def test_detectors_alone_need_a_detector(digits, refusal) -> None:
    file = digits / 'digits' / 'bench.py'
    file.write_text(BENCH.replace('detector = ', '_other = ').replace('pairs = ', '_pairs = '))
    assert 'names none: leave it out' in refusal('benchmark.py', 'digits/bench.py', '--no-pretraining')


def test_a_folders_sum_changes_with_names_and_contents(tmp_path) -> None:
    sums = set()
    for name, content in (('a', 'x'), ('a', 'y'), ('b', 'y')):
        folder = tmp_path / str(len(sums))
        (folder / 'inside').mkdir(parents=True)
        (folder / 'inside' / name).write_text(content)
        sums.add(folder_sha256(str(folder)))
    assert len(sums) == 3 and folder_sha256(str(tmp_path / '2')) in sums


@pytest.mark.parametrize('scale, width', [('gpu', 512), ('cpu', 256)])
def test_the_plan_that_ships(scale, width) -> None:
    """Of every run the networks have the data's classes and the scale's width, in teachers and
    pairs too."""
    plan = Bench(str(VEHICLES / f'{scale}.py'))
    assert plan.baseline in {run.name for run in plan.runs if run.row}
    assert detector_seeds(plan) == [0, 1, 2]
    assert [run.seed for run in plan.runs if not run.row] == [0] * 4  # teachers, for all seeds
    init_default_scope('hsakd_mm')
    for run in (run for run in plan.runs if run.seed == 0):
        models = [run.cfg.model]
        if 'distillation' in run.cfg.default_hooks:
            models.append(run.cfg.default_hooks.distillation.teacher)
            assert 'default_hooks.distillation.checkpoint' in run.needs_by_option
        for model in models:
            model.pop('checkpoint', None)
            model.pop('frozen_backbone', None)
            with undrawn():
                built = MODELS.build(model)
            for backbone in built.backbones:
                assert backbone.channels[-1] == width
                assert backbone.num_classes in (47, 3 * 47)  # CSS: for each branch
        assert len(run.cfg.train_dataloader.dataset.metainfo.classes) == 47


@needs_mmdet
@pytest.mark.parametrize('scale, channels', [('gpu', (64, 128, 256, 512)), ('cpu', (32, 64, 128, 256))])
def test_the_detector_takes_the_students(scale, channels, tmp_path) -> None:
    from hsakd_mm.experiments.detector_run import DetectorRun
    from tests.trained_backbones import write_checkpoint

    plan = Bench(str(VEHICLES / f'{scale}.py'))
    checkpoint = tmp_path / 'epoch_1.pth'
    write_checkpoint(checkpoint, channels)
    run = DetectorRun(str(checkpoint), str(VEHICLES / plan.detector['config']), work_dir=str(tmp_path / 'run'))
    run.check_fit()
    assert run.parameters == read_backbone(run.source.backbone.path).parameters
    # As a start from random weights is: rows differ in nothing but their start.
    assert run.frozen.startswith('Frozen: none') and 'of 0 of' in run.frozen


def test_an_export_of_the_first_of_two_networks_stays(tmp_path) -> None:
    path, kept = tmp_path / 'seed0' / 'epoch_3.pth', tmp_path / 'detectors'
    path.parent.mkdir()
    net = dict(backbone=dict(type='CifarResNet', depth=8, num_classes=10))
    model = MODELS.build(dict(type='DML', nets=[net, net]))
    preprocessor = dict(type='ImagePreprocessor', mean=[1.0] * 3, std=[2.0] * 3)
    cfg = f'model = dict(type="DML", nets={[net, net]!r}, data_preprocessor={preprocessor!r})'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=cfg, epoch=3)), path)
    start = backbone_file(str(path), str(kept))
    assert start == str(path.parent / 'epoch_3_net1_backbone.pth') and not kept.exists()
    digest = sha256(start)
    exports = export_all(str(path), with_head=True)  # by the user, under the same names
    assert sha256(backbone_file(str(path), str(kept))) == digest and len(list(kept.iterdir())) == 2
    assert [sha256(export.pth) for export in exports] == [export.pth_sha256 for export in exports]
