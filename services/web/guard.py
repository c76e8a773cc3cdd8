"""What every answer of a site carries, and what no page is asked for: calls from other sites, and too many of them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.intake.access.quota import Rate, address_of
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
"""Of every answer that does not say otherwise, as the report does; pages are kept by no cache besides."""
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
    pages: Rate
    refuse: ASGIApp = field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the call on, or answers it with a page that says why not."""

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
            self._look(scope)
        except Exception as error:  # noqa: BLE001  # it is answered with a page, whatever it is
            if not isinstance(error, DsrError):
                log.warning("a call of a site could not be judged: %s", type(error).__name__)
            scope["state"]["refused"] = error
            await self.refuse(scope, receive, with_headers)
            return
        await self.app(scope, receive, with_headers)

    def _look(self, scope: Scope) -> None:
        """Raises ``TooManyCalls`` or ``Forbidden``."""
        headers = Headers(scope=scope)
        if not _is_static(scope):
            self.pages.take(address_of(scope, headers.get("x-forwarded-for", ""), self.proxies))
        if scope["method"] not in _READING and self._is_foreign(headers):
            raise Forbidden("this was sent by a page that is not ours")

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a page of another site has sent it, as far as the browser says; the form's token decides besides."""
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return True
        origin = headers.get("origin", "null")
        try:
            return origin != "null" and urlsplit(origin)[:2] != urlsplit(self.url)[:2]
        except ValueError:  # it is no address, so it is none of ours
            return True


def _is_static(scope: Scope) -> bool:
    """Whether a file of ours is asked for, which is the same for everybody; ``root_path``: where the site is."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).startswith(STATIC)


def refused(request: Request) -> Exception:
    """Why a call went no further."""
    error: Exception = request.state.refused
    return error


def origin(url: str) -> str:
    """The scheme and host of an address by which people reach a site.

    Raises:
        ValueError: it is none, or is unencrypted and not on this machine alone.
    """
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost"}
    if not (parts.scheme == "https" or local) or not parts.netloc or parts.path not in {"", "/"} or parts.query:
        raise ValueError("not scheme and host alone")
    return f"{parts.scheme}://{parts.netloc}"
