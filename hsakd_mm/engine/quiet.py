"""What of a run's log the terminal shows: all of ours, and of OpenMMLab's what is not a dump of the start.

mmengine logs its environment, the whole config, the order of all hooks and more before the first step, some 300 lines.
They are needed for a bug report, and are in the log file. The terminal shows, until the first step or the first test
image, only warnings, errors and what other code than OpenMMLab's logs (ours, a user's hooks); after that everything
but a few lines that say nothing new. ``--verbose`` shows all.
"""

import contextlib
import inspect
import io
import logging
import os
import sys
from collections.abc import Iterator

import mmengine
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.logging.logger import MMFormatter
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

VERBOSE = 'show all that is logged before the first step in the terminal as well, not in the log file alone'
# Parts of the start that a user wants to see.
SHOWN = ('resumed epoch: ', 'LR is set based on batch size')
# Lines that say nothing new: LoggerHook's at each end of an epoch, and two warnings of mmengine about its own code.
HIDDEN = ('Exp name: ', '"FileClient" will be deprecated', '"HardDiskBackend" is the alias')

_LOGGING = (os.path.dirname(logging.__file__), os.path.dirname(mmengine.logging.__file__), __file__)


class StartFilter(logging.Filter):
    """Of the terminal's handler.

    Attributes:
        started (bool): The start is over.
    """

    started = False

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        if text.startswith(HIDDEN):
            return False
        if self.started or record.levelno >= logging.WARNING or text.startswith(SHOWN):
            return True
        return not _of_openmmlab(record)


class _Formatter(MMFormatter):
    """Time and text; a warning or an error looks as in the file."""

    def __init__(self) -> None:
        super().__init__(color=sys.stdout.isatty(), blink=sys.stdout.isatty(), datefmt='%m/%d %H:%M:%S')
        self.info_format = '%(asctime)s %(message)s'


class _QuietStart:
    """Put before a Runner's class."""

    def build_logger(self, *args, **kwargs) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)  # type: ignore[misc]
        make_quiet(logger)
        return logger


def build_runner(cfg: Config, verbose: bool = False) -> Runner:
    """The runner of a config, whose start is quiet unless ``verbose``."""
    kind = Runner
    if 'runner_type' in cfg:
        with RUNNERS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
            kind = cfg.runner_type if inspect.isclass(cfg.runner_type) else registry.get(cfg.runner_type)
    if kind is None:
        return RUNNERS.build(cfg)  # says what it did not find
    if not verbose:
        kind = type(kind.__name__, (_QuietStart, kind), {})
    return kind.from_cfg(cfg)


def make_quiet(logger: MMLogger) -> None:
    """Have the logger's terminal show what a user needs; its file is not changed."""
    for handler in _terminals(logger):
        if not _filters(handler):
            handler.addFilter(StartFilter())
            handler.setFormatter(_Formatter())


def end_start(logger: MMLogger) -> None:
    """The start is over: from here on the terminal shows what OpenMMLab's packages log."""
    for handler in _terminals(logger):
        for each in _filters(handler):
            each.started = True


@contextlib.contextmanager
def prints_into_log(logger: MMLogger) -> Iterator[None]:
    """While data sets are built: pycocotools prints what it does. It goes to the log file, and with ``--verbose``
    to the terminal as well."""
    with contextlib.redirect_stdout(_IntoLog(logger)):
        yield


class _IntoLog(io.TextIOBase):
    """Hands each printed line to a logger."""

    def __init__(self, logger: MMLogger) -> None:
        self.logger, self.rest = logger, ''

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split('\n')
        for line in filter(None, lines):
            self.logger.info(line, extra=dict(printed=True))
        return len(text)


def _terminals(logger: MMLogger) -> list[logging.Handler]:
    return [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]


def _filters(handler: logging.Handler) -> list[StartFilter]:
    return [each for each in handler.filters if isinstance(each, StartFilter)]


def _of_openmmlab(record: logging.LogRecord) -> bool:
    """Whether the code that logged this is OpenMMLab's; mmengine's ``print_log`` is not who it logs for."""
    if getattr(record, 'printed', False):
        return True
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LOGGING):
        frame = frame.f_back
    return frame.f_globals.get('__name__', '').split('.')[0] in ('mmengine', 'mmdet', 'mmcv')
