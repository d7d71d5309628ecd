"""MkDocs hook: pages link to each other and to code as they do in the repository, and the site follows.

Pages are written with links that work in a checkout and on a forge (``../configs/hsakd/README.md``,
``../hsakd_mm/api.py``). MkDocs only knows what lies in ``docs/``. This hook adds the other pages, and what they link
to: pictures and data as they are, source code as a page that shows it. A link to something that is not there stays as
it is, and the strict build fails on it.
"""

import os
import posixpath
import re
import subprocess
from functools import cache
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r'(\]\(|(?:src|href)=")([^)"\s#]*)(#[^)"\s]*)?(?=[)"\s])')
FENCE = re.compile(r'^ *(```+|~~~+).*?^ *\1', re.MULTILINE | re.DOTALL)
LANGUAGES = {'.py': 'python', '.sh': 'bash', '.yml': 'yaml', '.yaml': 'yaml', '.txt': 'text', '': 'text'}


@cache
def tracked() -> frozenset[str]:
    """Files of the repository; without git, those that lie there outside of hidden and generated folders."""
    listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        return frozenset(line for line in listed.stdout.splitlines() if (ROOT / line).is_file())
    folders = ('benchmarks', 'configs', 'docs', 'hsakd_mm', 'requirements', 'tests', 'tools')
    found = [*ROOT.glob('*'), *(path for name in folders for path in (ROOT / name).rglob('*'))]
    return frozenset(path.relative_to(ROOT).as_posix() for path in found if path.is_file())


def place(path: str) -> str:
    """Where the site has a file of the repository, as MkDocs names its sources."""
    if path == 'README.md':
        return 'index.md'
    if path.startswith('docs/'):
        return path.removeprefix('docs/')
    return path + '.md' if is_code(path) else path


def is_code(path: str) -> bool:
    return posixpath.splitext(path)[1] in LANGUAGES


def target(page: str, link: str) -> str | None:
    """The file of the repository that a page's link leads to; None for other links, and for what is not there."""
    if not link or re.match(r'[a-z]+:|/', link):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    candidates = [path, posixpath.join(path, 'README.md'), posixpath.join(path, 'index.md')]
    return next((each for each in candidates if each in tracked()), None)


def outside_fences(text: str, change) -> str:
    """The text with ``change`` applied to what is no code block."""
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence.group(0)]
        end = fence.end()
    return ''.join([*parts, change(text[end:])])


def links_of(page: str) -> list[str]:
    found: list[str] = []
    outside_fences((ROOT / page).read_text(), lambda text: found.extend(m[2] for m in LINK.finditer(text)) or text)
    return found


def on_files(files: Files, config) -> Files:
    """Add the pages outside of docs/, and the files that pages link to."""
    pages = sorted(path for path in tracked() if path.endswith('.md') and not path.startswith('tests/'))
    known = {file.src_uri for file in files}
    for page in pages:
        for path in [page, *filter(None, (target(page, link) for link in links_of(page)))]:
            if place(path) not in known:
                known.add(place(path))
                files.append(_file(config, path))
    config.extra['pages'] = {place(path): path for path in pages}
    return files


def _file(config, path: str) -> File:
    if not is_code(path):
        return File.generated(config, place(path), abs_src_path=os.fspath(ROOT / path))
    language = LANGUAGES[posixpath.splitext(path)[1]]
    text = (ROOT / path).read_text()
    fence = '`' * (3 + max(map(len, re.findall(r'`{3,}', text)), default=0))
    head = f'---\nsearch:\n  exclude: true\n---\n# `{path}`\n\n'
    return File.generated(config, place(path), content=f'{head}{fence}{language}\n{text}\n{fence}\n')


def on_page_markdown(markdown: str, page, config, files: Files) -> str:
    """Turn the links of a page into the site's."""
    source = config.extra['pages'].get(page.file.src_uri)
    if source is None:  # code
        return markdown

    def follow(match: re.Match) -> str:
        path = target(source, match[2])
        if path is None:
            return match[0]
        link = posixpath.relpath(place(path), posixpath.dirname(page.file.src_uri) or '.')
        if match[1] != '](':  # HTML is left alone by MkDocs: it needs the address
            link = files.get_file_from_path(place(path)).url_relative_to(page.file)
        return f'{match[1]}{link}{match[3] or ""}'

    return outside_fences(markdown, lambda text: LINK.sub(follow, text))
