"""Pretraining on a detector's own pictures: what is written for it, and a run of it to the end."""

import json

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as MMENGINE
from mmengine.registry import init_default_scope

from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.bench import Bench
from hsakd_mm.experiments.named_network import Network, describe
from hsakd_mm.experiments.own_images import find_parts, write_bench
from hsakd_mm.experiments.run_bench import run_bench
from hsakd_mm.registry import MODELS
from hsakd_mm.transfer.evaluators import evaluators_of
from tests.conftest import REPO

pytest.importorskip('mmdet', reason='mmdet is not installed')

SWIN = dict(window_size=2, depths=(1, 1, 1, 1), embed_dim=16, num_heads=(1, 1, 2, 2))
DETECTOR = f"""
_base_ = '{REPO}/configs/demo/faster_rcnn.py'
images = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
          dict(type='Resize', scale=(96, 96), keep_ratio=True)]
train_dataloader = dict(dataset=dict(pipeline=[*images, dict(type='PackDetInputs')]))
"""


@pytest.fixture
def teacher(tmp_path) -> str:
    """A ViT in a file of its own: the word of the command line for it."""
    torch.manual_seed(0)
    torch.save(timm.create_model('test_vit', num_classes=7).state_dict(), tmp_path / 'vit.pth')
    return f'test_vit={tmp_path / "vit.pth"}'


@pytest.fixture
def swin() -> Network:
    config = dict(type='TimmBackbone', model_name='swin_tiny_patch4_window7_224', num_classes=1000, img_size=64, **SWIN)
    return Network(config, None, {}, True, False, (16, 32, 64, 128), (4, 8, 16, 32))


@pytest.fixture
def detector(tmp_path) -> str:
    (tmp_path / 'mine.py').write_text(DETECTOR)
    return str(tmp_path / 'mine.py')


def test_a_vit_teaches_a_swin_without_labels_and_faster_rcnn_starts_from_it(
    teacher, swin, detector, demo_data, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_bench(
        describe(teacher, 64, True),
        swin,
        str(demo_data / 'scenes'),
        detector,
        64,
        3,
        [0],
        'work_dirs/own',
        'the command',
    )
    run_bench(
        Bench(file, smoke=True, options={'train_dataloader.batch_size': 8}, words=['train_dataloader.batch_size=8']),
        'the command',
        only=['HSAKD'],
    )
    folder = tmp_path / 'work_dirs' / 'own_smoke'
    student = load_checkpoint(str(folder / 'HSAKD' / 'seed0' / 'epoch_1.pth'))
    assert student['state_dict']['backbone.head.fc.weight'].shape == (7, 128)  # the teacher's classes
    report = json.loads((folder / 'detectors' / 'report.json').read_text())
    assert [run['name'] for run in report['runs']] == ['HSAKD']
    log = next((folder / 'detectors' / 'HSAKD-seed0').glob('*/*.log')).read_text()
    assert 'tensors of TimmDetBackbone loaded from' in log


def test_what_is_written_is_the_command_of_the_user(boxes, teacher) -> None:
    """Every file loads as a config; students start alike, and the detector has the data and the network."""
    for word, plain_backbone, neck in (
        ('resnet18', 'ResNet', 'FPN'),
        ('mobilenetv3_small_050', 'hsakd_mm.TimmDetBackbone', 'FPN'),
        ('test_vit', 'hsakd_mm.TimmDetBackbone', 'hsakd_mm.SimpleFeaturePyramid'),
    ):
        networks = describe(teacher, 64, True), describe(word, 64, False)
        write_bench(*networks, 'data', None, 64, 30, [0, 1], f'out/{word}', 'the command')
        cfgs = {name: Config.fromfile(f'out/{word}/{name}.py') for name in ('teacher', 'plain', 'features', 'hsakd')}
        models = {name: MODELS.build(cfg.model) for name, cfg in cfgs.items()}
        assert [model.num_classes for model in models.values()] == [7, 2, 1000, 7]
        assert {cfg.train_dataloader.dataset.type for cfg in cfgs.values()} == {'UnlabelledImages', 'BoxCrops'}
        assert [cfg.train_cfg.max_epochs for cfg in cfgs.values()] == [10, 30, 30, 30]
        det = load_config(f'out/{word}/detector.py', needs=('model',))
        assert (det.model.backbone.type, det.model.neck.type) == (plain_backbone, neck)
        assert det.train_dataloader.dataset.metainfo.classes == ('dog', 'cat')
        assert det.model.roi_head.bbox_head.num_classes == 2
        assert Bench(f'out/{word}/bench.py').seeds == [0, 1]
    write_bench(*networks, 'data', None, 64, 40, [0, 1], f'out/{word}', 'the command')  # with more epochs
    assert Config.fromfile(f'out/{word}/plain.py').train_cfg.max_epochs == 40
    with open(f'out/{word}/plain.py', 'a') as file:
        file.write('\ntrain_cfg = dict(max_epochs=7)\n')
    with pytest.raises(UserError, match='plain.py was changed after it was written.*benchmark out/test_vit/bench.py'):
        write_bench(*networks, 'data', None, 64, 30, [0, 1], f'out/{word}', 'the command')
    assert Config.fromfile(f'out/{word}/plain.py').train_cfg.max_epochs == 7


@pytest.fixture
def boxes(tmp_path, monkeypatch):
    """A COCO folder of one picture that is never read."""
    monkeypatch.chdir(tmp_path)
    content = dict(
        images=[dict(id=1, file_name='a.jpg', width=64, height=48)],
        categories=[dict(id=3, name='cat'), dict(id=1, name='dog')],
        annotations=[dict(id=1, image_id=1, category_id=3, bbox=[0, 0, 40, 40])],
    )
    for part in ('train', 'val'):
        (tmp_path / 'data' / part).mkdir(parents=True)
        (tmp_path / 'data' / f'{part}.json').write_text(json.dumps(content))


def test_a_teacher_without_a_classifier_gets_one_of_the_boxes(boxes, tmp_path) -> None:
    torch.save(timm.create_model('test_vit', num_classes=0).state_dict(), tmp_path / 'vit.pth')
    network = describe(f'test_vit={tmp_path / "vit.pth"}', 64, True)
    assert not network.has_classifier
    write_bench(network, describe('resnet18', 64, False), 'data', None, 64, 30, [0], 'out', 'the command')
    teacher = MODELS.build(Config.fromfile('out/teacher.py').model)
    assert teacher.new_head and teacher.num_classes == 2
    assert MODELS.build(Config.fromfile('out/hsakd.py').model).num_classes == 2
    assert 'got one of the categories' in Config.fromfile('out/bench.py').notes[0]


@pytest.mark.parametrize('name, rows', [('levit_128s', 7), ('caformer_s18', 7), ('resnet18', 7)])
def test_the_classes_of_a_file_are_those_of_its_last_layer(tmp_path, name, rows) -> None:
    torch.save(timm.create_model(name, num_classes=rows).state_dict(), tmp_path / 'net.pth')
    assert describe(f'{name}={tmp_path / "net.pth"}', 224, True).config['num_classes'] == rows


def test_what_projects_is_no_classifier() -> None:
    assert not describe('vit_xsmall_patch16_clip_224.tinyclip_yfcc15m', 224, True).has_classifier
    assert describe('resnet18.a1_in1k', 64, True).has_classifier


RTMDET = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
DETECTORS = {RTMDET: (1, 2, 3), 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py': None}


@pytest.mark.parametrize('base', DETECTORS)
def test_a_detector_of_ones_own_gets_as_many_maps_as_it_takes(boxes, teacher, tmp_path, base) -> None:
    parts = ', '.join(
        f"{part}_dataloader=dict(dataset=dict(ann_file='{part}.json', data_prefix=dict(img='{part}/')))"
        for part in ('train', 'val')
    )
    (tmp_path / 'mine.py').write_text(f"_base_ = '{base}'\n" + parts.replace('), val', ')\nval'))
    networks = describe(teacher, 64, True), describe('regnetx_002', 64, False)
    write_bench(*networks, 'data', 'mine.py', 64, 30, [0], 'out', 'the command')
    model = load_config('out/detector.py', needs=('model',)).model
    assert model.backbone.get('out_indices') == DETECTORS[base]
    model.backbone.init_cfg = None
    init_default_scope('mmdet')
    net = MMENGINE.build(model)
    levels = net.extract_feat(torch.zeros(1, 3, 128, 128))
    assert [128 // level.shape[2] for level in levels] == ([8, 16, 32] if base == RTMDET else [4, 8, 16, 32, 64])


PARTS = """
_data = dict(type='CocoDataset', data_root='old/', ann_file='{part}.json', data_prefix=dict(img='{part}/'), pipeline=[])
{part}_dataloader = dict(dataset={dataset})
"""
EVALUATORS = {
    'one': "dict(type='CocoMetric', metric='bbox', ann_file='old.json')",
    'a list': "[dict(type='CocoMetric', ann_file='old.json'), dict(type='DumpDetResults', out_file_path='a.pkl')]",
    'an Evaluator': "dict(_delete_=True, type='Evaluator', metrics=[dict(type='CocoMetric', ann_file='old.json')])",
}


def write_detector(path, train: str, evaluator: str) -> None:
    parts = {
        part: PARTS.format(part=part, dataset=f'dict(_delete_=True, {dataset})')
        for part, dataset in (('train', train), ('val', '**_data'))
    }
    text = f"_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'\n{''.join(parts.values())}"
    path.write_text(f'{text}val_evaluator = {evaluator}\n')


@pytest.mark.parametrize('evaluator', EVALUATORS)
@pytest.mark.parametrize(
    'dataset, depth',
    [
        ('**_data', 0),
        ("type='RepeatDataset', times=3, dataset=_data", 1),
        ("type='MultiImageMixDataset', dataset=dict(type='RepeatDataset', times=3, dataset=_data), pipeline=[]", 2),
    ],
)
def test_data_inside_of_wrappers_is_replaced_there(boxes, teacher, tmp_path, dataset, depth, evaluator) -> None:
    write_detector(tmp_path / 'mine.py', dataset, EVALUATORS[evaluator])
    networks = describe(teacher, 64, True), describe('resnet18', 64, False)
    write_bench(*networks, 'data', 'mine.py', 64, 30, [0], 'out', 'the command')
    cfg = load_config('out/detector.py', needs=('model',))
    found = cfg.train_dataloader.dataset
    for _ in range(depth):
        assert not {'data_root', 'ann_file', 'data_prefix'} & set(found)
        found = found.dataset
    assert (found.type, found.data_root, found.ann_file) == ('CocoDataset', f'{tmp_path}/data/', 'train.json')
    metrics = evaluators_of(cfg, 'val')
    assert [metric.get('ann_file') for metric in metrics if metric.type == 'CocoMetric'] == [
        f'{tmp_path}/data/val.json'
    ]
    assert ['ann_file' in metric for metric in metrics] == [True, *[False] * (evaluator == 'a list')]


def test_a_detector_of_several_data_sets_is_refused(boxes, teacher, tmp_path) -> None:
    several = "type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[_data, _data])"
    write_detector(tmp_path / 'mine.py', several, EVALUATORS['one'])
    networks = describe(teacher, 64, True), describe('resnet18', 64, False)
    with pytest.raises(UserError, match=r'reads one data set was expected.*mine\.py has ConcatDataset of 2: name'):
        write_bench(*networks, 'data', 'mine.py', 64, 30, [0], 'out', 'the command')


@pytest.mark.parametrize(
    'student, base, said',
    [
        ('efficientvit_m0', None, 'needs maps at the strides 4, 8, 16, 32.*has them at 16, 32, 64'),
        ('mixer_s32_224', None, "images differ in size, and 'mixer_s32_224' takes 224 x 224 pixels alone"),
        ('test_vit', RTMDET, 'has maps of one stride.*the neck of mine.py is CSPNeXtPAFPN of 3 maps'),
    ],
)
def test_students_that_cannot_serve_the_detector_are_refused_before_they_are_trained(
    boxes, teacher, tmp_path, student, base, said
) -> None:
    if base:
        (tmp_path / 'mine.py').write_text(
            f"_base_ = '{base}'\n"
            "train_dataloader = dict(dataset=dict(ann_file='train.json', data_prefix=dict(img='train/')))\n"
            "val_dataloader = dict(dataset=dict(ann_file='val.json', data_prefix=dict(img='val/')))\n"
        )
    networks = describe(teacher, 224, True), describe(student, 224, False)
    with pytest.raises(UserError, match=said):
        write_bench(*networks, 'data', 'mine.py' if base else None, 224, 30, [0], 'out', 'the command')


@pytest.mark.parametrize(
    'call, said',
    [
        (lambda: describe('nf_resnet26', 64, True), 'timm has none under'),
        (lambda: describe('resnet18=a.pth', 64, False), 'a student is pretrained from random weights'),
        (lambda: describe('resnet81', 64, False), 'did you mean resnet18'),
        (lambda: describe('resnet18=gone.pth', 64, True), 'gone.pth'),
        (lambda: find_parts('nowhere', None), 'annotations for training and validation were expected in nowhere'),
    ],
)
def test_mistakes(call, said) -> None:
    with pytest.raises(UserError, match=said):
        call()
