"""Suspends an API key that asks for more erasures in an hour than the policy allows.

Its requests are accepted and dated. An erasure that would begin waits until a member of the privacy team releases the
key. Erasures are counted by minute, over all processes.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from pydantic import BaseModel, Field
from uuid_utils.compat import uuid7

from services.intake.core.errors import NotFound, SamePerson
from services.intake.core.schemas import Instant
from services.intake.request.aggregate import Transition
from shared.domain.events import RequestReceived, RequestVerified
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

# Counting locks the rows of a minute, so of two processes the second sees what the first has counted.
_COUNT = """
WITH added AS (
    INSERT INTO erasures_asked AS a (key_id, minute, erasures)
    SELECT key_id, date_trunc('minute', $3::timestamptz), n FROM unnest($1::text[], $2::int[]) AS s (key_id, n)
    ORDER BY key_id
    ON CONFLICT (key_id, minute) DO UPDATE SET erasures = a.erasures + excluded.erasures RETURNING key_id, erasures
), beyond AS (
    SELECT key_id FROM added
    WHERE erasures + coalesce((SELECT sum(e.erasures) FROM erasures_asked e
                               WHERE e.key_id = added.key_id AND e.minute < date_trunc('minute', $3::timestamptz)
                                 AND e.minute > $3::timestamptz - interval '61 minutes'), 0) > $4
), suspended AS (
    INSERT INTO suspended_key (key_id, suspended_at) SELECT key_id, $3 FROM beyond ON CONFLICT DO NOTHING
)
SELECT key_id FROM beyond UNION SELECT key_id FROM suspended_key WHERE key_id = ANY($1)
"""
_LIST = """
SELECT s.key_id, coalesce(k.holder, regexp_replace(s.key_id, '^person:', '')) AS holder, s.suspended_at,
       (SELECT count(*) FROM request r WHERE r.waits = 'key' AND r.key_id = s.key_id) AS waiting
FROM suspended_key s LEFT JOIN api_key k USING (key_id)
"""


class SuspendedKey(BaseModel):
    """An API key whose erasures wait until it is released."""

    key_id: str
    holder: str = Field(description="who has the key")
    suspended_at: Instant
    waiting: int = Field(description="erasures that wait")


async def count_erasures(tx: UnitOfWork, key_ids: Iterable[str], allowed: int) -> set[str]:
    """Counts an erasure for each time that a key occurs; returns the keys that are suspended now."""
    asked = Counter(key_ids)
    if not asked:
        return set()
    keys = sorted(asked)
    rows = await tx.connection.fetch(_COUNT, keys, [asked[key] for key in keys], tx.now, allowed)
    return {row[0] for row in rows}


async def is_suspended(connection: Connection, key_id: str) -> bool:
    """Whether an API key is suspended."""
    return await connection.fetchval("SELECT true FROM suspended_key WHERE key_id = $1", key_id) is not None


def starts_erasure(transition: Transition) -> bool:
    """Whether a transition starts the work on an erasure."""
    return transition.request.right is Right.ERASURE and any(
        isinstance(e, RequestVerified) for e in transition.published
    )


def pause(transition: Transition) -> Transition:
    """Returns the transition without the start of the work, which follows when the key is released."""
    published = [event for event in transition.published if not isinstance(event, RequestVerified)]
    if any(isinstance(event, RequestVerified) and event.arrival for event in transition.published):
        published.insert(0, RequestReceived.about(transition.request))
    return replace(transition, published=tuple(published)).then(transition.request.pause())


async def read_suspended(connection: Connection) -> list[SuspendedKey]:
    """Returns every suspended key."""
    return [SuspendedKey(**row) for row in await connection.fetch(f"{_LIST} ORDER BY suspended_at")]


async def read_one(connection: Connection, key_id: str) -> SuspendedKey:
    """Returns that suspended key; raises ``NotFound``."""
    row = await connection.fetchrow(f"{_LIST} WHERE s.key_id = $1", key_id)
    if row is None:
        raise NotFound("This API key is not suspended.")
    return SuspendedKey(**row)


async def release(tx: UnitOfWork, key_id: str, holder: str, actor: str) -> None:
    """Releases a key: all its erasures go on, and its hour begins again; raises ``NotFound``, ``SamePerson``."""
    row = await read_one(tx.connection, key_id)
    if row.holder == holder:
        raise SamePerson("This is your own API key. Ask another member of the privacy team to release it.")
    await tx.connection.execute("DELETE FROM suspended_key WHERE key_id = $1", key_id)
    await tx.connection.execute("DELETE FROM erasures_asked WHERE key_id = $1", key_id)
    tx.log_evidence(uuid7(), "key.released", {"key": key_id, "by": holder}, actor)
