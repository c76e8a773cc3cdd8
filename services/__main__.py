"""``python -m services`` is the command ``dsr``: Ctrl-C ends it quietly, with status 130, from here on.

What follows takes half a second to import, and an interrupt among imports is a traceback, or is lost in one.
"""

# The module of C: `signal` imports much before it can do anything.
from _signal import SIG_DFL, SIG_IGN, SIGINT, getsignal, signal  # type: ignore[import-not-found]

ignored = getsignal(SIGINT) == SIG_IGN  # as a shell has it for what it runs in the background
signal(SIGINT, SIG_IGN if ignored else SIG_DFL)

import os  # noqa: E402
import sys  # noqa: E402

if not ignored:
    signal(SIGINT, lambda *_: os._exit(130))
if sys.flags.no_site:  # the command has left that to us, as it takes a while too
    import site

    site.main()

from services import run  # noqa: E402
from shared.domain.topics import ServiceName  # noqa: E402

if __name__ == "__main__":
    try:
        if len(sys.argv) == 3 and sys.argv[1] == "run" and sys.argv[2] in set(ServiceName):  # noqa: PLR2004
            run(sys.argv[2])  # without the command line, whose import takes longer than that of half a service
        else:
            from services.cli.main import main

            main()
    finally:
        signal(SIGINT, SIG_IGN if ignored else SIG_DFL)  # nothing is left to be ended
