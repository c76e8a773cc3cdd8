"""``dsr health``: asks the service of this container whether its loops run."""

import os
import urllib.error
import urllib.request

import typer

from shared.domain.errors import Misconfigured

_SECONDS = 3


def health() -> None:
    """Ask the service at DSR_HTTP_PORT of this machine whether its loops run; status 1 if not."""
    if not (port := os.environ.get("DSR_HTTP_PORT")):
        raise Misconfigured("DSR_HTTP_PORT is not set")
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=_SECONDS).close()
    except (urllib.error.URLError, TimeoutError):
        raise typer.Exit(1) from None
