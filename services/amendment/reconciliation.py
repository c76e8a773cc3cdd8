"""Reconciles every system with the registers each night: restores what is in force and missing.

A number that has passed to another person is hidden only for the period in which it was the subject's.

It removes only marks of lifted requests, for example in a restored store. A flag without an entry in our registers may
be an agent's or the customer's.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from services.amendment import repairs
from shared.app.service import Running
from shared.domain.errors import Refused, Unavailable
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically
from shared.systems.protocols import Prunable

log = logging.getLogger(__name__)

_EVERY_SECONDS = 60.0
_AT_A_TIME = 200
_BEGINS = timedelta(hours=1)
"""After midnight, UTC."""

# Instances share the rows, and each row is compared once a night. After a change of the number register it is compared
# sooner, so that the next holder of a number is not hidden for a day.
_RESTRICTED = """
UPDATE restriction SET looked_at = $1
WHERE request_id IN (
    SELECT request_id FROM restriction r WHERE lifted_at IS NULL AND (looked_at < $2 OR EXISTS (
        SELECT FROM restriction_identity i JOIN register.assignment a ON a.identity = i.fingerprint
        WHERE i.request_id = r.request_id AND a.learned_at > r.looked_at AND a.learned_at <= $1))
    ORDER BY looked_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING request_id, subject_ref, 'restriction'
"""
# A backup lives 30 days.
_LIFTED = """
UPDATE restriction SET looked_at = $1
WHERE request_id IN (
    SELECT request_id FROM restriction WHERE lifted_at > $2::timestamptz - interval '40 days' AND looked_at < $2
    ORDER BY looked_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING request_id, subject_ref, 'restriction'
"""
_SUPPRESSED = """
WITH due AS (
    UPDATE register.suppression SET looked_at = $1
    WHERE (fingerprint, request_id) IN (
        SELECT fingerprint, request_id FROM register.suppression WHERE looked_at < $2
        ORDER BY looked_at LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING request_id, "right")
SELECT DISTINCT request_id, f.subject_ref, due."right"
FROM due LEFT JOIN (SELECT * FROM fulfilment WHERE NOT details ? 'returned') f USING (request_id)
"""


class _About(NamedTuple):
    """The subject of an entry, and the right that it serves."""

    subject_ref: UUID
    right: Right


async def run(running: Running, fulfilments: Fulfilments) -> None:
    """Reconciles until the service stops."""
    look = partial(look_at_all, running.unit_of_work, fulfilments)
    await run_periodically(look, "nightly", _EVERY_SECONDS, running.stopping, running.heartbeats)


async def forget(running: Running) -> None:
    """Lets each adapter delete its old notes, once a night and at the start."""
    keepers: list[tuple[str, object]] = (
        [(each.name, each.adapter) for each in running.downstreams.all] if running.downstreams else []
    )
    done: dict[str, datetime] = {}

    async def look() -> None:
        night = night_of(running.unit_of_work.clock.now())
        for name, adapter in keepers:
            if not isinstance(adapter, Prunable) or done.get(name) == night:
                continue
            try:
                await adapter.forget()
            except Unavailable:  # retried at the next look
                continue
            except Refused as refused:
                log.warning("pruning refused system=%s reason=%s", name, refused.code)
            done[name] = night

    await run_periodically(look, "forgetting", _EVERY_SECONDS, running.stopping, running.heartbeats)


async def look_at_all(unit_of_work: UnitOfWorkFactory, fulfilments: Fulfilments) -> None:
    """Checks every entry not checked since this night began, or since the number register changed."""
    for statement, open_repairs in (
        (_RESTRICTED, partial(_put_back, Operation.RESTRICT)),
        (_SUPPRESSED, partial(_put_back, Operation.SUPPRESS)),
        (_LIFTED, _take_away),
    ):
        more = True
        while more:
            async with unit_of_work.begin() as tx:
                rows = await tx.connection.fetch(statement, tx.now, night_of(tx.now), _AT_A_TIME)
                found = {row[0]: _About(row[1], Right(row[2])) for row in rows if row[1]}
                await open_repairs(tx, fulfilments, found)
            more = bool(rows)


async def _take_away(tx: UnitOfWork, fulfilments: Fulfilments, found: Mapping[UUID, _About]) -> None:
    """Opens one repair for each lifted request; the subject need not be known."""
    await repairs.call_off(tx, list(found), Operation.LIFT, repairs.MARKED)
    marked = partial(repairs.repair, tx, operation=Operation.LIFT, details=repairs.MARKED)
    await fulfilments.open_all(tx, [marked(request_id, *about) for request_id, about in found.items()])


async def _put_back(
    operation: Operation, tx: UnitOfWork, fulfilments: Fulfilments, found: Mapping[UUID, _About]
) -> None:
    """Opens one repair for each request whose subject is known and whose lift is not decided."""
    requests: Sequence[UUID] = list(found)
    await repairs.call_off(tx, requests, operation)
    subjects = [about.subject_ref for about in found.values()]
    known = await tx.vault.subject_data(tx.connection, subjects) if subjects else {}
    lifted = await repairs.decided(tx, requests, Operation.LIFT)
    await fulfilments.open_all(
        tx,
        [
            repairs.repair(tx, request_id, *about, operation)
            for request_id, about in found.items()
            if about.subject_ref in known and request_id not in lifted
        ],
    )


def night_of(now: datetime) -> datetime:
    """Returns the start of the night to which this time belongs."""
    midnight = (now - _BEGINS).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + _BEGINS
