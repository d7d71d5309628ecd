"""The report of a comparison, from folders as finished runs leave them."""

import json
import os
import re

import pytest
from PIL import Image

from hsakd_mm.errors import UserError
from hsakd_mm.reports.comparison import FinishedRun, print_comparison, write_comparison
from hsakd_mm.reports.page import Items, Table, Text, to_html, to_markdown


def test_the_whole_report(finished, tmp_path) -> None:
    runs = [
        finished('random', 0, 0.2),
        finished('plain', 0, 0.5),
        finished('plain', 1, 0.5),
        finished('HSAKD*', 0, 0.9),
        finished('HSAKD*', 1, 0.9),
    ]
    files = write_comparison(
        runs,
        str(tmp_path / 'out'),
        'Digits',
        notes=['It is `small`.'],
        origins={'plain': ['RGB.', 'A file.'], 'HSAKD*': ['RGB.']},
    )
    assert files == {ending: str(tmp_path / 'out' / f'report.{ending}') for ending in ('json', 'md', 'png', 'html')}
    content = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert content['baseline'] == 'plain' and content['measure'] == 'AP'
    random, plain, ours = content['rows']
    assert plain['difference'] is None and plain['seeds'] == [0, 1]
    assert random['AP']['sigma'] is None and ours['AP']['sigma'] > 0
    assert ours['difference']['low'] < ours['difference']['difference'] < ours['difference']['high']
    assert ours['difference']['difference'] == pytest.approx(ours['AP']['mean'] - plain['AP']['mean'])
    assert content['remarks'] == []
    assert len(content['curves']['HSAKD*']) == 3  # a folder's name is no pattern
    assert content['curves']['HSAKD*'][-1][1] == pytest.approx(ours['AP']['mean'])
    assert [run['folder'] for run in content['runs']] == [run.folder for run in runs]

    text = (tmp_path / 'out' / 'report.md').read_text()
    assert re.search(r'\| plain \| 2 \| [\d.]+ ± [\d.]+ \| .* \| – \| – \| – \| 60 \|', text)
    assert re.search(r'\| HSAKD\\\* \| 2 \| .* \| \+[\d.]+ \[[+−][\d.]+, \+[\d.]+\] \| 2 of 2 \| 0.50 \| 60 \|', text)
    assert re.search(r'\| random \| 1 \| .* \| −[\d.]+ \[−[\d.]+, [+−][\d.]+\] \| – \| – \| 60 \|', text)
    assert '1000 paired bootstrap resamples of the 4 test images and of the seeds, in pairs of the same seed.' in text
    assert 'Of random, with a single seed, it covers the test images only.' in text
    assert 'It does not cover the seed of the pretraining.' in text and 'its own pretraining' not in text
    assert 'over seeds, on these test images' in text
    assert r'Those of plain, HSAKD\* share one pretraining, whose own seed p does not cover.' in text
    assert r'HSAKD\* is ahead in 2 of 2 seeds (p = 0.50, the smallest that 2 seeds can give).' in text
    assert random['seed_test'] is None and plain['seed_test'] is None and ours['seed_test']['smallest'] == 0.5
    assert (random['difference']['seeds'], ours['difference']['seeds'], ours['difference']['paired']) == (0, 2, True)
    table, origins = text.split('## Where the numbers come from')
    assert 'It is `small`.' in table and 'RGB' not in table
    assert '- plain, HSAKD*: RGB.' in origins.replace('\\*', '*')
    assert '- plain: A file.' in origins
    assert 'Not the same setting' not in text and '78.45' not in text  # the data is not VOC
    assert text.startswith('# Digits\n\n**Data:** 4 validation images, 10 classes. **Epochs:** 3\n')
    assert 'Of random and HSAKD\\*, **HSAKD\\*** has the highest mean AP' in text
    assert 'stem and layer1 are frozen' in text and '2 cores of a CPU' in text
    for name in re.findall(r'!\[.*\]\((.*)\)', text):
        with Image.open(tmp_path / 'out' / name) as image:
            assert min(image.size) > 200
    assert len(re.findall(r'!\[', text)) == 5

    page = (tmp_path / 'out' / 'report.html').read_text()
    kinds = [page.count(f'src="data:image/{kind};base64,') for kind in ('png', 'jpeg')]
    assert kinds == [4, 1]  # the scenes are photographs
    assert not re.search(r'(src|href)="(?!data:)', page) and '@import' not in page
    assert str(tmp_path) not in page


def test_whose_seeds_are_of_the_pretraining_too(finished, tmp_path) -> None:
    runs = [finished('plain', seed, 0.5, top1=40.0) for seed in (0, 1)]
    runs += [finished('ours', seed, 0.8, top1=50.0 + 2 * seed, checkpoint_sha256=f'f{seed}') for seed in (0, 1)]
    runs += [finished('random', seed, 0.2, checkpoint_sha256=None) for seed in (0, 1)]
    files = write_comparison(runs, str(tmp_path / 'out'), 'Digits')
    with open(files['md']) as file:
        text = file.read()
    assert re.search(r'\| plain \| 40\.0 \| 2 \|', text)
    assert re.search(r'\| ours \| 51\.0 ± 1\.4 \| 2 \|', text)
    assert 'Each seed of ours starts from its own pretraining' in text
    assert 'It does not cover, of plain, the seed of the pretraining.' in text
    assert 'Those of plain share one pretraining' in text
    files = write_comparison(runs[2:], str(tmp_path / 'out'), 'Digits', baseline='random')
    with open(files['md']) as file:
        text = file.read()
    assert 'permutation test of the difference over seeds, on' in text and 'share one' not in text
    assert 'its own pretraining' in text and 'the seeds of training. An interval over 2 seeds is' in text


def test_one_seed_is_compared_over_images_alone(finished, tmp_path, capsys) -> None:
    runs = [finished('plain', 0, 0.5), finished('ours', 0, 0.9), finished('ours', 1, 0.9)]
    for compared in (runs[:2], runs):
        files = write_comparison(compared, str(tmp_path / 'out'), 'Digits')
        with open(files['md']) as file:
            text = file.read()
        assert 'It covers the choice of test images, not the seeds of training, which ± covers, nor the seed' in text
        assert '| ΔAP to plain | Seconds |' in text and '\np: ' not in text
    print_comparison(files)
    assert 'Seeds ahead' not in capsys.readouterr().out


def test_p_needs_no_record(finished, tmp_path, capsys) -> None:
    """The seeds' figures are those of the reports; other seeds than the baseline's are no pairs."""
    runs = [finished('plain', seed, 0.5, record=False, AP=10.0 + seed) for seed in range(3)]
    runs += [finished('ours', seed, 0.5, record=False, AP=10.5 + 2 * seed) for seed in range(3)]
    runs += [finished('later', seed, 0.5, record=False, AP=20.0 + seed) for seed in (3, 4, 5)]
    files = write_comparison(runs, str(tmp_path / 'out'), 'Digits')
    with open(files['md']) as file:
        text = file.read()
    assert re.search(r'\| ours \| .* \| \+1.5 \| 3 of 3 \| 0.25 \| 61 \|', text)
    assert re.search(r'\| later \| .* \| \+13.0 \| – \| 0.10 \| 64 \|', text)
    assert 'There is no interval of the difference. Over the seeds, p = 0.10.' in text
    assert '3 seeds cannot give a p below 0.25; those of later, which are not the seeds of the baseline,' in text
    print_comparison(files)
    assert 'ours 3 12.5 ± 2.0' in ' '.join(capsys.readouterr().out.split())


def test_a_pair_is_told_as_if_one_of_it_were_the_baseline(finished, tmp_path, capsys) -> None:
    runs = [
        finished(name, seed, share) for name, share in (('plain', 0.3), ('KD', 0.5), ('HSAKD*', 0.9)) for seed in (0, 1)
    ]
    pairs = [('HSAKD*', 'KD'), ('HSAKD*', 'absent')]
    files = write_comparison(runs, str(tmp_path / 'out'), 'Digits', baseline='plain', pairs=pairs)
    other = write_comparison(runs, str(tmp_path / 'other'), 'Digits', baseline='KD')
    with open(files['json']) as file, open(other['json']) as of_other:
        (pair,), ours = json.load(file)['pairs'], json.load(of_other)['rows'][2]
    assert pair == {'name': 'HSAKD*', 'to': 'KD', **{key: ours[key] for key in ('difference', 'seed_test')}}
    with open(files['md']) as file:
        assert re.search(
            r'\n\*\*HSAKD\\\*\*\* to \*\*KD\*\*: ΔAP \+[\d.]+ \[.*\]\. .* ahead in 2 of 2 seeds', file.read()
        )
    print_comparison(files)


def test_a_pair_without_figures_is_left_out(finished, tmp_path) -> None:
    runs = [finished('A', 0, 0.5), finished('plain', 0, 0.5, record=False, AP=None, AP50=None)]
    pairs = [('A', 'plain'), ('plain', 'A')]
    files = write_comparison(runs, str(tmp_path / 'out'), 'Digits', baseline='plain', pairs=pairs)
    with open(files['json']) as file:
        assert json.load(file)['pairs'] == []


def test_what_the_pretrainings_cost(finished, tmp_path, capsys) -> None:
    """Relative to the baseline's, teachers apart; a run of an older report has no cost."""

    def cost(macs, seconds, *teachers) -> dict:
        return dict(zip(('macs', 'seconds', 'teachers_macs', 'teachers_seconds'), (macs, seconds, *teachers)))

    runs = [finished('random', 0, 0.2, checkpoint_sha256=None, cost=None)]
    runs += [finished('plain', seed, 0.5, cost=cost(2e12, 30.0, 0, 0)) for seed in (0, 1)]
    runs += [
        finished('ours', seed, 0.8, checkpoint_sha256=f'f{seed}', cost=cost(9e12, 60.0 + 20 * seed, 4e12, 50.0))
        for seed in (0, 1)
    ]
    runs += [finished('uncounted', 0, 0.8, cost=cost(None, 60.0, None, None)), finished('old', 0, 0.5)]
    files = write_comparison(runs, str(tmp_path / 'out'), 'Digits', baseline='plain')
    with open(files['json']) as file:
        rows = {row['name']: row for row in json.load(file)['rows']}
    assert rows['ours']['cost'] == dict(cost(9e12, 70.0, 4e12, 50.0), relative_macs=4.5, relative_teachers_macs=2.0)
    assert rows['random']['cost'] is rows['old']['cost'] is None and rows['uncounted']['cost']['seconds'] == 60
    with open(files['md']) as file:
        text = file.read()
    assert '| Seconds | Cost (×) | Teacher (×) |' in text and 'relative to those of plain. Teacher:' in text
    assert '| 60 | 4.50 | 2.00 |' in text and '| 60 | 1.00 | 0.00 |' in text and '| 60 | – | – |' in text
    print_comparison(files)
    assert '4.50 2.00' in ' '.join(capsys.readouterr().out.split())
    with open(files['json']) as file:
        content = json.load(file)
    for row in content['rows']:
        del row['cost']
    with open(files['json'], 'w') as file:
        json.dump(content, file)
    print_comparison(files)
    assert 'Cost' not in capsys.readouterr().out


def test_what_is_missing_is_said(finished, tmp_path) -> None:
    runs = [
        finished('plain', 0, 0.5),
        finished('old', 0, 0.6, record=False),
        finished('elsewhere', 0, 0.6, split='train'),
    ]
    write_comparison(runs, str(tmp_path / 'out'), 'Some', baseline='plain')
    content = json.loads((tmp_path / 'out' / 'report.json').read_text())
    measured, absent = content['remarks']
    assert 'No detections.json: old (seed 0)' in absent
    assert re.search(r'elsewhere was measured on \d+ images, plain on 4 images', measured)
    assert content['rows'][2]['difference'] is None
    assert [row['difference'] and row['difference']['low'] for row in content['rows']] == [None] * 3
    assert content['rows'][1]['difference']['difference'] == pytest.approx(
        content['rows'][1]['AP']['mean'] - content['rows'][0]['AP']['mean']
    )
    assert 'There is no interval' in (tmp_path / 'out' / 'report.html').read_text()


def test_rows_of_vocs_metric(finished, tmp_path) -> None:
    only = dict.fromkeys(('AP', 'AP75', 'AP_S', 'AP_M', 'AP_L'))
    runs = [finished('plain', 0, 0.5, record=False, **only), finished('HSAKD', 0, 0.9, record=False, **only)]
    write_comparison(runs, str(tmp_path / 'out'), 'VOC')
    content = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert content['measure'] == 'AP50' and set(content['pictures']) == {'overview'}
    assert 'ΔAP50 to plain' in (tmp_path / 'out' / 'report.md').read_text()
    # With detections the rest is measured.
    runs = [finished('a', 0, 0.5, **only), finished('b', 0, 0.9, **only)]
    write_comparison(runs, str(tmp_path / 'out'), 'VOC')
    content = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert content['measure'] == 'AP' and content['rows'][1]['AP']['mean'] > 0
    assert 'Computed from detections.json' in content['remarks'][0]


VOC_ONLY = dict.fromkeys(('AP', 'AP75', 'AP_S', 'AP_M', 'AP_L'))


@pytest.mark.parametrize('own', [dict(plain=50.0, HSAKD=60.0), {}])
def test_a_difference_is_that_of_the_tables_figures(finished, tmp_path, own) -> None:
    """An AP50 by VOC's own metric has no interval from the records, whose AP50 is COCO's; the same AP50 has one."""
    runs = [finished('random', 0, 0.2, record=False, **VOC_ONLY), finished('later', 0, 0.2, record=False, **VOC_ONLY)]
    runs += [finished('more', 0, 0.2, record=False, **VOC_ONLY)]
    for name, skill in (('plain', 0.5), ('HSAKD', 0.9)):
        runs.append(finished(name, 0, skill, **VOC_ONLY, **({'AP50': own[name]} if own else {})))
    files = write_comparison(runs, str(tmp_path / 'out'), 'VOC', pairs=[('HSAKD', 'plain')])
    content = json.loads((tmp_path / 'out' / 'report.json').read_text())
    rows = {row['name']: row for row in content['rows']}
    assert content['measure'] == 'AP50' and content['baseline'] == 'plain'
    means = [rows[name]['AP50']['mean'] for name in ('HSAKD', 'plain')]
    for found in (rows['HSAKD']['difference'], content['pairs'][0]['difference']):
        assert found['difference'] == pytest.approx(means[0] - means[1])
        assert (found['low'] is None) == bool(own)
    said = any('computes AP50 in another way' in remark and 'plain, HSAKD' in remark for remark in content['remarks'])
    assert said == bool(own) and content['per_class']
    with open(files['md']) as file:
        assert ('+10.0 to the baseline' in file.read()) == bool(own)


def test_figures_that_disagree_are_named(finished, tmp_path) -> None:
    write_comparison([finished('plain', 0, 0.5, AP=99.0)], str(tmp_path / 'out'), 'One')
    (remark,) = json.loads((tmp_path / 'out' / 'report.json').read_text())['remarks']
    assert "AP is 99.00 by the run's own metric" in remark


def test_refusals(finished, tmp_path) -> None:
    with pytest.raises(UserError, match='there are none'):
        write_comparison([], str(tmp_path), '')
    with pytest.raises(UserError, match='should hold the one row'):
        write_comparison([FinishedRun('a', 0, str(tmp_path))], str(tmp_path), '')
    assert not os.path.exists(tmp_path / 'report.json')


def test_names_are_escaped() -> None:
    blocks = [Text('**a** `<b>`'), Items(['x & y']), Table(['n', 'v'], [['a|b', '1']])]
    page, text = to_html('<t>', blocks), to_markdown('t', blocks)
    assert '<strong>a</strong> <code>&lt;b&gt;</code>' in page and 'x &amp; y' in page
    assert '<h1>&lt;t&gt;</h1>' in page and r'| a\|b | 1 |' in text
