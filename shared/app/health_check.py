"""``python -m shared.app.health_check`` asks the service of this container whether its loops run; status 0 if so."""

import os
import sys
import urllib.error
import urllib.request

_SECONDS = 3


def alive(port: str) -> bool:
    """Whether ``/healthz`` on this port says yes in time."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=_SECONDS):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


if __name__ == "__main__":
    sys.exit(0 if alive(os.environ["DSR_HTTP_PORT"]) else 1)
