"""tools/dataset_converters/coco_subset.py: subsets and disjoint parts of a COCO json."""

import json

from .box_files import boxes_of, read, rows


def test_subset_by_class_size_and_number(demo_data, tool, tmp_path) -> None:
    source = demo_data / 'scenes/train.json'
    coco, part = read(source), demo_data / 'scenes/train'

    def subset(*args) -> dict:
        tool('coco_subset', source, '--images', part, '--force', '--out', 'part.json', *args)
        return read(tmp_path / 'part.json')

    assert {**coco, 'info': 0} == {**subset(), 'info': 0}
    chosen = subset('--classes', '3', '7', '--min-area', 200, '--max-area', 900)
    wanted = [
        box
        for box in coco['annotations']
        if box['category_id'] in (4, 8) and 200 <= box['bbox'][2] * box['bbox'][3] <= 900
    ]
    assert wanted and chosen['annotations'] == wanted
    assert [entry['name'] for entry in chosen['categories']] == ['3', '7']
    assert chosen['images'] == coco['images']
    filled = {box['image_id'] for box in wanted}
    dropped = subset('--classes', '3', '7', '--min-area', 200, '--max-area', 900, '--drop-empty')
    assert {image['id'] for image in dropped['images']} == filled

    draws = {}
    for seed in (0, 1):
        for count in (2, 4):
            images = subset('--max-images', count, '--seed', seed)['images']
            draws[seed, count] = {image['id'] for image in images}
            assert len(images) == count
        assert draws[seed, 2] < draws[seed, 4]
    assert draws[0, 4] != draws[1, 4]
    half = subset('--fraction', 0.5)
    assert {image['id'] for image in half['images']} == draws[0, 4]
    assert half['info']['subset']['fraction'] == 0.5
    assert {box['image_id'] for box in half['annotations']} <= draws[0, 4]


def test_split_into_disjoint_parts(tool, tmp_path) -> None:
    source, (common, rare, unseen) = many_images(30), 'abc'
    (tmp_path / 'all.json').write_text(json.dumps(source))
    command = ('coco_subset', 'all.json', '--split', 'train=0.6', 'val=0.3', 'test=0.1', '--force', '--out')
    said = tool(*command, 'parts')
    parts = {name: read(tmp_path / 'parts' / f'{name}.json') for name in ('train', 'val', 'test')}
    assert [len(part['images']) for part in parts.values()] == [18, 9, 3]
    assert sorted(image['id'] for part in parts.values() for image in part['images']) == list(range(30))
    assert sorted(box['id'] for part in parts.values() for box in part['annotations']) == [
        box['id'] for box in source['annotations']
    ]
    for part in parts.values():
        named = {image['id'] for image in part['images']}
        assert {box['image_id'] for box in part['annotations']} <= named
        assert part['categories'] == source['categories']
        assert {common, rare} <= {box[1] for box in boxes_of(part)}  # three images show the rare class
    assert f'note: train has no box of {unseen}' in said or f'note: val has no box of {unseen}' in said

    tool(*command, 'again')
    source['images'].reverse()
    (tmp_path / 'all.json').write_text(json.dumps(source))
    tool(*command, 'reversed')
    tool(*command, 'seeded', '--seed', 1)
    for name, part in parts.items():
        assert read(tmp_path / 'again' / f'{name}.json') == part
        drawn = {image['id'] for image in read(tmp_path / 'reversed' / f'{name}.json')['images']}
        assert drawn == {image['id'] for image in part['images']}
    assert read(tmp_path / 'seeded/train.json')['images'] != parts['train']['images']

    tool('coco_subset', 'all.json', '--max-images', 10, '--split', 'train=0.5', 'val=0.2', '--out', 'few')
    few = [{image['id'] for image in read(tmp_path / f'few/{name}.json')['images']} for name in ('train', 'val')]
    assert [len(part) for part in few] == [5, 2] and few[0].isdisjoint(few[1])


def many_images(count: int) -> dict:
    """Class a in most images, b in three and c in one; two images without boxes."""
    classes = {0: 'ab', 1: 'b', 2: 'abc', count - 2: '', count - 1: ''}
    shown = [(number, name) for number in range(count) for name in classes.get(number, 'a')]
    return dict(
        images=[dict(id=number, file_name=f'{number}.png', width=64, height=64) for number in range(count)],
        categories=[dict(id=number, name=name) for number, name in enumerate('abc')],
        annotations=[
            dict(id=number, image_id=image, category_id='abc'.index(name), bbox=[8, 8, 16, 16], area=256, iscrowd=0)
            for number, (image, name) in enumerate(shown, 1)
        ],
    )


def test_what_is_wrong_in_a_coco_json(demo_data, tool, tmp_path) -> None:
    coco, part = read(demo_data / 'scenes/train.json'), demo_data / 'scenes/train'
    boxes, images = coco['annotations'], coco['images']
    extra = len(boxes)
    for number, changes in enumerate(
        (
            dict(category_id=99),
            dict(image_id=99),
            dict(bbox=[1, 1, 0, 5]),
            dict(bbox=[1, 1]),
            dict(id=1),
            dict(bbox=[-1, 100, 50, 28.5], segmentation=[[0, 0, 1, 1, 0, 1]], area=7),
        )
    ):
        boxes.append({**boxes[0], 'id': extra + number + 1, **changes})
    images += [
        dict(images[0], id=50),
        dict(images[0], id=51, file_name='gone.png'),
        dict(images[0], id=52, file_name=str(demo_data / 'scenes/test/000001.png'), width=64),
    ]
    (tmp_path / 'coco.json').write_text(json.dumps(coco))
    command = ('coco_subset', 'coco.json', '--images', part, '--out', 'part.json')
    said = tool(*command)
    for reason in (
        'image (duplicate image',
        'image (missing image file',
        'image (size disagrees',
        'box (unknown category',
        'box (of an image that is not listed',
        'box (zero area',
        'box (malformed annotation',
        'box (duplicate id',
    ):
        assert f'1 {reason}' in said
    assert not (tmp_path / 'part.json').exists()
    assert rows(tool(*command, '--skip-bad'))['clipped boxes'] == 1
    written = read(tmp_path / 'part.json')
    assert len(written['images']) == 8 and len(written['annotations']) == extra + 1
    last = written['annotations'][-1]
    assert last['bbox'] == [0, 100, 49, 28] and last['area'] == 7  # the mask's stays


def test_mistakes_end_in_a_sentence_and_leave_all_as_it_was(demo_data, tool, tmp_path) -> None:
    (tmp_path / 'coco.json').write_bytes((demo_data / 'scenes/train.json').read_bytes())
    (tmp_path / 'old.json').write_text('as it was')
    (tmp_path / 'list.json').write_text('[]')
    for said, *command in (
        ('names cat', 'coco_subset', 'coco.json', '--classes', 'cat', '--out', 'x'),
        ('use one of them', 'coco_subset', 'coco.json', '--max-images', '1', '--fraction', '0.5', '--out', 'x'),
        ('--fraction takes', 'coco_subset', 'coco.json', '--fraction', '1.5', '--out', 'x'),
        ('sum to 1.2,', 'coco_subset', 'coco.json', '--split', 'train=0.7', 'val=0.5', '--out', 'x'),
        ("one is 'train'", 'coco_subset', 'coco.json', '--split', 'train', 'val=0.5', '--out', 'x'),
        ('part val twice', 'coco_subset', 'coco.json', '--split', 'val=0.1', 'val=0.5', '--out', 'x'),
        ('of 8 images has no image', 'coco_subset', 'coco.json', '--split', 'train=0.97', 'val=0.03', '--out', 'x'),
        ('name a folder', 'coco_subset', 'coco.json', '--split', 'train=0.5', 'val=0.5', '--out', 'x.json'),
        ('cannot be read', 'coco_subset', 'old.json', '--out', 'x'),
        ('no list "images"', 'coco_subset', 'list.json', '--out', 'x'),
        ('no image is left', 'coco_subset', 'coco.json', '--min-area', '1e9', '--drop-empty', '--out', 'x'),
        ('could not be written', 'coco_subset', 'coco.json', '--out', 'old.json/x'),
    ):
        assert said in tool(*command)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['coco.json', 'list.json', 'old.json']
    assert (tmp_path / 'old.json').read_text() == 'as it was'
