import pytest

from tests.faults.command import NODES, ONE, TWO, run_to_end, weights


@pytest.fixture(params=[ONE, TWO])
def where(request) -> str:
    """In how many processes: what is asked of one is asked of two."""
    return request.param


@pytest.fixture(scope='session')
def undisturbed(tmp_path_factory):
    """The weights after three epochs without a fault: ``undisturbed(where)``."""
    known: dict = {}

    def of(where: str) -> dict:
        where = TWO if where == NODES else where  # as many ranks
        if where not in known:
            folder = tmp_path_factory.mktemp('undisturbed')
            status, output = run_to_end(folder, where, train_cfg__max_epochs=3)
            assert status == 0, output
            known[where] = weights(folder)
        return known[where]

    return of
