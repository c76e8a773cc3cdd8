"""Adds security headers to every response; refuses calls from other sites, and too many calls."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.intake.access.quota import RateLimiter, client_address
from services.intake.core.errors import Forbidden
from shared.domain.errors import DsrError

log = logging.getLogger(__name__)

_READING = frozenset({"GET", "HEAD"})
_POLICY: Mapping[str, str] = {
    "default-src": "'none'",
    "style-src": "'self'",
    "img-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "X-Robots-Tag": "noindex",
}
"""The headers of every response, unless a page sets its own; pages are also never cached."""
_SECURE: Mapping[str, str] = {"Strict-Transport-Security": "max-age=31536000"}
STATIC: Final = "/static/"


@dataclass(frozen=True)
class Guard:
    """An ASGI application around a site; ``url``: where people reach it.

    ``refuse``: what answers a call that goes no further.
    """

    app: ASGIApp
    url: str
    proxies: int
    pages: RateLimiter
    refuse: ASGIApp = field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the call on, or answers with the page of the refusal."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.update(_SECURE if self.url.startswith("https:") else {})
                if not _is_static(scope):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        if scope["type"] != "http":
            return
        scope.setdefault("state", {})["refused"] = None
        try:
            self._admit(scope)
        except Exception as error:  # noqa: BLE001  # it is answered with a page, whatever it is
            if not isinstance(error, DsrError):
                log.warning("a call of a site could not be judged: %s", type(error).__name__)
            scope["state"]["refused"] = error
            await self.refuse(scope, receive, with_headers)
            return
        await self.app(scope, receive, with_headers)

    def _admit(self, scope: Scope) -> None:
        """Raises ``TooManyCalls`` or ``Forbidden``."""
        headers = Headers(scope=scope)
        if not _is_static(scope):
            self.pages.take(client_address(scope, headers.get("x-forwarded-for", ""), self.proxies))
        if scope["method"] not in _READING and self._is_foreign(headers):
            raise Forbidden("another site sent this form")

    def _is_foreign(self, headers: Headers) -> bool:
        """Returns whether another site sent the call, by its headers; the token of the form is checked later."""
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return True
        origin = headers.get("origin", "null")
        try:
            return origin != "null" and urlsplit(origin)[:2] != urlsplit(self.url)[:2]
        except ValueError:  # not an address
            return True


def _is_static(scope: Scope) -> bool:
    """Returns whether a static file is asked for; ``root_path``: the base of the site."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).startswith(STATIC)


def refused(request: Request) -> Exception:
    """Returns why a call was refused."""
    error: Exception = request.state.refused
    return error


def origin(url: str) -> str:
    """Returns the scheme and host of the address of a site.

    Raises:
        ValueError: it is no such address, or is unencrypted and not local.
    """
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost"}
    if not (parts.scheme == "https" or local) or not parts.netloc or parts.path not in {"", "/"} or parts.query:
        raise ValueError("not scheme and host alone")
    return f"{parts.scheme}://{parts.netloc}"
