"""The identity provider (OpenID Connect Core 1.0): the code flow with PKCE (RFC 7636), as one client of it."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, ValidationError

from services.console import id_token
from services.console.id_token import NotSignedIn, SignedIn
from services.console.settings import ConsoleSettings, issuer_url
from services.intake.core.errors import Overloaded
from shared.domain.clock import Clock

_SECONDS: Final = 5.0
_LONGEST: Final = 256 * 1024
_KNOWN_SECONDS: Final = 3600.0
_DISCOVERY: Final = "/.well-known/openid-configuration"


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
class Question:
    """The secrets of one sign-in, which the answer must match."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> "Question":
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

    async def address(self, question: Question) -> str:
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

    async def answer(self, question: Question, said: dict[str, str]) -> SignedIn:
        """Reads who has signed in from the answer that the browser brings.

        Raises:
            NotSignedIn: the answer does not match, or the provider refuses the sign-in.
            ProviderAway: it does not answer.
        """
        if not hmac.compare_digest(said.get("state", "").encode(), question.state.encode()):
            raise NotSignedIn("state: the answer does not belong to a sign-in of this browser")
        if said.get("iss", self._settings.issuer) != self._settings.issuer:  # RFC 9207
            raise NotSignedIn("iss: another provider has answered")
        if "code" not in said:
            raise NotSignedIn("the provider refused the sign-in")
        token = await self._exchange(said["code"], question.verifier)
        keys = await self._keys_for(token)
        return id_token.read(token, keys, self._settings, question.nonce, self._clock.now())

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
            async with httpx.AsyncClient(timeout=_SECONDS) as client:
                answer = await client.request(method, url, headers={"Accept": "application/json"}, **more)
            if len(answer.content) > _LONGEST or answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise ProviderAway("the identity provider does not answer as one; try again later")
            return answer.status_code, answer.json()
        except (httpx.HTTPError, ValueError):
            raise ProviderAway("the identity provider cannot be reached; try again later") from None
