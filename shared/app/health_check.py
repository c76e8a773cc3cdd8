"""``dsr health``: asks the service of this container whether its loops run."""

import os
import urllib.error
import urllib.request

import typer

from shared.domain.errors import Misconfigured

_SECONDS = 3


def alive(port: str) -> bool:
    """Whether ``/healthz`` on this port says yes in time."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=_SECONDS):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


def health() -> None:
    """Ask the service at DSR_HTTP_PORT of this machine whether its loops run; status 1 if not."""
    if not (port := os.environ.get("DSR_HTTP_PORT")):
        raise Misconfigured("DSR_HTTP_PORT is not set")
    if not alive(port):
        raise typer.Exit(1)
