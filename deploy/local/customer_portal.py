"""A company's customer portal, as far as trying needs it: it says by a signed token who has signed in."""

import html
import secrets
import threading
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import orjson
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from deploy.local.ports import HOST
from shared.domain.clock import SystemClock
from shared.domain.wording import LANGUAGES

_ISSUER = "https://my.demonstration.example"
_ALGORITHM: Final = "Ed25519"
_SECONDS = 240
_STYLE: Final = "<style>body{font:1.1rem/1.7 system-ui,sans-serif;max-width:36rem;margin:2rem auto}</style>"


class Visitor(NamedTuple):
    """A customer who may sign in."""

    account: str
    name: str
    email: str
    country: str
    language: str


class CustomerPortal:
    """A page where one chooses a customer, is signed in as they would be with a second factor, and goes on to privacy.

    ``privacy``: scheme and host of the portal for privacy requests.
    """

    def __init__(self, folder: Path, privacy: str, customers: Sequence[Visitor]) -> None:
        self._privacy = privacy
        self._customers = {customer.account: customer for customer in customers}
        self._key = OKPKey.generate_key(_ALGORITHM, {"kid": "demonstration"})
        self._keys = folder / "customer-portal.json"
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self._server.server_port}/"

    @property
    def env(self) -> Mapping[str, str]:
        """The settings by which the portal for privacy requests trusts it; writes its public keys."""
        self._keys.write_bytes(orjson.dumps(KeySet([self._key]).as_dict(private=False)))
        return {
            "DSR_PORTAL_SIGN_IN_URL": self.url,
            "DSR_PORTAL_SIGN_IN_ISSUER": _ISSUER,
            "DSR_PORTAL_SIGN_IN_KEYS": str(self._keys),
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        portal = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                chosen = parse_qs(urlsplit(self.path).query).get("customer", [""])[-1]
                customer = portal._customers.get(chosen)  # it is the portal's own
                if customer is not None:
                    self.send_response(HTTPStatus.SEE_OTHER)
                    self.send_header("Location", portal._way_on(customer))  # as above
                    self.end_headers()
                    return
                body = portal._page()  # as above
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_args: object) -> None:  # noqa: A002  # as it is called
                del format  # an address has a token in it

        return Answer

    def _way_on(self, customer: Visitor) -> str:
        now = int(SystemClock().now().timestamp())
        said = {
            "iss": _ISSUER,
            "aud": self._privacy,
            "iat": now,
            "exp": now + _SECONDS,
            "jti": secrets.token_urlsafe(),
            "sub": customer.account,
            "email": customer.email.lower(),
            "email_verified": True,
            "amr": ["pwd", "otp"],
        }
        token = jwt.encode({"alg": _ALGORITHM, "kid": "demonstration"}, said, self._key, algorithms=[_ALGORITHM])
        language = customer.language if customer.language in LANGUAGES else LANGUAGES[0]
        return f"{self._privacy}/portal/{language}/signed-in?token={token}"

    def _page(self) -> bytes:
        links = (
            f'<li><a href="?customer={account}">{html.escape(customer.name)} ({customer.country})</a></li>'
            for account, customer in self._customers.items()
        )
        title = "Customer portal"
        head = f"<title>{title}</title><meta name=viewport content='width=device-width'>{_STYLE}"
        lead = "<p>Choose who you are. You are signed in with a second factor, and go on to your privacy requests.</p>"
        return f"<!doctype html><html lang=en>{head}<h1>{title}</h1>{lead}<ul>{''.join(links)}</ul></html>".encode()
