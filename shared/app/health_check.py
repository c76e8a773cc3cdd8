"""``dsr health``: asks the service of this container whether its loops run."""

import os
import urllib.error
import urllib.request

from shared.domain.errors import Misconfigured, Unavailable

_SECONDS = 3


def health() -> None:
    """Ask the service at DSR_HTTP_PORT of this machine whether its loops run; status 1 if not."""
    port = os.environ.get("DSR_HTTP_PORT", "")
    if not port.isdecimal() or int(port) not in range(1, 65_536):
        raise Misconfigured("DSR_HTTP_PORT is not set to a port: set it to that of the service")
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=_SECONDS).close()
    except urllib.error.HTTPError as error:
        raise Unavailable(f"the service at port {port} is not well, restart it: {error.read().decode()}") from None
    except OSError:
        raise Unavailable(f"no service answers at port {port}: start it, or correct DSR_HTTP_PORT") from None
