"""What each fault test injected and saw; ``pytest tests/faults --write-faults`` lays it out in docs/faults.md."""

import pytest


@pytest.fixture
def seen(record_property):
    """``seen(row, injected, outcome)``: a line of docs/faults.md, if the test passes."""

    def record(row: str, injected: str, outcome: str) -> None:
        record_property('fault', (row, injected, outcome))

    return record
