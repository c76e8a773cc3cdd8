"""Reads the signed tokens of the company's customer portal (JWS, RFC 7515; JWT, RFC 7519).

``sub`` is the account, ``aud`` this portal, ``jti`` lets it be used once. ``email`` counts only if ``email_verified``
is ``true``. ``amr`` (RFC 8176) states a second factor by ``mfa``, or by ``pwd`` with ``otp``, ``hwk``, ``sc`` or
``swk``. A token is good for five minutes at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import ValidationError

from services.intake.core.errors import BadRequest
from services.portal.draft import PortalSignIn
from services.portal.settings import PortalSettings
from shared.domain.errors import Fault, Misconfigured, of_variable

ALGORITHMS: Final = ("Ed25519", "ES256", "RS256", "PS256")
LONGEST_SECONDS: Final = 300
_SKEW_SECONDS: Final = 60
_LONGEST: Final = 4096
_SECOND: Final = frozenset({"otp", "hwk", "sc", "swk"})
_REFUSED = "the sign-in cannot be used: it is too old, or not for this page; sign in again"


@dataclass(frozen=True)
class SignInTokens:
    """Reads the tokens of one issuer for one audience (the address of this portal)."""

    keys: KeySet
    issuer: str
    audience: str

    @classmethod
    def of(cls, settings: PortalSettings) -> Self | None:
        """Returns the reader by the settings; None without keys. Raises ``Misconfigured``."""
        if settings.sign_in_keys is None or settings.sign_in_issuer is None:
            return None
        keys = of_variable("DSR_PORTAL_SIGN_IN_KEYS", partial(_read, settings.sign_in_keys))
        return cls(keys, settings.sign_in_issuer, settings.url)

    def read(self, token: str, now: datetime) -> tuple[PortalSignIn, str]:
        """Reads who has signed in, and the ID of the token.

        Raises:
            BadRequest: the token is of another issuer, for another audience, or expired.
        """
        if len(token) > _LONGEST:
            raise BadRequest(_REFUSED)
        try:
            said = jwt.decode(token, self.keys, algorithms=[*ALGORITHMS]).claims
            self._must_be_good(said, now.timestamp())
            method = "signed_in_mfa" if _has_second_factor(said.get("amr")) else "account"
            return PortalSignIn.model_validate({**_who(said), "method": method}), str(said["jti"])
        except (JoseError, ValidationError, ValueError, TypeError, KeyError):
            raise BadRequest(_REFUSED) from None

    def _must_be_good(self, said: Mapping[str, Any], now: float) -> None:
        audience = said["aud"] if isinstance(said["aud"], list) else [said["aud"]]
        issued, expires = float(said["iat"]), float(said["exp"])
        fresh = issued - _SKEW_SECONDS <= now < expires + _SKEW_SECONDS and expires - issued <= LONGEST_SECONDS
        if not (said["iss"] == self.issuer and self.audience in audience and fresh and said["jti"]):
            raise ValueError("not for us, or not of now")


def _who(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"account_id": said["sub"], "email": said.get("email") if said.get("email_verified") is True else None}


def _has_second_factor(amr: object) -> bool:
    methods = set(amr) if isinstance(amr, list) else set()
    return "mfa" in methods or ("pwd" in methods and not _SECOND.isdisjoint(methods))


def _read(path: Path) -> KeySet:
    try:
        return KeySet.import_key_set(orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, JoseError):
        raise Misconfigured(Fault("holds no JWK set (RFC 7517): write the public keys there", str(path))) from None
