"""Lets downloads trust the certificates of this machine: companies inspect TLS with their own authority.

As a program it prints the file; needs the standard library alone.
"""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

CHOSEN = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
"""The variables by which one names certificates of one's own, the first that is set."""
_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
)
ADVICE = (
    "check the network (HTTPS_PROXY); where a company looks into TLS, set SSL_CERT_FILE to a PEM file with its"
    " certificates"
)


class DownloadFailedError(RuntimeError):
    """Something that is missing here could not be fetched; the message says in one line what to do."""

    def __init__(self, what: str, said: str) -> None:
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "no more is known")
        super().__init__(f"{what} could not be fetched: {last}: {ADVICE}")


def trusted() -> Path | None:
    """The file with the authorities that are trusted: the one that a variable names, else the machine's."""
    named = [os.environ[name] for name in CHOSEN if os.environ.get(name)]
    paths = [*named, ssl.get_default_verify_paths().openssl_cafile, *_STORES]
    return next((Path(path) for path in paths if path and Path(path).is_file()), None)


def environment() -> Mapping[str, str]:
    """Variables for a download by uv, requests or Go; empty where nothing is known of this machine's."""
    authorities = trusted()
    return {} if authorities is None else {"SSL_CERT_FILE": str(authorities), "REQUESTS_CA_BUNDLE": str(authorities)}


if __name__ == "__main__":
    print(trusted() or "")  # noqa: T201  # the Makefile reads it
