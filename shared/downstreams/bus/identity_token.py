"""Identity tokens: with one a team fetches one subject's identities, for one task and until it expires.

A task on the bus says nothing about the person. It carries a token instead, which intake exchanges for the identities
over HTTPS. The token is encrypted: whom a task is about cannot be told from the bus either.
"""

import binascii
import hmac
import json
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken

from shared.domain.errors import DsrError

TOKEN_HEADER = "DSR-Claim"  # noqa: S105  # the name of a header
"""The request header in which a team shows the token to intake."""

_LONGEST_TOKEN = 1024
_SHORTEST = 73
"""Bytes of an empty Fernet token: version, time, initialisation vector, one block, signature."""
_FERNET_VERSION = b"\x80"
_SIGNED_PARTS = 3


class TokenMalformed(DsrError):
    """This is not a token; send the ``claim`` of the task exactly as it came."""

    code: ClassVar[str] = "claim_malformed"


class TokenForged(DsrError):
    """The token was not made with our key, or was changed."""

    code: ClassVar[str] = "claim_forged"


class TokenExpired(DsrError):
    """The token is past its expiry; the task is sent again with a fresh one."""

    code: ClassVar[str] = "claim_expired"


@dataclass(frozen=True, slots=True)
class IdentityToken:
    """The right of ``system`` to know who ``subject_ref`` is, for one task, until ``expires_at`` (whole seconds)."""

    task_id: UUID
    system: str
    subject_ref: UUID
    expires_at: datetime


def issue(token: IdentityToken, key: bytes, now: datetime) -> str:
    """The token as it travels, encrypted with the keyring's 32 bytes for it; safe in a header."""
    said = {
        "task": str(token.task_id),
        "system": token.system,
        "subject": str(token.subject_ref),
        "exp": int(token.expires_at.timestamp()),
    }
    return _fernet(key).encrypt_at_time(json.dumps(said).encode(), int(now.timestamp())).decode()


def verify(token: str, key: bytes, now: datetime) -> IdentityToken:
    """Reads a token that we issued and that has not expired.

    Raises:
        TokenMalformed: It is no token at all.
        TokenForged: It was made with another key, or changed.
        TokenExpired: It was ours, until ``expires_at``.
    """
    if not token.isascii() or len(token) > _LONGEST_TOKEN:
        raise TokenMalformed("a token is the claim of a task, as it came")
    read = _read(_signed(token, key) if token.startswith("v1.") else _encrypted(token, key))
    if now >= read.expires_at:
        raise TokenExpired(f"the token expired at {read.expires_at.isoformat()}; the task is sent again with another")
    return read


def _fernet(key: bytes) -> Fernet:
    return Fernet(urlsafe_b64encode(key))


def _encrypted(token: str, key: bytes) -> bytes:
    try:
        return _fernet(key).decrypt(token)
    except InvalidToken:
        raw = _decoded(token)
        if len(raw) < _SHORTEST or not raw.startswith(_FERNET_VERSION):
            raise TokenMalformed("a token is the claim of a task, as it came") from None
        raise TokenForged("the token was made with another key, or changed") from None


def _signed(token: str, key: bytes) -> bytes:
    """The form before: ``v1.<payload>.<signature>``, accepted for as long as one that was issued so can be good."""
    parts = token.split(".")
    if len(parts) != _SIGNED_PARTS:
        raise TokenMalformed("a signed token has the form v1.<payload>.<signature>")
    signed = hmac.digest(key, ".".join(parts[:2]).encode(), "sha256")
    if not hmac.compare_digest(_decoded(parts[2]), signed):
        raise TokenForged("the token's signature does not belong to what it says")
    return _decoded(parts[1])


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise TokenMalformed("a part of the token is not base64url") from None


def _read(payload: bytes) -> IdentityToken:
    try:
        said = json.loads(payload)
        return IdentityToken(
            task_id=UUID(said["task"]),
            system=str(said["system"]),
            subject_ref=UUID(said["subject"]),
            expires_at=datetime.fromtimestamp(said["exp"], UTC),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise TokenMalformed("the token is ours but lacks a field; it was made by another version") from error
