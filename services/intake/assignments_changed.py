"""Requests that wait since it is not known whose a number was: searched again once the register, or a person, says.

The source of the register was corrected, or a person has settled a conflict: whatever was left out because of that is
searched by itself, of requests that are open and of parts that are still owed.
"""

from datetime import datetime, timedelta
from uuid import UUID

from services.intake.letters.rendering import Letters
from services.intake.repository import Requests
from shared.app.service import Running
from shared.domain.assignments import NUMBERS, AssignmentInDoubt
from shared.domain.operations import Unsearched
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically

_EVERY_SECONDS = 5.0
_AT_A_TIME = 100
_READING = timedelta(minutes=10)
"""How long before a reading of the source can be seen it may have begun, by which its changes are dated."""
_LETTERS = Letters()

_CHANGED = """
SELECT greatest((SELECT max(changed_at) FROM register.source), (SELECT max(settled_at) FROM register.conflict))
"""
# A request that has been looked at since the last change is not among them.
_WAITING = """
SELECT request_id, subject_ref, coalesce(register_seen_at, accepted_at) FROM request
WHERE request_id IN (SELECT request_id FROM request WHERE state IN ('awaiting_decision', 'awaiting_clarification')
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


async def run(running: Running) -> None:
    """Looks for as long as the service runs."""

    async def look() -> None:
        while await search_again(running.unit_of_work) == _AT_A_TIME:
            running.heartbeats.beat("assignments_changed")

    stopping, heartbeats = running.stopping, running.heartbeats
    await run_periodically(look, "assignments_changed", _EVERY_SECONDS, stopping, heartbeats)


async def search_again(unit_of_work: UnitOfWorkFactory) -> int:
    """Has requests searched again, not all at once, of whose numbers more is known now; returns how many it saw."""
    async with unit_of_work.begin() as tx:
        changed = await tx.connection.fetchval(_CHANGED)
        waiting = await tx.connection.fetch(_WAITING, changed, _WHY, _AT_A_TIME) if changed else []
        known = [row[0] for row in waiting if await _is_more_known(tx, row[1], row[2] - _READING)]
        requests = await Requests.locked(tx, _LETTERS, known)
        for request in requests.all:
            await requests.apply(request.search_again(tx.now))
        await requests.save()
        await tx.connection.execute(_SEEN, [row[0] for row in waiting], changed)
    return len(waiting)


async def _is_more_known(tx: UnitOfWork, subject_ref: UUID, since: datetime) -> bool:
    """Whether something was learned or settled of the subject's numbers; not of one whose key is gone."""
    subject = (await tx.vault.subject_data(tx.connection, [subject_ref])).get(subject_ref)
    identities = subject.identities if subject else ()
    numbers = [tx.vault.keyring.fingerprint(each) for each in identities if each.type in NUMBERS]
    return bool(numbers and await tx.connection.fetchval(_NEWER, numbers, since))
