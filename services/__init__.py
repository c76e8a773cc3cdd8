"""The six services, of which none imports another; pages of intake (portal, console, web); the command `dsr`."""

import gc
import runpy
import sys
from types import SimpleNamespace


def run(service: str) -> None:
    """Runs a service until SIGTERM."""
    gc.disable()  # nothing of what is imported is garbage: the service lets it go on once it is configured
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # its command line, by which rich and pygments come
    # its command line, by which click and multiprocessing come
    sys.modules["uvicorn.main"] = SimpleNamespace(Server=None, main=None, run=None)  # type: ignore[assignment]
    runpy.run_module(f"services.{service}", run_name="__main__", alter_sys=True)
