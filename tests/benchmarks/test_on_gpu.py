"""benchmarks/on_gpu.sh, as far as it can be seen without a GPU."""

import re

from tests.conftest import REPO


def test_each_part_is_there_once_and_in_the_default_list() -> None:
    text = (REPO / 'benchmarks/on_gpu.sh').read_text()
    parts = re.findall(r'^part (\w+) ', text, re.MULTILINE)
    assert len(parts) == len(set(parts))
    assert set(re.search(r'PARTS=\$\{PARTS:-(.*)\}', text)[1].split()) == set(parts) - {'front'}
