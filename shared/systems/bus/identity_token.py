"""Issues identity tokens: with one a team fetches one subject's identities, for one task, until it expires.

A task on the bus does not identify the person. It carries a token, which intake exchanges for the identities over
HTTPS. The token is encrypted, so the bus does not show whom a task is about.
"""

from base64 import urlsafe_b64encode
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer

from shared.domain.errors import DsrError
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Level

TOKEN_HEADER = "DSR-Claim"  # noqa: S105  # the name of a header
"""The request header in which a team shows the token to intake."""

_LONGEST_TOKEN = 2048


class TokenInvalid(DsrError):
    """This is no token that we made; send the ``claim`` of the task exactly as it came."""

    code: ClassVar[str] = "claim_invalid"


class TokenExpired(DsrError):
    """The token is past its expiry; the task is sent again with a fresh one."""

    code: ClassVar[str] = "claim_expired"


class IdentityToken(BaseModel):
    """The permission of ``system`` to learn who ``subject_ref`` is, for one task, until ``expires_at``.

    It covers identities of the types that the system ``needs``, proved to ``level``. For a rectification it covers the
    new values of ``fields`` that the system can correct, for an export the upload of the result. ``periods``: includes
    former identities, since the system checks periods.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    task_id: UUID = Field(alias="task")
    request_id: UUID = Field(alias="request")
    system: str
    needs: frozenset[IdentityType]
    level: Level
    subject_ref: UUID = Field(alias="subject")
    expires_at: datetime = Field(alias="exp")
    operation: Operation = Field(default=Operation.ERASE, alias="op")
    fields: frozenset[str] = frozenset()
    periods: bool = False

    @field_serializer("needs", "fields")
    def _in_order(self, words: frozenset[str]) -> list[str]:
        return sorted(words)

    @field_serializer("expires_at")
    def _in_seconds(self, expires_at: datetime) -> int:
        return int(expires_at.timestamp())


def issue(token: IdentityToken, key: bytes, now: datetime) -> str:
    """The token as it travels, encrypted with the keyring's 32 bytes for it; safe in a header."""
    content = token.model_dump_json(by_alias=True)
    return _fernet(key).encrypt_at_time(content.encode(), int(now.timestamp())).decode()


def verify(token: str, key: bytes, now: datetime) -> IdentityToken:
    """Reads a token that we issued and that has not expired.

    Raises:
        TokenInvalid: It was not made with our key, or was changed.
        TokenExpired: It was ours, until ``expires_at``.
    """
    if not token.isascii() or len(token) > _LONGEST_TOKEN:
        raise TokenInvalid("a token is the claim of a task, as it came")
    try:
        read = IdentityToken.model_validate_json(_fernet(key).decrypt(token))
    except (InvalidToken, ValidationError):
        raise TokenInvalid("a token is the claim of a task, as it came") from None
    if now >= read.expires_at:
        raise TokenExpired(f"the token expired at {read.expires_at.isoformat()}; the task is sent again with another")
    return read


def _fernet(key: bytes) -> Fernet:
    return Fernet(urlsafe_b64encode(key))
