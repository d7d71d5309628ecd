"""The commands: ``hsakd-mm NAME`` where the package is installed, ``python tools/NAME.py`` in a checkout."""
