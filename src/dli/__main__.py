"""``dli`` and ``python -m dli``: a process that lives for one command."""

import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn

_SELDOM = 100_000
"""So many objects are made before garbage is looked for: loading the program makes as many, and no garbage."""


def run() -> NoReturn:
    """Run the command line in a process of its own, and end it with the command's exit status."""
    gc.set_threshold(_SELDOM, 20, 20)
    # Looking for plugins of pydantic reads the metadata of every distribution that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    try:
        from dli.main import main

        status = main()
    except KeyboardInterrupt:  # while the program was loaded
        status = 130  # as dli.session.INTERRUPTED, which may not be loaded yet
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Every command closes what it opened; to take down all that was loaded costs a tenth of a small run.
    os._exit(status)


if __name__ == "__main__":
    run()
