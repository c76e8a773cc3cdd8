"""An identity provider (OpenID Connect) with four people, for demonstration and tests on this machine alone.

It asks for no name and, unless one is set, for no password. It speaks the code flow with PKCE as any other.
``python -m deploy.local.identity_provider PORT CONSOLE_URL [HOST]`` runs it.
"""

import base64
import hashlib
import hmac
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.local.paths import ROOT
from deploy.local.ports import HOST, answers
from deploy.local.process import Child
from shared.domain.clock import Clock, SystemClock

CLIENT: Final = "dsr-console"
_SECONDS: Final = 60
_LONGEST: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the demonstration's privacy team."""

    account: str
    name: str
    roles: tuple[str, ...]


PEOPLE: Final = (
    Member("mara.lind", "Mara Lind", ("dsr-handler",)),
    Member("jonas.berg", "Jonas Berg", ("dsr-approver",)),
    Member("iris.vogt", "Iris Vogt", ("dsr-auditor",)),
    Member("tom.falk", "Tom Falk", ("dsr-admin",)),
)
_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title>
<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem}}
button{{font:inherit;display:block;width:100%;text-align:start;padding:.6rem 1rem;margin:.5rem 0}}</style></head>
<body><main>
<h1>Who are you?</h1><p>Sign in as one of these invented people.</p>
<form method="post"><input type="hidden" name="asked" value="{asked}">{password}{people}
<p><label><input type="checkbox" name="once" value="yes"> without a second factor</label></p></form>
</main></body></html>"""


_ASKED: Final = '<p><label>Password <input type="password" name="password" required autofocus></label></p>'
_VARIABLE: Final = "IDENTITY_PROVIDER_PASSWORD"


@dataclass
class IdentityProvider:
    """Its pages; ``codes``: what was given out and not exchanged yet. ``changed``: claims that it says otherwise.

    ``secret``: the client's; ``password``: the one of all people, if they need one.
    """

    issuer: str
    console: str
    clock: Clock = field(default_factory=SystemClock)
    people: tuple[Member, ...] = PEOPLE
    secret: str | None = None
    password: str = ""
    changed: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "one", "use": "sig"}))

    def application(self) -> Starlette:
        """Returns the application to serve at the issuer."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.configuration),
                Route("/authorize", self.authorize, methods=["GET", "POST"]),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", self.keys),
            ]
        )

    async def configuration(self, _: Request) -> Response:
        """Returns its metadata (OpenID Connect Discovery 1.0)."""
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def keys(self, _: Request) -> Response:
        """Returns the keys that verify its tokens (RFC 7517)."""
        return JSONResponse(KeySet([self.key]).as_dict(private=False))

    async def authorize(self, request: Request) -> Response:
        """Asks who it is, and sends them back with a code."""
        if request.method == "GET":
            asked = dict(request.query_params)
            if not self._is_ours(asked):
                return HTMLResponse("<h1>Not for us</h1>", 400)
            buttons = "".join(
                f'<button name="who" value="{each.account}">{escape(each.name)}<br><small>'
                f"{escape(', '.join(each.roles))}</small></button>"
                for each in self.people
            )
            return HTMLResponse(
                _PAGE.format(asked=escape(urlencode(asked)), people=buttons, password=_ASKED if self.password else "")
            )
        form = dict(parse_qsl((await request.body())[:_LONGEST].decode()))
        asked = dict(parse_qsl(form.get("asked", "")))
        who = next((each for each in self.people if each.account == form.get("who")), None)
        if who is None or not self._is_ours(asked):
            return HTMLResponse("<h1>Not for us</h1>", 400)
        if not hmac.compare_digest(form.get("password", "").encode(), self.password.encode()):
            return HTMLResponse("<h1>Wrong password</h1><p>Go back and enter the one that was printed.</p>", 403)
        code = secrets.token_urlsafe(32)
        self.codes[code] = {**asked, "who": who, "amr": ["pwd"] if "once" in form else ["pwd", "otp", "mfa"]}
        back = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 303)

    async def token(self, request: Request) -> Response:
        """Exchanges a code for a token, once."""
        form = dict(parse_qsl((await request.body())[:_LONGEST].decode()))
        asked = self.codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        good = (
            asked is not None
            and hmac.compare_digest(asked["code_challenge"], challenge)
            and form.get("redirect_uri") == asked["redirect_uri"]
            and self._knows(request, form)
        )
        if asked is None or not good:
            return JSONResponse({"error": "invalid_grant"}, 400)
        member, now = asked["who"], int(self.clock.now().timestamp())
        said = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": member.account,
            "iat": now,
            "exp": now + _SECONDS,
            "nonce": asked["nonce"],
            "amr": asked["amr"],
            "name": member.name,
            "roles": [*member.roles],
            "preferred_username": member.account,
        }
        said = {name: value for name, value in (said | self.changed).items() if value is not None}
        token = jwt.encode({"alg": "ES256", "kid": self.key.kid}, said, self.key)
        return JSONResponse(
            {"id_token": token, "access_token": secrets.token_urlsafe(8), "token_type": "Bearer"},
            headers={"Cache-Control": "no-store"},
        )

    def _knows(self, request: Request, form: Mapping[str, str]) -> bool:
        if self.secret is None:
            return form.get("client_id") == CLIENT
        basic = base64.b64encode(f"{CLIENT}:{self.secret}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {basic}"

    def _is_ours(self, asked: Mapping[str, str]) -> bool:
        """Whether it comes from the console, and asks for no less than it should."""
        return (
            asked.get("client_id") == CLIENT
            and asked.get("redirect_uri") == f"{self.console}/console/signed-in"
            and asked.get("response_type") == "code"
            and asked.get("code_challenge_method") == "S256"
            and all(asked.get(name) for name in ("state", "nonce", "code_challenge"))
            and "openid" in asked.get("scope", "").split()
        )


def child(folder: Path, port: int, console: str, password: str | None = None) -> tuple[Child, str]:
    """The provider as a process of its own, and its issuer; ``console``: scheme and host of what trusts it."""
    issuer = f"http://{HOST}:{port}"
    command: list[str | Path | int] = [sys.executable, "-m", __name__, port, console]
    ready, log = answers(f"{issuer}/.well-known/openid-configuration"), folder / "identity-provider.log"
    return Child("identity-provider", command, log=log, ready=ready, env={_VARIABLE: password or ""}, cwd=ROOT), issuer


def main(port: int, console: str, host: str = HOST) -> None:
    """Answers on that port of this machine until it is ended; ``host``: on which of its addresses."""
    provider = IdentityProvider(f"http://{HOST}:{port}", console, password=os.environ.get(_VARIABLE, ""))
    uvicorn.run(provider.application(), host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
