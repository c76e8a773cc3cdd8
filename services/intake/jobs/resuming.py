"""Requests that wait for something else go on: one look finds those that may.

An erasure waits for a copy or a restriction of the same person, or for the release of a suspended API key. What a legal
hold kept waits for its lift. What was not searched waits for the register of number assignments, or for a person who
settles a conflict. What is true now counts, never an event: no restart, repeat or manner of closing can lose a request.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.intake.letters.letter_facts import LetterFacts
from services.intake.request.aggregate import Request, Transition
from services.intake.store.repository import Requests
from shared.app.service import Running
from shared.domain.assignments import NUMBERS, AssignmentInDoubt
from shared.domain.operations import Unsearched
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically
from shared.storage import holds as stored_holds

_LOOP: Final = "resuming"
_EVERY_SECONDS = 5.0
_AT_A_TIME = 200
_READING = timedelta(minutes=10)
"""A reading of the register may begin so long before its changes can be seen; they are dated by its beginning."""

# A copy is open while a part of it is owed, a restriction while it is in force.
_POSTPONED = """
SELECT e.request_id FROM request e
WHERE e.waits = 'others' AND NOT EXISTS (
    SELECT FROM awaits w JOIN vault.open_request o ON o.request_id = w.other
    WHERE w.request_id = e.request_id AND o.kind IN ('copy', 'restriction'))
ORDER BY e.request_id LIMIT $1 FOR UPDATE OF e SKIP LOCKED
"""
_SUSPENDED = """
SELECT r.request_id FROM request r
WHERE r.waits = 'key' AND NOT EXISTS (SELECT FROM suspended_key s WHERE s.key_id = r.key_id) LIMIT $1
"""
_HELD = """
SELECT k.request_id, array_agg(DISTINCT k.system) FROM vault.hold_kept k JOIN vault.legal_hold h USING (hold_id)
JOIN request r USING (request_id) WHERE h.lifted_at IS NOT NULL AND r.state = 'closed' GROUP BY 1 LIMIT $1
"""
_CHANGED = """
SELECT greatest((SELECT max(changed_at) FROM register.source), (SELECT max(settled_at) FROM register.conflict))
"""
# A request that was searched again since the last change is not among them.
_UNSEARCHED = """
SELECT request_id, subject_ref, coalesce(register_seen_at, accepted_at) FROM request
WHERE request_id IN (SELECT request_id FROM request
                     WHERE waits IS NOT NULL AND state IN ('awaiting_decision', 'awaiting_clarification')
                     UNION ALL SELECT request_id FROM request WHERE state = 'closed' AND owed)
  AND coalesce(register_seen_at, accepted_at) < $1
  AND jsonb_path_exists(tasks, '$[*] ? (@.not_searched == $why[*] || @.failure == $doubt)', $2)
ORDER BY request_id LIMIT $3 FOR UPDATE SKIP LOCKED
"""
_SEEN = "UPDATE request SET register_seen_at = $2 WHERE request_id = ANY($1)"
_NEWER = """
SELECT EXISTS (SELECT FROM register.assignment WHERE identity = ANY($1) AND learned_at > $2)
    OR EXISTS (SELECT FROM register.conflict WHERE identity = ANY($1) AND settled_at > $2)
"""
_WHY = {
    "why": [
        Unsearched.NUMBER_IN_CONFLICT,
        Unsearched.NUMBER_NOT_VOUCHED_FOR,
        Unsearched.NUMBER_WITHOUT_PERIOD,
        Unsearched.LINE_SHARED,
    ],
    "doubt": AssignmentInDoubt.code,
}
_OLD = "DELETE FROM erasures_asked WHERE minute < $1::timestamptz - interval '2 hours'"


async def run(running: Running) -> None:
    """Looks for as long as the service runs."""

    async def look() -> None:
        async with running.unit_of_work.pool.acquire() as connection:
            await connection.execute(_OLD, running.unit_of_work.clock.now())
        for resume in (begin_postponed, begin_suspended, erase_released, search_again):
            while await resume(running.unit_of_work) == _AT_A_TIME:
                running.heartbeats.beat(_LOOP)

    await run_periodically(look, _LOOP, _EVERY_SECONDS, running.stopping, running.heartbeats)


async def begin_postponed(unit_of_work: UnitOfWorkFactory) -> int:
    """Begins erasures that wait for no other request any more; returns how many it found."""
    async with unit_of_work.begin() as tx:
        found = [row[0] for row in await tx.connection.fetch(_POSTPONED, _AT_A_TIME)]
        await _move(tx, found, lambda request: request.begin("answered"))
    return len(found)


async def begin_suspended(unit_of_work: UnitOfWorkFactory) -> int:
    """Begins erasures whose API key was released; returns how many it found."""
    async with unit_of_work.begin() as tx:
        found = [row[0] for row in await tx.connection.fetch(_SUSPENDED, _AT_A_TIME)]
        await _move(tx, found, lambda request: request.resume() if request.suspended else None)
    return len(found)


async def erase_released(unit_of_work: UnitOfWorkFactory) -> int:
    """Asks again for what answered erasures left because of a hold that is lifted; returns how many it found."""
    async with unit_of_work.begin() as tx:
        found = {row[0]: row[1] for row in await tx.connection.fetch(_HELD, _AT_A_TIME)}
        await _move(tx, found, lambda request: request.release_hold(found[request.request_id]))
        await stored_holds.forget_retained(tx.connection, found)
    return len(found)


async def search_again(unit_of_work: UnitOfWorkFactory) -> int:
    """Searches again for requests of whose numbers more is known now; returns how many it found."""
    async with unit_of_work.begin() as tx:
        changed = await tx.connection.fetchval(_CHANGED)
        found = await tx.connection.fetch(_UNSEARCHED, changed, _WHY, _AT_A_TIME) if changed else []
        known = [row[0] for row in found if await _is_more_known(tx, row[1], row[2] - _READING)]
        await _move(tx, known, lambda request: request.search_again(tx.now))
        if found:
            await tx.connection.execute(_SEEN, [row[0] for row in found], changed)
    return len(found)


async def _is_more_known(tx: UnitOfWork, subject_ref: UUID, since: datetime) -> bool:
    """Whether something was learned or settled of the subject's numbers; not of one whose key is gone."""
    subject = (await tx.vault.subject_data(tx.connection, [subject_ref])).get(subject_ref)
    identities = subject.identities if subject else ()
    numbers = [tx.vault.keyring.fingerprint(each) for each in identities if each.type in NUMBERS]
    return bool(numbers and await tx.connection.fetchval(_NEWER, numbers, since))


async def _move(tx: UnitOfWork, found: Iterable[UUID], move: Callable[[Request], Transition | None]) -> None:
    """Moves each of these requests from its newest state."""
    if not (found := list(found)):
        return
    requests = await Requests.locked(tx, LetterFacts(), found)
    for request in requests.all:
        if transition := move(request):
            await requests.apply(transition)
    await requests.save()
