"""The one exception for a user's mistake: a sentence to act on, not a traceback to read."""


class UserError(Exception):
    """What was expected, what was found and what to do, in one sentence.

    Command-line tools print it after ``error:`` and exit with status 2; see
    :mod:`hsakd_mm.engine.launch`. Library code raises it where the user can mend the cause.
    """
