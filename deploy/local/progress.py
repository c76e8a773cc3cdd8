"""Says on standard error which long step began, and how long it took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(title: str) -> Iterator[None]:
    """Shows a step while the block runs, also from several threads at a time."""
    began = time.monotonic()
    sys.stderr.write(f"-> {title}\n")
    yield
    sys.stderr.write(f"   {title}: {time.monotonic() - began:.1f} s\n")
