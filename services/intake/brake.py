"""The brake: for a key that asks for more erasures in an hour than the policy allows, nothing is erased.

What it asks for is accepted and dated all the same, and waits until two persons have released the key. Hours are
counted in minutes, over all processes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake.errors import NotFound
from services.intake.request.lifecycle import State
from services.intake.request.transition import MovingRequest, Transition
from shared.domain import events
from shared.domain.errors import IllegalTransition
from shared.domain.events import Event, RequestHeld
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

R = TypeVar("R", bound=MovingRequest)
_BEGINS: tuple[type[Event], ...] = (events.RequestVerified, events.RetryDecided, events.LimitConfirmed)
"""With what an erasure begins or goes on."""

# The rows of one minute are locked by whoever counts, so of two processes the second sees what the first has counted.
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
), tripped AS (
    INSERT INTO brake (key_id, tripped_at) SELECT key_id, $3 FROM beyond ON CONFLICT DO NOTHING
)
SELECT key_id FROM beyond UNION SELECT key_id FROM brake WHERE key_id = ANY($1) AND released_at IS NULL
"""
_ON = "SELECT key_id FROM brake WHERE key_id = ANY($1) AND released_at IS NULL"
_LIST = """
SELECT b.key_id, coalesce(k.holder, substr(b.key_id, 8)) AS holder, b.tripped_at, b.released_by, b.released_at,
       (SELECT count(*) FROM request r WHERE r.key_id = b.key_id AND r.held IS NOT NULL AND r.state <> 'closed') AS held
FROM brake b LEFT JOIN api_key k USING (key_id)
"""
_RELEASE = """
UPDATE brake SET released_by = released_by || $2::text,
                 released_at = CASE WHEN released_by <> '{}' THEN $3::timestamptz END
WHERE key_id = $1 AND released_at IS NULL AND NOT $2 = ANY(released_by)
RETURNING tripped_at, released_at
"""


async def count(tx: UnitOfWork, key_ids: Iterable[str], allowed: int) -> set[str]:
    """Counts an erasure for each time that a key comes; returns those for which nothing is erased now."""
    asked = Counter(key_ids)
    if not asked:
        return set()
    keys = sorted(asked)
    rows = await tx.connection.fetch(_COUNT, keys, [asked[key] for key in keys], tx.now, allowed)
    return {row[0] for row in rows}


async def on(connection: Connection, key_ids: Iterable[str]) -> set[str]:
    """Those of these keys for which nothing is erased now."""
    return {row[0] for row in await connection.fetch(_ON, list(key_ids))}


def begins_an_erasure(transition: Transition[R]) -> bool:
    """Whether something is erased once this is published."""
    return transition.request.right is Right.ERASURE and any(isinstance(e, _BEGINS) for e in transition.published)


def hold(transition: Transition[R]) -> Transition[R]:
    """The same, but that nothing is erased: the request waits for two persons, and goes on by itself after that.

    Raises:
        IllegalTransition: a person decides that something is erased beyond a limit, or after the answer.
    """
    confirms = any(isinstance(event, events.LimitConfirmed) for event in transition.published)
    if confirms or transition.request.state is State.CLOSED:
        raise IllegalTransition("nothing is erased for the key that asked for it: two persons must release it first")
    request, published = transition.request, tuple(e for e in transition.published if not isinstance(e, _BEGINS))
    begun = request.held != "begin" and any(isinstance(event, events.RetryDecided) for event in transition.published)
    state = State.AWAITING_DECISION if request.state is State.IN_PROGRESS else request.state
    waits = replace(request, state=state, held="retry" if begun else "begin")
    return replace(transition, request=waits, published=published, evidence=(*transition.evidence, _HELD))


_HELD: tuple[str, dict[str, JsonValue]] = ("erasure.held", {"reason": "brake"})


def stop(request: R) -> Transition[R]:
    """What has begun stops before its next step."""
    stopped = request.moved("stop", request.state, held="retry")
    return stopped.noted("erasure.held", RequestHeld.about(request), reason="brake")


def go_on(request: R, released_by: Sequence[str]) -> Transition[R]:
    """Two persons have released the key: what was held begins, or goes on."""
    if request.state in {State.CLOSED, State.AWAITING_IDENTITY}:  # proof lets it go on, once it is there
        return replace(request, held=None).noted("erasure.released", released_by=[*released_by])
    asks = request.question is not None and not request.given_up
    goes_on = State.AWAITING_CLARIFICATION if asks else State.IN_PROGRESS
    state = goes_on if request.state is State.AWAITING_DECISION else request.state
    moved = request.moved("go_on", state, held=None)
    event = (events.RequestVerified if request.held == "begin" else events.RetryDecided).about(moved)
    return moved.noted("erasure.released", event, released_by=[*released_by])


async def read(connection: Connection) -> list[dict[str, object]]:
    """Every brake that is on, as the API shows it."""
    return [dict(row) for row in await connection.fetch(f"{_LIST} WHERE b.released_at IS NULL ORDER BY 3")]


async def release(tx: UnitOfWork, key_id: str, holder: str, actor: str) -> dict[str, object]:
    """Takes one person's word; with the second's the key erases again, and its hour begins anew. Each is on record.

    Raises:
        NotFound: no brake is on for that key.
        IllegalTransition: the same person has said so before.
    """
    row = await tx.connection.fetchrow(_RELEASE, key_id, holder, tx.now)
    if row is None:
        if await on(tx.connection, [key_id]):
            raise IllegalTransition("you have released it: it takes two persons, so somebody else must release it too")
        raise NotFound("no brake is on for a key of that id")
    if row["released_at"]:
        await tx.connection.execute("DELETE FROM erasures_asked WHERE key_id = $1", key_id)
    detail: dict[str, JsonValue] = {"key": key_id, "by": holder, "released": row["released_at"] is not None}
    tx.log_evidence(uuid7(), "brake.release_agreed", detail, actor)
    shown = f"{_LIST} WHERE b.key_id = $1 AND b.tripped_at = $2"
    [brake] = await tx.connection.fetch(shown, key_id, row["tripped_at"])
    return dict(brake)
