"""The site's formulas: what pymdownx.arithmatex finds becomes MathML."""

import pytest

from tests.conftest import REPO
from tests.tools.commands import module


def test_formulas_are_converted() -> None:
    pytest.importorskip('latex2mathml', reason='latex2mathml, of the site, is not installed')
    arithmatex = pytest.importorskip('pymdownx.arithmatex', reason='pymdown-extensions, of the site, are not installed')
    from markdown import markdown

    text = 'Costs $5 or $6, and $a_1 < b$.\n\n$$\n\\sum_{l=1}^{L} q_l\n$$\n\n`$code$`'
    page = markdown(text, extensions=[arithmatex.ArithmatexExtension(generic=True)])
    made = module(REPO / 'docs/site_math.py').on_page_content(page)
    assert made.count('<math') == 2 and 'arithmatex' not in made
    assert '<span class="math"><math' in made and 'display="block"' in made
    assert 'Costs $5 or $6' in made and '<code>$code$</code>' in made
