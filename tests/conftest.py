"""Options that have to be known before any test folder is read."""


def pytest_addoption(parser) -> None:
    parser.addoption('--vectors', metavar='DIR',
                     help='folder of parity vectors (default: tests/parity/vectors)')
