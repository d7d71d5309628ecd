"""The site's pages and what stands in their code blocks."""

import re
import shlex
from pathlib import Path

from tests.conftest import REPO

BLOCK = re.compile(r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?[^\n]*\n(?P<code>.*?)^```', re.M | re.S)


def pages() -> list[Path]:
    """The pages that are written by hand: those of the folder itself and of the methods, and the README."""
    return [REPO / 'README.md', *sorted((REPO / 'docs').glob('*.md')), *sorted((REPO / 'docs/methods').glob('*.md'))]


def blocks(page: Path, language: str) -> list[tuple[str | None, str]]:
    """``(title, code)`` of the blocks of a language; the title is the name of a file."""
    found = BLOCK.finditer(page.read_text())
    return [(match['title'], match['code']) for match in found if match['language'] == language]


def files() -> list[tuple[str, str, str]]:
    """``(page, name, code)`` of every block that is a config file."""
    return [(page.name, title, code) for page in pages() for title, code in blocks(page, 'python') if title is not None]


def commands(page: Path) -> list[list[str]]:
    """The commands of a page's bash blocks as words, their environment and comments left out."""
    found = []
    for _, code in blocks(page, 'bash'):
        for line in code.replace('\\\n', ' ').splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
                words.pop(0)
            if words:
                found.append(words)
    return found
