"""What mmengine says while a test runs."""

import logging

import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def log():
    """What mmengine's logger was told."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
