"""Sessions of a browser: a cookie of 256 random bits, of which the database stores only the hash.

The data of a session are sealed under a key derived from the cookie, so the database alone cannot read them.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import JsonValue

from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage.postgres import Connection

_TOKEN_BYTES: Final = 32
_TOKEN_LENGTH: Final = 43
_NONCE_BYTES: Final = 12
_SLIDES: Final = timedelta(minutes=1)
"""The age at which the stored expiry of a session in use is renewed."""
_READ = """
SELECT principal, sealed, began_at, expires_at FROM web_session
WHERE session_hash = $1 AND site = $2 AND expires_at > $3
"""
# An expired session stays in the table until it is swept; its cookie may still be sent.
_BEGIN = """
INSERT INTO web_session AS s (session_hash, site, principal, sealed, began_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (session_hash) DO UPDATE
SET principal = excluded.principal, sealed = excluded.sealed, began_at = excluded.began_at,
    expires_at = excluded.expires_at
WHERE s.site = excluded.site AND s.expires_at <= excluded.began_at
"""
_KEEP = """
UPDATE web_session SET principal = $3, sealed = $4, expires_at = $5 WHERE session_hash = $1 AND site = $2
"""
_END = "DELETE FROM web_session WHERE session_hash = $1 AND site = $2"
_END_ALL = "DELETE FROM web_session WHERE principal = $1 AND site = $2"


@dataclass(eq=False)
class Session:
    """One session; ``principal``: the account after a sign-in; ``wanted``: a page with a form needs it.

    ``given``: the browser has sent its cookie. An empty session has no row.
    """

    began_at: datetime
    data: dict[str, JsonValue] = field(default_factory=dict)
    principal: str | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False)
    wanted: bool = False
    given: bool = False
    ended: bool = False
    expires_at: datetime | None = None
    stored: bool = False
    replaces: bytes | None = None
    before: bytes = field(default=b"", repr=False)

    @property
    def csrf(self) -> str:
        """Returns the token of every form of this session."""
        return self.mark("csrf")

    def mark(self, of: str) -> str:
        """Returns a keyed mark that only this session can make."""
        return hmac.digest(_key(self.token), of.encode(), "sha256").hex()

    def has_csrf(self, csrf: str) -> bool:
        """Returns whether a form comes from a page of this session."""
        return self.given and hmac.compare_digest(self.csrf.encode(), csrf.encode())

    def renew(self) -> None:
        """Changes the cookie after a proof of identity, against session fixation."""
        if self.stored and self.replaces is None:
            self.replaces = _hash(self.token)
        self.token, self.stored, self.wanted, self.expires_at = secrets.token_urlsafe(_TOKEN_BYTES), False, True, None

    def end(self) -> None:
        """Ends the session."""
        self.ended = True


def _never(_session: Session) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one site; each ends after ``idle`` without use, and at the latest after ``longest``.

    ``drafting``: whether a session holds only a draft; it lasts for ``draft`` (WCAG 2.2, 2.2.1: over twenty hours).
    """

    unit_of_work: UnitOfWorkFactory
    site: str
    idle: timedelta
    longest: timedelta
    drafting: Callable[[Session], bool] = _never
    draft: timedelta = timedelta(hours=24)

    async def read(self, token: str | None) -> Session:
        """Returns the session of a cookie; an empty one if it has ended or expired."""
        now = self.unit_of_work.clock.now()
        if token is None or len(token) != _TOKEN_LENGTH or not token.isascii():
            return Session(now)
        row = await self.unit_of_work.pool.fetchrow(_READ, _hash(token), self.site, now)
        if row is None:
            return Session(now, token=token, wanted=True, given=True)
        principal, sealed, began_at, expires_at = row
        content = AESGCM(_key(token)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _hash(token))
        data = orjson.loads(content)
        return Session(
            *(began_at, data, principal, token),
            wanted=True,
            given=True,
            expires_at=expires_at,
            stored=True,
            before=_state(data),
        )

    async def keep(self, session: Session) -> None:
        """Stores the changes of a session; one that was ended meanwhile stays ended."""
        now = self.unit_of_work.clock.now()
        async with self.unit_of_work.pool.acquire() as connection:
            if session.ended:
                await self._drop(connection, session)
                return
            if not session.wanted or not (session.stored or session.data or session.principal):
                return
            if session.replaces:
                await connection.execute(_END, session.replaces, self.site)
                session.began_at = now
            if self.drafting(session):
                expires_at = now + self.draft
            else:
                expires_at = min(now + self.idle, session.began_at + self.longest)
            content = _state(session.data)
            used = session.expires_at is None or expires_at - session.expires_at >= _SLIDES
            if session.stored and content == session.before and not used:
                return
            sealed = _seal(session.token, content)
            values = (session.principal, sealed)
            if session.stored:
                await connection.execute(_KEEP, _hash(session.token), self.site, *values, expires_at)
            else:
                known = (_hash(session.token), self.site, *values, session.began_at, expires_at)
                await connection.execute(_BEGIN, *known)
            session.stored, session.expires_at, session.before = True, expires_at, content

    async def end_all(self, principal: str, transaction: Connection | None = None) -> None:
        """Ends all sessions of an account, in the transaction if there is one."""
        await (transaction or self.unit_of_work.pool).execute(_END_ALL, principal, self.site)

    async def _drop(self, connection: Connection, session: Session) -> None:
        for each in {_hash(session.token), session.replaces} - {None}:
            await connection.execute(_END, each, self.site)


def _seal(token: str, content: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_key(token)).encrypt(nonce, content, _hash(token))


def _state(data: dict[str, JsonValue]) -> bytes:
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)


def _hash(token: str) -> bytes:
    """Returns the stored ID; the token has 256 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(b"id\0" + token.encode()).digest()


def _key(token: str) -> bytes:
    return hashlib.sha256(b"key\0" + token.encode()).digest()
