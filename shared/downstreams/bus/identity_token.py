"""Claims: signed, expiring tokens with which a team fetches one subject's identities for one task.

A task on the bus says nothing about the person. It carries a claim instead, which intake exchanges for the identities
over HTTPS: the bus then holds a reference that dies at its expiry, never the data.
"""

import binascii
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

from shared.domain.errors import DsrError

CLAIM_HEADER = "DSR-Claim"
"""The request header in which a team shows its claim to intake."""

_VERSION = "v1"
_LONGEST_TOKEN = 1024
_PARTS = 3


class ClaimMalformed(DsrError):
    """This is not a claim; send the ``claim`` of the task exactly as it came."""

    code: ClassVar[str] = "claim_malformed"


class ClaimForged(DsrError):
    """The claim's signature does not belong to what it says."""

    code: ClassVar[str] = "claim_forged"


class ClaimExpired(DsrError):
    """The claim is past its expiry; the task is sent again with a fresh one."""

    code: ClassVar[str] = "claim_expired"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of ``system`` to know who ``subject_ref`` is, for one task, until ``expires_at`` (whole seconds)."""

    task_id: UUID
    system: str
    subject_ref: UUID
    expires_at: datetime


def mint(claim: Claim, key: bytes) -> str:
    """Sign a claim with the keyring's key for claims: ``v1.<payload>.<signature>``, safe in a header."""
    payload = json.dumps(
        {
            "task": str(claim.task_id),
            "system": claim.system,
            "subject": str(claim.subject_ref),
            "exp": int(claim.expires_at.timestamp()),
        },
        separators=(",", ":"),
    )
    signed = f"{_VERSION}.{_encode(payload.encode())}"
    return f"{signed}.{_encode(_sign(key, signed))}"


def verify(token: str, key: bytes, now: datetime) -> Claim:
    """Read a claim that we signed and that has not expired.

    Raises:
        ClaimMalformed: it is not a claim at all.
        ClaimForged: the signature is not ours, or of a key that was replaced.
        ClaimExpired: it was ours, until ``expires_at``.
    """
    parts = token.split(".")
    if not token.isascii() or len(token) > _LONGEST_TOKEN or len(parts) != _PARTS or parts[0] != _VERSION:
        raise ClaimMalformed("a claim has the form v1.<payload>.<signature>")
    _, payload, signature = parts
    if not hmac.compare_digest(_decode(signature), _sign(key, f"{_VERSION}.{payload}")):
        raise ClaimForged("the claim's signature does not belong to what it says")
    claim = _read(_decode(payload))
    if now >= claim.expires_at:
        raise ClaimExpired(f"the claim expired at {claim.expires_at.isoformat()}; the task is sent again with another")
    return claim


def _sign(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, signed.encode(), "sha256")


def _read(payload: bytes) -> Claim:
    try:
        said = json.loads(payload)
        return Claim(
            task_id=UUID(said["task"]),
            system=str(said["system"]),
            subject_ref=UUID(said["subject"]),
            expires_at=datetime.fromtimestamp(said["exp"], UTC),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ClaimMalformed("the claim is signed but lacks a field; it was made by another version") from error


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise ClaimMalformed("a part of the claim is not base64url") from error
    if _encode(raw) != text:
        raise ClaimMalformed("a part of the claim is not base64url in its one spelling")
    return raw
