"""The site builds strictly, a broken link fails it, and its search finds the page of each question."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import REPO

pytest.importorskip('material', reason='the site needs requirements/docs.txt, which tools/setup_env.sh tests installs')

# What people look for, and the page that answers it. The search of the site finds a page that has all the words.
QUESTIONS = {
    '8 GPUs memory': 'cost/',
    '1000 pictures': 'which_config/',
    'unlabelled images': 'images/',
    'TensorBoard': 'loggers/',
    'W&B': 'loggers/',
    'MLflow': 'loggers/',
    'Hugging Face push': 'hub/',
    'ONNX': 'hub/',
    'resume slurm': 'clusters/',
    'frozen_stages norm_eval': 'detection/',
    'RandAugment': 'recipes/',
    'mixup': 'recipes/',
    'cosine schedule': 'recipes/',
    'AdamW': 'recipes/',
    'EMA weights': 'recipes/',
    'gradient accumulation': 'recipes/',
    'layer-wise decay': 'recipes/',
    'distill student teacher loader': 'api/',
    'model zoo': 'zoo/',
    'changelog': 'CHANGELOG/',
    'contributing': 'CONTRIBUTING/',
    'versions onedl': 'stacks/',
    'wheel': 'start/',
    'interval seeds': 'benches/',
    'DINOv2 teacher': 'networks/',
    'joint label rotation': 'methods/hsakd/',
}


def build(root, out) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '-d', os.fspath(out)],
        cwd=root,
        env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp('site')
    done = build(REPO, out)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_there(site) -> None:
    for name in ('', 'start/', 'configs/hsakd/', 'configs/demo/sweep.py/', 'CONTRIBUTING/', 'demo/report/'):
        assert (site / name / 'index.html').is_file(), name
    assert 'sweep.py' in (site / 'index.html').read_text()
    assert (site / 'demo_sweep/report.png').is_file()


@pytest.mark.parametrize('words', QUESTIONS)
def test_search_finds(words, site) -> None:
    """Not the search itself, which runs in a browser, but its index: a section of the page has all the words."""
    index = json.loads((site / 'search/search_index.json').read_text())['docs']
    page = QUESTIONS[words]
    texts = [f'{entry["title"]} {entry["text"]}'.lower() for entry in index if entry['location'].split('#')[0] == page]
    assert texts, page
    whole = ' '.join(texts)
    assert all(word.lower().replace('&', '&amp;') in whole or word.lower() in whole for word in words.split()), words


def test_a_broken_link_fails(tmp_path) -> None:
    """In a copy of a small part: a link to code, one to a page, and one to nowhere."""
    for name in ('mkdocs.yml', 'docs/site_links.py', 'docs/site_math.py', 'docs/site.css'):
        os.makedirs((tmp_path / name).parent, exist_ok=True)
        shutil.copy(REPO / name, tmp_path / name)
    menu = (tmp_path / 'mkdocs.yml').read_text()
    (tmp_path / 'mkdocs.yml').write_text(menu[: menu.index('\nnav:')] + '\n')
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools/x.py').write_text('print("```")\n')
    (tmp_path / 'README.md').write_text('# Small\n\n[code](tools/x.py), [page](docs/page.md#one)\n')
    (tmp_path / 'docs/page.md').write_text('# Page\n\n## One\n\n[back](../README.md)\n')
    done = build(tmp_path, tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    assert 'href="tools/x.py/"' in (tmp_path / 'out/index.html').read_text()
    assert 'print' in (tmp_path / 'out/tools/x.py/index.html').read_text()
    for broken in ('[gone](../configs/gone.py)', '[gone](page.md#two)', '[gone](nowhere.md)'):
        (tmp_path / 'docs/page.md').write_text(f'# Page\n\n{broken}\n')
        done = build(tmp_path, tmp_path / 'out')
        assert (done.returncode and 'gone' in done.stderr + done.stdout) or 'page.md' in done.stderr, broken
