"""Writes docs/faults.md from the fault tests that passed."""

from collections import defaultdict
from pathlib import Path

HEAD = """# Faults

What happens to a run, tried with real processes, signals and files. This page is written by the tests in
`tests/faults` and a few others, from what they saw:

```bash
.venv/bin/python -m pytest tests/faults tests/test_every_method.py tests/slurm --write-faults
```
"""


class FaultPage:
    """A pytest plugin; with pytest-xdist it collects what the workers report."""

    def __init__(self, path: Path) -> None:
        self.path, self.failed = path, 0
        self.lines: dict = defaultdict(lambda: defaultdict(lambda: (set(), set())))  # row → line → where, methods

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed:
            self.failed += 1
        if report.when == 'call' and report.passed:
            for name, value in report.user_properties:
                if name == 'fault':
                    row, injected, outcome, where, method = value
                    places, methods = self.lines[row][injected, outcome]
                    places.add(where)
                    methods.update(filter(None, [method]))

    def pytest_sessionfinish(self, session) -> None:
        if hasattr(session.config, 'workerinput') or self.failed or not self.lines:
            return
        text = [HEAD]
        for row in sorted(self.lines):
            text += [f'## {row}\n', '| injected | in | seen |', '|---|---|---|']
            for (injected, outcome), (places, methods) in sorted(self.lines[row].items()):
                of = f' (each of {", ".join(sorted(methods))})' if methods else ''
                text.append(f'| {injected} | {", ".join(sorted(places))} | {outcome}{of} |')
            text.append('')
        self.path.write_text('\n'.join(text))
