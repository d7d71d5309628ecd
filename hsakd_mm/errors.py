"""The exception for a user's mistake, shown as one sentence instead of a traceback."""


class UserError(Exception):
    """Says in one sentence what was expected, what was found and what to do.

    Command-line tools print it after ``error:`` and exit with status 2; see
    :mod:`hsakd_mm.engine.launch`. Library code raises it for causes that the user can fix.
    """
