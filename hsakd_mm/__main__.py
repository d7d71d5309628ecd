"""``python -m hsakd_mm`` is ``hsakd-mm``."""

from hsakd_mm.commands.main import main

if __name__ == '__main__':
    main()
