"""Checks the ID token of the identity provider (OpenID Connect Core 1.0, 3.1.3.7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.console.roles import Role
from services.console.settings import ConsoleSettings
from services.intake.access.auth import HOLDER
from services.intake.core.errors import Forbidden

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "Ed25519", "EdDSA")
_OLDEST_SECONDS: Final = 600
_LONGEST: Final = 16_384
_BEYOND: Final = 10**12


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


def read(token: str, keys: KeySet, settings: ConsoleSettings, nonce: str, now: datetime) -> SignedIn:
    """Reads who has signed in; the token must answer the sign-in with that nonce.

    Raises:
        NotSignedIn: the token is not of that provider, not for us, not of now, not an answer to our question, or says
            nothing of a second factor, of who it is, or of a role.
    """
    if len(token) > _LONGEST:
        raise NotSignedIn("the token of the provider is longer than any that we read")
    try:
        said = jwt.decode(token, keys, algorithms=[*ALGORITHMS]).claims
    except (JoseError, ValueError, TypeError, KeyError):
        raise NotSignedIn("the provider's token is signed by no key of the provider, or cannot be read") from None
    if fault := _fault(said, settings, nonce, now.timestamp()):
        raise NotSignedIn(fault)
    return _who(said, settings)


def _fault(said: Mapping[str, Any], settings: ConsoleSettings, nonce: str, now: float) -> str | None:
    audience = said.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    issued, expires = _seconds(said.get("iat")), _seconds(said.get("exp"))
    azp, skew = said.get("azp"), settings.skew_seconds
    amr, acr = settings.second_factors
    methods, context = _texts(said.get("amr")), _texts([said.get("acr")])
    checks = (
        (said.get("iss") == settings.issuer, "iss: the token is of another issuer"),
        (settings.client_id in audiences, "aud: the token is for another client"),
        (
            azp == settings.client_id or (azp is None and len(audiences) == 1),
            "azp: the token was issued to another client",
        ),
        (issued - skew <= now, "iat: the token is of the future; set the clocks"),
        (now <= issued + _OLDEST_SECONDS + skew, "iat: the token is too old"),
        (now < expires + skew, "exp: the token has expired"),
        (bool(nonce) and said.get("nonce") == nonce, "nonce: the token answers another sign-in"),
        (isinstance(said.get("sub"), str) and bool(said["sub"]), "sub: the token does not say whose it is"),
        (
            not amr.isdisjoint(methods) or not acr.isdisjoint(context),
            "amr, acr: nothing says that there was a second factor; sign in with one",
        ),
    )
    return next((fault for holds, fault in checks if not holds), None)


def _who(said: Mapping[str, Any], settings: ConsoleSettings) -> SignedIn:
    holder = said.get(settings.holder_claim)
    if not isinstance(holder, str) or HOLDER.fullmatch(holder) is None:
        raise NotSignedIn(
            f"{settings.holder_claim}: it must be a reference to an account, in small letters, as a.weber; it stands in"
            " the evidence"
        )
    listed = _within(said, settings.roles_claim)
    named = listed if isinstance(listed, list) else [listed]
    roles = tuple(role for value, role in settings.named.items() if value in named)
    if not roles:
        raise NotSignedIn(
            f"{settings.roles_claim}: it names none of {', '.join(settings.named)}: you have no role here"
        )
    name = said.get("name")
    return SignedIn(said["iss"], said["sub"], holder, name if isinstance(name, str) and name else holder, roles)


def _within(said: Mapping[str, Any], claim: str) -> object:
    if claim in said:
        return said[claim]
    found: object = said
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
