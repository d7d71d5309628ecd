"""What MMDetection's XMLDataset would trip over is refused before training, and its lists are mended."""

from pathlib import Path

import pytest
from mmengine.config import Config

from hsakd_mm.errors import UserError
from hsakd_mm.transfer.data_files import check_data

from .tiny_detection import CLASSES, SIZE, write_image

pytest.importorskip('mmdet.models', reason='mmdet is not installed')

THING = (
    '<object><name>{}</name><difficult>0</difficult><bndbox><xmin>5</xmin><ymin>5</ymin>'
    '<xmax>30</xmax><ymax>20</ymax></bndbox></object>'
)
SIZED = '<size><width>80</width><height>40</height></size>'
XML = f'<annotation>{SIZED}{THING.format("cat")}{THING.format("dog")}</annotation>'


@pytest.fixture
def voc(tmp_path) -> Config:
    loaders = {}
    for part, names in (('train', ('1', '2')), ('val', ('11', 'a photo 1'))):
        root = tmp_path / part
        for folder in ('JPEGImages', 'Annotations'):
            (root / folder).mkdir(parents=True)
        for name in names:
            write_image(root / 'JPEGImages' / f'{name}.jpg', SIZE)
            (root / 'Annotations' / f'{name}.xml').write_text(XML)
        (root / 'list.txt').write_text('\n'.join(names))
        loaders[f'{part}_dataloader'] = dict(
            dataset=dict(
                type='VOCDataset',
                data_root=f'{root}/',
                ann_file='list.txt',
                data_prefix=dict(sub_data_root=''),
                metainfo=dict(classes=CLASSES),
                test_mode=part == 'val',
                pipeline=[dict(type='Resize', scale=SIZE), dict(type='LoadAnnotations')],
            )
        )
    return Config(
        dict(
            default_scope='mmdet',
            model=dict(roi_head=dict(bbox_head=dict(num_classes=2))),
            val_evaluator=dict(type='VOCMetric'),
            **loaders,
        )
    )


def loaded(cfg, part: str) -> list:
    from mmdet.registry import DATASETS

    dataset = DATASETS.build(dict(cfg[f'{part}_dataloader'].dataset, pipeline=[], type='mmdet.VOCDataset'))
    return [dataset.get_data_info(number) for number in range(len(dataset))]


def test_good_files_and_names_with_blanks(voc) -> None:
    assert check_data(voc) == []
    assert [Path(info['img_path']).name for info in loaded(voc, 'val')] == ['11.jpg', 'a photo 1.jpg']


@pytest.mark.parametrize('text', [b'\xef\xbb\xbf1\r\n2\r\n', b'1  1\n2 -1\n', b'1 0\n2 0', b'1\n\n2\n\n', b'1 \n2\t\n'])
def test_lists_are_mended(voc, tmp_path, text) -> None:
    (tmp_path / 'train' / 'list.txt').write_bytes(text)
    notes = check_data(voc, mended_in=str(tmp_path / 'run'))
    assert 'only the names of the 2 images were kept' in notes[0]
    assert [info['img_id'] for info in loaded(voc, 'train')] == ['1', '2']
    assert (tmp_path / 'train' / 'list.txt').read_bytes() == text


@pytest.mark.parametrize(
    'old, new, said',
    [
        ('</annotation>', '', 'malformed annotation; first .*2.xml'),
        ('<annotation>', '<annotation xmlns="http://voc.org/1">', 'XML with a namespace'),
        ('<annotation>', '<annotation xmlns:v="http://voc.org/1"><v:note/>', 'XML with a namespace'),
        ('annotation>', 'annotations>', 'first .*2.xml, <annotations>'),
        ('<width>80</width>', '', 'malformed annotation; first .*2.xml, size'),
        ('<width>80</width>', '<width>80.5</width>', 'malformed annotation; first .*2.xml, size'),
        ('<width>80</width>', '<width>0</width>', 'malformed annotation; first .*2.xml, size'),
        ('<width>80</width>', '<width>640</width>', '640x40 is annotated, the image is loaded with 80x40'),
        ('<xmax>30', '<xmax>300', '2 boxes .reaches far outside the image; first 2.xml, object 1 cat'),
        ('<xmin>5', '<xmin>50', 'zero area'),
        ('<xmax>30</xmax>', '', 'malformed annotation; first 2.xml, object 1'),
        ('<xmax>30', '<xmax>nan', 'malformed annotation'),
        ('<difficult>0', '<difficult>Unspecified', 'malformed annotation'),
        ('<difficult>0</difficult>', '<difficult/>', 'malformed annotation'),
        ('<name>cat', '<name>cat ', "a class name with blanks .*object 1 'cat '"),
        ('<name>cat</name>', '', 'malformed annotation; first 2.xml, object 1'),
        ('cat', 'caf\udce9', 'malformed annotation'),
    ],
)
def test_what_is_wrong_in_an_xml_file(voc, tmp_path, old, new, said) -> None:
    text = XML.replace(old, new).encode(errors='surrogateescape')
    (tmp_path / 'train' / 'Annotations' / '2.xml').write_bytes(text)
    with pytest.raises(UserError, match=said):
        check_data(voc)


@pytest.mark.parametrize(
    'folder, old, new',
    [('JPEGImages', '2.jpg', '2.JPG'), ('JPEGImages', '2.jpg', '2.png'), ('Annotations', '2.xml', '2.XML')],
)
def test_endings_that_mmdetection_does_not_read(voc, tmp_path, folder, old, new) -> None:
    place = tmp_path / 'train' / folder
    (place / old).rename(place / new)
    with pytest.raises(UserError, match=f'MMDetection needs .jpg and .xml, and there is {new}: use voc_to_coco.py'):
        check_data(voc)


def test_without_a_size_the_image_has_the_word(voc, tmp_path) -> None:
    text = XML.replace(SIZED, '')
    (tmp_path / 'train' / 'Annotations' / '2.xml').write_text(text)
    assert check_data(voc) == []


def test_cocos_metric_beside_vocs_loader(voc, tmp_path) -> None:
    (tmp_path / 'a.json').write_text('{}')
    voc.val_evaluator = dict(type='CocoMetric', ann_file=str(tmp_path / 'a.json'))
    with pytest.raises(UserError, match='use VOCMetric, or convert the data'):
        check_data(voc)


def test_an_image_that_is_listed_twice(voc, tmp_path) -> None:
    (tmp_path / 'val' / 'list.txt').write_text('11\n11\n')
    with pytest.raises(UserError, match='each image once was expected in .*list.txt'):
        check_data(voc)
