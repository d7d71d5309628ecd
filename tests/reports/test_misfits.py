"""What a comparison says of runs whose figures do not fit together, of failed ones, and of AP near zero."""

import json

import pytest

from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.average_precision import summarise
from hsakd_mm.reports.comparison import FailedRun, print_comparison, write_comparison


def read(files: dict) -> tuple[dict, str]:
    """The content of the JSON file, and the Markdown."""
    with open(files['json']) as content, open(files['md']) as text:
        return json.load(content), text.read()


def headline(text: str) -> str:
    """What stands above the picture."""
    return text.split('![')[0]


def test_a_subset_of_the_metrics_images_shows_no_difference(validated, tmp_path) -> None:
    """With ``indices`` CocoMetric counts the boxes of all images, and the record those of the subset."""
    files = write_comparison([validated('plain', 0, 0.5, 2), validated('ours', 0, 0.9, 2)], str(tmp_path / 'out'), '')
    content, text = read(files)
    plain, ours = content['rows']
    assert ours['AP']['mean'] > plain['AP']['mean'] > 0
    assert [row['difference'] for row in content['rows']] == [None, None]
    assert set(content['misfits']) == {'plain', 'ours'} and content['remarks']
    assert set(content['pictures']) == {'overview'}
    said = headline(text)
    assert '**The figures do not fit together**, and no difference is shown at all.' in said
    assert 'counts the boxes of 4 images, and 2 images were validated (`indices`?)' in said
    assert 'For the other names see below.' in said and 'highest' not in said


def test_a_subset_in_one_row_leaves_the_others(validated, tmp_path) -> None:
    runs = [validated('plain', 0, 0.5), validated('ours', 0, 0.9), validated('part', 0, 0.9, 2)]
    pairs = [('ours', 'part'), ('part', 'plain')]
    content, text = read(write_comparison(runs, str(tmp_path / 'out'), '', pairs=pairs))
    _, ours, part = content['rows']
    assert content['pairs'] == []
    assert ours['difference']['low'] is not None and part['difference'] is None
    assert list(content['misfits']) == ['part']
    assert 'no difference is shown for part.' in headline(text)
    assert '**ours** has a mean AP of' in headline(text)


def test_runs_that_were_measured_on_different_images(finished, tmp_path) -> None:
    runs = [finished('plain', 0, 0.5), finished('elsewhere', 0, 0.9, split='train')]
    content, text = read(write_comparison(runs, str(tmp_path / 'out'), ''))
    assert [row['difference'] for row in content['rows']] == [None, None]
    assert 'elsewhere was measured on 8 images, plain on 4 images' in headline(text)
    assert 'highest' not in headline(text) and '**elsewhere**' not in headline(text)


def test_seeds_that_were_measured_on_different_images(finished, tmp_path) -> None:
    runs = [finished('plain', 0, 0.5), finished('plain', 1, 0.5, split='train'), finished('ours', 0, 0.9)]
    content, text = read(write_comparison(runs, str(tmp_path / 'out'), ''))
    assert [row['difference'] for row in content['rows']] == [None, None]
    assert 'The seeds of plain were measured on different data: 4 and 8 images.' in headline(text)


@pytest.mark.parametrize('seeds', [[0], [0, 1]])
@pytest.mark.parametrize(
    'shifted, said',
    [
        ('ours', 'ours and plain were measured on the same images with different boxes to find'),
        ('plain', 'The seeds of plain were measured on the same images with different boxes'),
    ],
)
def test_boxes_that_were_corrected_between_the_runs(finished, tmp_path, seeds, shifted, said) -> None:
    runs = [finished(name, seed, 0.5) for name in ('plain', 'ours') for seed in (0, 1)]
    if len(seeds) == 2 and shifted == 'plain':
        said = 'ours and plain were measured on the same images with different boxes'
    for seed in seeds:
        spoil(tmp_path, shifted, lambda box: dict(box, bbox=[box['bbox'][0] + 6, *box['bbox'][1:]]), seed)
    content, text = read(write_comparison(runs, str(tmp_path / 'out'), ''))
    assert [row['difference'] for row in content['rows']] == [None, None]
    assert said in headline(text)


def test_the_order_of_the_boxes_does_not_matter(finished, tmp_path) -> None:
    runs = [finished('plain', 0, 0.5), finished('ours', 0, 0.9)]
    path = tmp_path / 'runs' / 'ours-seed0' / 'detections.json'
    record = json.loads(path.read_text())
    path.write_text(json.dumps(dict(record, truth=record['truth'][::-1])))
    content, _ = read(write_comparison(runs, str(tmp_path / 'out'), ''))
    assert content['misfits'] == {}


@pytest.mark.parametrize(
    'sums, misfits',
    [
        (dict(plain='11', ours='11'), []),
        (dict(plain='11', ours='12'), ['ours']),
        (dict(plain='12', ours='11'), ['plain']),
        (dict(plain='1-', ours='11'), []),  # a run of an older version noted none
        (dict(plain='--', ours='12'), ['ours']),
    ],
)
def test_runs_that_learnt_from_other_annotations(finished, tmp_path, sums, misfits) -> None:
    runs = [
        finished(name, seed, 0.5, **({} if each == '-' else dict(annotations={f'{name}.json': each})))
        for name, of in sums.items()
        for seed, each in enumerate(of)
    ]
    content, text = read(write_comparison(runs, str(tmp_path / 'out'), ''))
    found = list(content['misfits'])
    assert found[: len(misfits)] == misfits and bool(found) == bool(misfits)
    assert (content['rows'][1]['difference'] is None) == bool(misfits)
    assert ('learnt from different annotations' in headline(text)) == bool(misfits)
    assert 'SHA-256 of the annotations: `ours.json` 1' in text


def test_failed_runs_are_rows_that_say_why(finished, tmp_path, capsys) -> None:
    failed = [FailedRun('HSAKD', 0, 'the GPU is out of memory.'), FailedRun('plain', 1, 'status 9, see `output.log`')]
    runs = [finished('random', 0, 0.2), finished('plain', 0, 0.5)]
    content, text = read(write_comparison(runs, str(tmp_path / 'out'), '', failed=failed))
    assert [row['name'] for row in content['rows']] == ['random', 'plain', 'HSAKD']
    assert content['rows'][2]['AP'] is None and content['rows'][0]['difference'] is not None
    (line,) = [line for line in text.splitlines() if line.startswith('| HSAKD')]
    assert line.startswith('| HSAKD | 0 | failed | – |') and not any(letter in '123456789' for letter in line)
    listed = text.split('## Failed runs')[1].split('##')[0]
    assert '- HSAKD (seed 0): the GPU is out of memory.' in listed
    assert '- plain (seed 1): status 9, see `output.log`' in listed
    assert content['failed'][0] == dict(name='HSAKD', seed=0, reason='the GPU is out of memory.')
    print_comparison(dict(json=str(tmp_path / 'out' / 'report.json')))
    said = capsys.readouterr().out
    assert 'HSAKD 0 failed' in ' '.join(said.split()) and said.count('failed') == 1
    with pytest.raises(UserError, match='there are none'):
        write_comparison([], str(tmp_path / 'none'), '', failed=failed)


@pytest.mark.parametrize('failed', [[FailedRun('plain', 0, 'no memory.')], []])
def test_a_baseline_that_failed_or_is_not_finished(finished, tmp_path, failed) -> None:
    runs = [finished('random', 0, 0.2, False)]
    content, text = read(write_comparison(runs, str(tmp_path / 'out'), '', 'plain', failed=failed))
    assert content['baseline'] == 'random' and 'Baseline: **random**.' in headline(text)
    assert '- No run of the baseline, plain, is finished: random takes its place.' in text


def test_a_detector_that_found_no_box(finished, tmp_path) -> None:
    runs = [finished('plain', 0, 0.5), finished('ours', 0, 0.9, AP=0.0, remark='the detector found no box.')]
    path = tmp_path / 'runs' / 'ours-seed0' / 'detections.json'
    path.write_text(json.dumps(dict(json.loads(path.read_text()), found=[])))
    content, text = read(write_comparison(runs, str(tmp_path / 'out'), ''))
    _, ours = content['rows']
    assert ours['AP']['mean'] == 0 and ours['difference']['high'] < 0
    assert '- ours (seed 0): the detector found no box.' in text


NOTHING = [('no box', lambda box: None), ('crowds', lambda box: dict(box, ignore=True))]


@pytest.mark.parametrize('change', [change for _, change in NOTHING], ids=[name for name, _ in NOTHING])
@pytest.mark.parametrize('of', [('plain', 'ours'), ('ours',), ('plain',)])
def test_where_nothing_is_to_be_found_there_is_no_ap(finished, tmp_path, change, of) -> None:
    runs = [finished('plain', 0, 0.5), finished('ours', 0, 0.9)]
    for name in of:
        spoil(tmp_path, name, truth=change)
    content, text = read(write_comparison(runs, str(tmp_path / 'out'), ''))
    assert 'nan' not in text.lower()
    for row in content['rows']:
        assert row['difference'] is None and (row['AP'] is None) == (row['name'] in of)
    assert f'- No AP: {", ".join(f"{name} (seed 0)" for name in of)}.' in text
    assert ('There is no AP' in headline(text)) == (len(of) == 2)


@pytest.mark.parametrize('left', ['one class', 'one image', 'one box'])
def test_classes_and_images_without_objects_leave_a_difference(finished, tmp_path, left) -> None:
    """A resample of the images may then hold no object of a class, or none at all."""
    runs = [finished('plain', 0, 0.5), finished('ours', 0, 0.9)]
    first: dict = {}

    def keep(box: dict) -> dict | None:
        kept = first.setdefault('box', box)
        same = dict(one_class=box['label'] == kept['label'], one_image=box['image'] == kept['image'])
        return box if {**same, 'one_box': box == kept}[left.replace(' ', '_')] else None

    for name in ('plain', 'ours'):
        spoil(tmp_path, name, truth=keep)
    content, text = read(write_comparison(runs, str(tmp_path / 'out'), ''))
    assert 'nan' not in text.lower()
    _, ours = content['rows']
    assert ours['difference']['low'] <= ours['difference']['difference'] <= ours['difference']['high']


def spoil(tmp_path, name: str, truth, seed: int = 0) -> None:
    """Change each true box of a run's record, or leave it out; the run's own AP is then that of the record."""
    folder = tmp_path / 'runs' / f'{name}-seed{seed}'
    record = json.loads((folder / 'detections.json').read_text())
    record['truth'] = [box for box in map(truth, record['truth']) if box]
    (folder / 'detections.json').write_text(json.dumps(record))
    row = json.loads((folder / 'report.json').read_text())['rows'][0]
    (folder / 'report.json').write_text(json.dumps(dict(rows=[{**row, **summarise(record)}])))


def test_an_ap_near_zero_is_noise(finished, tmp_path) -> None:
    runs = [finished('plain', 0, 0.5, False, AP=0.02), finished('ours', 0, 0.9, False, AP=0.8)]
    _, text = read(write_comparison(runs, str(tmp_path / 'out'), ''))
    assert '**Every AP is below 1, which is noise**: the highest is 0.80.' in headline(text)
    assert 'highest mean' not in text and 'to the baseline' not in headline(text)


def test_the_papers_table_is_for_voc_alone(finished, tmp_path) -> None:
    for dataset, shown in (('VOCDataset', True), ('data/VOCdevkit', True), ('voc0712', True), ('avocados', False)):
        runs = [finished(dataset.replace('/', '-'), 0, 0.5, False, dataset=dataset)]
        _, text = read(write_comparison(runs, str(tmp_path / 'out'), ''))
        assert ('78.45' in text) == shown and f'**Data:** {dataset}' in text
    # The classes decide where they are known: a user's own boxes may be in VOC's format.
    _, text = read(write_comparison([finished('own', 0, 0.5, dataset='VOCDataset')], str(tmp_path / 'out'), ''))
    assert '78.45' not in text
    voc = finished('voc', 0, 0.5)
    path = tmp_path / 'runs' / 'voc-seed0' / 'detections.json'
    record = json.loads(path.read_text())
    twenty = ['aeroplane', 'diningtable', 'pottedplant', 'tvmonitor', *map(str, range(16))]
    path.write_text(json.dumps(dict(record, classes=twenty)))
    _, text = read(write_comparison([voc], str(tmp_path / 'out'), ''))
    assert '78.45' in text and '**Data:** 4 validation images, 20 classes' in text
