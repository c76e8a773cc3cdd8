"""The client of the identity provider (OpenID Connect Core 1.0): code flow with PKCE (RFC 7636), and its ID token."""

import base64
import hashlib
import hmac
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, ValidationError

from services.console.roles import Role
from services.console.settings import ConsoleSettings, issuer_url
from services.intake.access.auth import HOLDER
from services.intake.core.errors import Forbidden, Overloaded
from shared.domain.clock import Clock

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "Ed25519", "EdDSA")
_OLDEST_SECONDS: Final = 600
_LONGEST_TOKEN: Final = 16_384
_BEYOND: Final = 10**12
_SECONDS: Final = 5.0
_LONGEST: Final = 256 * 1024
_KNOWN_SECONDS: Final = 3600.0
_DISCOVERY: Final = "/.well-known/openid-configuration"


class NotSignedIn(Forbidden):
    """The sign-in failed: start again, and if it fails again, show this to the operator of the provider."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The person who has signed in: holder of their API keys, name and roles.

    ``issuer`` and ``subject`` (`iss`, `sub`) identify the account at the provider: a holder belongs to one of them.
    """

    issuer: str
    subject: str
    holder: str
    name: str
    roles: tuple[Role, ...]


class ProviderAway(Overloaded):
    """The identity provider does not answer: sign-ins wait; open sessions continue."""


class _Discovered(BaseModel):
    """The configuration of the provider (OpenID Connect Discovery 1.0, 3)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: AnyHttpUrl
    token_endpoint: AnyHttpUrl
    jwks_uri: AnyHttpUrl


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """The secrets of one sign-in, which the answer must match."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> "AuthorizationRequest":
        """Creates random secrets."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))


class Provider:
    """The client of the provider; its configuration and its keys are cached for an hour."""

    def __init__(self, settings: ConsoleSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._back = f"{settings.url}/console/signed-in"
        self._known: _Discovered | None = None
        self._keys: KeySet | None = None
        self._until = 0.0

    async def address(self, question: AuthorizationRequest) -> str:
        """Returns the address for the sign-in; raises ``ProviderAway``."""
        known = await self._discovered()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(question.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._back,
            "scope": "openid profile",
            "state": question.state,
            "nonce": question.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if self._settings.acr:
            asked["acr_values"] = " ".join(sorted(self._settings.second_factors[1]))
        address = str(known.authorization_endpoint)
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    async def answer(self, question: AuthorizationRequest, callback: dict[str, str]) -> SignedIn:
        """Reads who has signed in from the answer that the browser brings.

        Raises:
            NotSignedIn: the answer does not match, or the provider refuses the sign-in.
            ProviderAway: it does not answer.
        """
        if not hmac.compare_digest(callback.get("state", "").encode(), question.state.encode()):
            raise NotSignedIn("state: the answer does not belong to a sign-in of this browser")
        if callback.get("iss", self._settings.issuer) != self._settings.issuer:  # RFC 9207
            raise NotSignedIn("iss: another provider has answered")
        if "code" not in callback:
            raise NotSignedIn("the provider refused the sign-in")
        token = await self._exchange(callback["code"], question.verifier)
        keys = await self._keys_for(token)
        return read(token, keys, self._settings, question.nonce, self._clock.now())

    async def _exchange(self, code: str, verifier: str) -> str:
        """Exchanges a code, once, for a token (RFC 6749, 4.1.3)."""
        known, settings = await self._discovered(), self._settings
        body = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._back, "code_verifier": verifier}
        auth = None
        if settings.client_secret is None:
            body["client_id"] = settings.client_id
        else:
            auth = httpx.BasicAuth(settings.client_id, settings.client_secret.get_secret_value())
        status, answer = await self._ask("POST", str(known.token_endpoint), data=body, auth=auth)
        token = answer.get("id_token") if isinstance(answer, dict) else None
        if status != httpx.codes.OK or not isinstance(token, str):
            raise NotSignedIn("the provider gives no token for this code: it was used, or is too old")
        return token

    async def _keys_for(self, token: str) -> KeySet:
        """Returns the keys of the provider; fetches them again if the token names an unknown key."""
        try:
            named = extract_compact(token.encode()).headers().get("kid")
        except (JoseError, ValueError):
            raise NotSignedIn("the provider's token cannot be read") from None
        if self._keys is None or named not in {key.kid for key in self._keys.keys}:
            known = await self._discovered()
            _, answer = await self._ask("GET", str(known.jwks_uri))
            try:
                self._keys = KeySet.import_key_set(answer)
            except (JoseError, ValueError, TypeError, KeyError):
                raise ProviderAway("the provider's keys cannot be read") from None
        return self._keys

    async def _discovered(self) -> _Discovered:
        now = self._clock.now().timestamp()
        if self._known is None or now > self._until:
            name = self._settings.issuer or ""
            _, answer = await self._ask("GET", name.rstrip("/") + _DISCOVERY)
            try:
                known = _Discovered.model_validate(answer)
                for each in (known.authorization_endpoint, known.token_endpoint, known.jwks_uri):
                    issuer_url(str(each).partition("?")[0])
            except (ValidationError, ValueError):
                raise ProviderAway("the provider does not say where to sign in") from None
            if known.issuer != name:
                raise ProviderAway("the issuer of the provider differs from DSR_CONSOLE_ISSUER")
            self._known, self._keys, self._until = known, None, now + _KNOWN_SECONDS
        return self._known

    async def _ask(self, method: str, url: str, **more: Any) -> tuple[int, Any]:
        try:
            async with httpx.AsyncClient(timeout=_SECONDS, verify=_tls()) as client:
                answer = await client.request(method, url, headers={"Accept": "application/json"}, **more)
            if len(answer.content) > _LONGEST or answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise ProviderAway("the identity provider does not answer as one; try again later")
            return answer.status_code, answer.json()
        except (httpx.HTTPError, ValueError):
            raise ProviderAway("the identity provider cannot be reached; try again later") from None


@cache
def _tls() -> ssl.SSLContext:
    """Returns the trusted authorities, which each client would take 30 ms to read."""
    return httpx.create_ssl_context()


def read(token: str, keys: KeySet, settings: ConsoleSettings, nonce: str, now: datetime) -> SignedIn:
    """Reads who has signed in; the token must answer the sign-in with that nonce.

    Raises:
        NotSignedIn: the token is of another provider or audience, expired, or no answer to our question; or it lacks a
            second factor, a name or a role.
    """
    if len(token) > _LONGEST_TOKEN:
        raise NotSignedIn("the token of the provider is longer than any that we read")
    try:
        claims = jwt.decode(token, keys, algorithms=[*ALGORITHMS]).claims
    except (JoseError, ValueError, TypeError, KeyError):
        raise NotSignedIn("the provider's token is signed by no key of the provider, or cannot be read") from None
    if fault := _fault(claims, settings, nonce, now.timestamp()):
        raise NotSignedIn(fault)
    return _signed_in_user(claims, settings)


def _fault(claims: Mapping[str, Any], settings: ConsoleSettings, nonce: str, now: float) -> str | None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    issued, expires = _seconds(claims.get("iat")), _seconds(claims.get("exp"))
    azp, skew = claims.get("azp"), settings.skew_seconds
    amr, acr = settings.second_factors
    methods, context = _texts(claims.get("amr")), _texts([claims.get("acr")])
    checks = (
        (claims.get("iss") == settings.issuer, "iss: the token is of another issuer"),
        (settings.client_id in audiences, "aud: the token is for another client"),
        (
            azp == settings.client_id or (azp is None and len(audiences) == 1),
            "azp: the token was issued to another client",
        ),
        (issued - skew <= now, "iat: the token is of the future; set the clocks"),
        (now <= issued + _OLDEST_SECONDS + skew, "iat: the token is too old"),
        (now < expires + skew, "exp: the token has expired"),
        (bool(nonce) and claims.get("nonce") == nonce, "nonce: the token answers another sign-in"),
        (isinstance(claims.get("sub"), str) and bool(claims["sub"]), "sub: the token does not say whose it is"),
        (
            not amr.isdisjoint(methods) or not acr.isdisjoint(context),
            "amr, acr: nothing says that there was a second factor; sign in with one",
        ),
    )
    return next((fault for holds, fault in checks if not holds), None)


def _signed_in_user(claims: Mapping[str, Any], settings: ConsoleSettings) -> SignedIn:
    holder = claims.get(settings.holder_claim)
    if not isinstance(holder, str) or HOLDER.fullmatch(holder) is None:
        raise NotSignedIn(
            f"{settings.holder_claim}: it must be a reference to an account, in small letters, as a.weber; it stands in"
            " the evidence"
        )
    listed = _within(claims, settings.roles_claim)
    named = listed if isinstance(listed, list) else [listed]
    roles = tuple(role for value, role in settings.named.items() if value in named)
    if not roles:
        raise NotSignedIn(
            f"{settings.roles_claim}: it names none of {', '.join(settings.named)}: you have no role here"
        )
    name = claims.get("name")
    return SignedIn(claims["iss"], claims["sub"], holder, name if isinstance(name, str) and name else holder, roles)


def _within(claims: Mapping[str, Any], claim: str) -> object:
    if claim in claims:
        return claims[claim]
    found: object = claims
    for part in claim.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _seconds(value: object) -> float:
    """Returns a time of the token; an invalid one counts as expired."""
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) >= _BEYOND:
        return float("-inf")
    return float(value)
