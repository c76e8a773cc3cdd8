"""Keeps API keys: ``dsr_<id>_<secret>``, hashed at rest, each with one role, one holder and, for a channel, its bounds.

``dsr api-key new --role ROLE --holder WHO`` makes one and prints it, once. Roles: ``channel`` submits and follows its
own requests as far as its ``Grant`` goes, ``privacy`` sees and decides all, ``downstream:<system>`` fetches the
identities of its tasks. ``dsr api-key replace`` makes another key of the same channel and holder: what a channel has
submitted belongs to the channel, not to a key. What needs two people needs two keys of different holders.

A person who has signed in at the console calls without a key, as ``person:<holder>``. The
portal calls without a key too, inside the process.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

import asyncpg

from services.intake.access.grant import ANYTHING, Grant, Power
from services.intake.core.errors import Forbidden, Unauthorised
from shared.domain.clock import Clock
from shared.domain.rights import Right
from shared.storage.postgres import Connection, connected

ROLE = re.compile(r"channel|privacy|downstream:[a-z][a-z0-9-]{0,40}")
HOLDER = re.compile(r"[a-z][a-z0-9._-]{0,62}")
"""A reference to an account of a person or of a machine; it goes into the evidence, so it is no name and no address."""
_TOKEN = re.compile(r"dsr_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_CACHE_SECONDS = 10.0
_CACHE_SIZE = 10_000
"""Key ids in the cache, at most: most of them may be made up."""
_GRANT = ("max_level", "rights", "powers", "per_minute", "tenant")
_KEYS = f"""
SELECT key_id, hash, role, channel, holder, {", ".join(_GRANT)} FROM api_key
WHERE key_id = ANY($1) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
"""  # noqa: S608  # our texts


@dataclass(frozen=True, slots=True)
class Caller:
    """The channel or person who calls, and what they may do.

    ``channel``: what it has in common with the keys that replace it; ``grant``: what it may state and do.
    ``proved_request``: the request that a session of the portal has proved.
    """

    key_id: str
    role: str
    channel: str
    holder: str
    grant: Grant
    proved_request: UUID | None = None

    @property
    def actor(self) -> str:
        """Names this caller in the evidence."""
        return actor_of(self.key_id)

    def must_be(self, *roles: str) -> None:
        """Raises ``Forbidden`` unless the key has one of these roles."""
        if self.role not in roles:
            raise Forbidden(f"this needs a key with the role {' or '.join(roles)}")


@dataclass(frozen=True, slots=True)
class _CachedKey:
    """A cached row of the table; without a hash there is no such key."""

    until: float
    hash: bytes | None = None
    caller: Caller | None = None


class ApiKeys:
    """Finds callers by their API keys.

    What the table says is believed for ten seconds, so a revoked key stops working soon. It is asked by one query at a
    time, for all ids that wait for an answer: a thousand unknown keys cost no more than one.
    """

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._cache: dict[str, _CachedKey] = {}
        self._asked: dict[str, asyncio.Future[_CachedKey]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def caller(self, token: str | None) -> Caller:
        """Finds the caller of a bearer token; raises ``Unauthorised``."""
        match = _TOKEN.fullmatch(token or "")
        if match is None:
            raise Unauthorised("send `Authorization: Bearer dsr_…` with an API key of this platform")
        key_id, secret = match.groups()
        known = self._cache.get(key_id)
        now = asyncio.get_running_loop().time()  # read once per turn of the loop, not once per call
        if known is None or known.until < now:
            known = await self._ask(key_id)
        if known.caller is None or known.hash is None or not hmac.compare_digest(known.hash, _hash(secret)):
            raise Unauthorised("the API key is unknown, was revoked or has expired")
        return known.caller

    async def _ask(self, key_id: str) -> _CachedKey:
        answer = self._asked.get(key_id)
        if answer is None:
            answer = self._asked[key_id] = asyncio.get_running_loop().create_future()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._answer())
        return await asyncio.shield(answer)  # others wait for it too

    async def _answer(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            try:
                rows = await self._pool.fetch(_KEYS, [*asked], self._clock.now())
                until = asyncio.get_running_loop().time() + _CACHE_SECONDS
                found = {row[0]: _CachedKey(until, row[1], _caller(row)) for row in rows}
            except Exception as error:  # noqa: BLE001  # everybody who waits must hear of it
                for answer in asked.values():
                    answer.set_exception(error)
                    answer.exception()  # all who waited may be gone
                continue
            for key_id, answer in asked.items():
                self._cache.pop(key_id, None)
                self._cache[key_id] = known = found.get(key_id) or _CachedKey(until)
                answer.set_result(known)
            while len(self._cache) > _CACHE_SIZE:
                del self._cache[next(iter(self._cache))]


def portal_caller(follows: UUID | None = None) -> Caller:
    """Returns the portal as a channel of its own; ``follows``: the request that a session has shown to be theirs."""
    grant = Grant.of("L2", Power.SUBMIT, Power.FETCH)
    return Caller(PORTAL, "channel", PORTAL, PORTAL, grant, follows)


def staff_caller(holder: str, grant: Grant) -> Caller:
    """Returns a signed-in member of the privacy team; ``grant``: what their roles allow."""
    key_id = PERSON + holder
    return Caller(key_id, "privacy", key_id, holder, grant)


async def callers(connection: Connection, key_ids: Iterable[str], now: datetime) -> dict[str, Caller]:
    """Returns callers by key id, without keys that were revoked or have expired."""
    return {row[0]: _caller(row) for row in await connection.fetch(_KEYS, list(set(key_ids)), now)}


async def same_channel(connection: Connection, caller: Caller, key_id: str) -> bool:
    """Whether that key is, or was, one of the caller's channel."""
    if key_id == caller.key_id:
        return True
    query = "SELECT EXISTS (SELECT FROM api_key WHERE key_id = $1 AND channel = $2)"
    return bool(await connection.fetchval(query, key_id, caller.channel))


async def create(
    database: str | Connection,
    role: str,
    holder: str,
    now: datetime,
    grant: Grant | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Makes a key with that role for that holder and returns it, for the only time; it is the first of its channel.

    A key of a channel that is granted nothing more may submit every right, and state that nothing was proved.
    """
    bounds = grant or (Grant() if role == "channel" else ANYTHING)
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    insert = (
        "INSERT INTO intake.api_key (key_id, hash, role, channel, holder, created_at, expires_at,"
        " max_level, rights, powers, per_minute, tenant) VALUES ($1, $2, $3, $1, $4, $5, $6, $7, $8, $9, $10, $11)"
    )
    granted = (bounds.level, sorted(bounds.rights), sorted(bounds.powers), bounds.per_minute, bounds.tenant)
    await _execute(database, insert, key_id, _hash(secret), role, holder, now, expires_at, *granted)
    return f"dsr_{key_id}_{secret}"


async def replace(dsn: str, key_id: str, now: datetime, **changed: object) -> str | None:
    """Makes another key of the channel and holder of one that is there; both are valid meanwhile.

    ``changed``: columns of what it may state and do that it does not take over, and when it expires.
    """
    new_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    own = {"expires_at": None, **changed}
    taken = ", ".join(f"${5 + [*own].index(name)}" if name in own else name for name in (*_GRANT, "expires_at"))
    insert = f"""
        INSERT INTO intake.api_key (key_id, hash, role, channel, holder, created_at, {", ".join(_GRANT)}, expires_at)
        SELECT $2, $3, role, channel, holder, $4, {taken} FROM intake.api_key WHERE key_id = $1
    """  # noqa: S608  # our texts
    made = await _execute(dsn, insert, key_id, new_id, _hash(secret), now, *own.values()) == "INSERT 0 1"
    return f"dsr_{new_id}_{secret}" if made else None


async def revoke(dsn: str, key_id: str, now: datetime) -> bool:
    """Revokes a key by its id; returns whether there was one to revoke."""
    update = "UPDATE intake.api_key SET revoked_at = $2 WHERE key_id = $1 AND revoked_at IS NULL"
    return await _execute(dsn, update, key_id, now) == "UPDATE 1"


def _caller(row: asyncpg.Record) -> Caller:
    key_id, _, role, channel, holder, level, rights, powers, per_minute, tenant = row
    grant = Grant(
        level, frozenset(map(Right, rights)), frozenset(map(Power, powers)), per_minute, tenant, role == "privacy"
    )
    return Caller(key_id, role, channel, holder, grant)


def _hash(secret: str) -> bytes:
    """Hashes a secret of 256 random bits, for which one round of SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).digest()


async def _execute(database: str | Connection, statement: str, *arguments: object) -> str:
    async with connected(database) if isinstance(database, str) else nullcontext(database) as connection:
        return str(await connection.execute(statement, *arguments))


PORTAL = "portal"
"""The id of the portal, which runs inside intake and calls without a key: the API accepts no such bearer."""
PERSON = "person:"
"""Prefix of the id of a person who has signed in; no id of a key has a colon."""


def actor_of(key_id: str) -> str:
    """Returns how the evidence names the caller with that id."""
    return key_id if key_id == PORTAL or key_id.startswith(PERSON) else f"key:{key_id}"


def staff_evidence_id(holder: str) -> UUID:
    """Returns the id under which the evidence records acts of a member of staff about no request."""
    return uuid5(NAMESPACE_URL, f"urn:dsr:person:{holder}")


READ_ACTIONS: Final = (".read", ".viewed", ".printed", ".fetched", ".exported")
"""Ends of actions that only look. A person who did no more has handled nothing."""
