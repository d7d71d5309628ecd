"""MkDocs hook: formulas are MathML when the site is built, which browsers show without a script.

``pymdownx.arithmatex`` with ``generic: true`` finds ``$...$`` and ``$$...$$``, as GitHub does; latex2mathml converts
what it found.
"""

import html
import re

from latex2mathml.converter import convert

_FOUND = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **kwargs) -> str:
    """The page with a ``math`` element in place of each formula."""
    return _FOUND.sub(_mathml, content)


def _mathml(found: re.Match) -> str:
    display = 'block' if found[1] == 'div' else 'inline'
    return f'<{found[1]} class="math">{convert(html.unescape(found[2]).strip(), display=display)}</{found[1]}>'
