"""Keeps our own registers: restrictions in force, and contact points that get no marketing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from pydantic import JsonValue

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome
from shared.fulfilment import immediate_stop, reports
from shared.fulfilment.store import FulfilmentResult, NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.suppression import CHANNELS, listed

OUR_LIST = "marketing_objections"
"""The name of our suppression list in reports."""


async def suppress(tx: UnitOfWork, stops: Iterable[NewFulfilment | FulfilmentResult], *, located: bool) -> None:
    """Adds the subjects' contact points to the suppression list, as keyed fingerprints.

    Stated contact points are added immediately, those found in systems once they are ``located``, so that later imports
    stay suppressed (Art. 21(3)). A customer's instruction does not concern our marketing.
    """
    listing = [each for each in stops if _is_listed(each.details)]
    known = await tx.vault.subject_data(tx.connection, [each.subject_ref for each in listing]) if listing else {}
    for right in {each.right for each in listing}:
        points = {
            each.request_id: known[each.subject_ref].identities if each.subject_ref in known else ()
            for each in listing
            if each.right is right and (each.subject_ref not in known or known[each.subject_ref].tenant is None)
        }
        await immediate_stop.suppress(tx, points, right, located=located)


def _is_listed(details: Mapping[str, JsonValue]) -> bool:
    """Returns whether marketing stops; other withdrawals of consent do not concern our list."""
    return details.get("marketing") is not False


async def with_list(tx: UnitOfWork, completed: Sequence[FulfilmentResult]) -> list[FulfilmentResult]:
    """Adds a report of our suppression list to each piece of work that stops marketing."""
    stops = {done.request_id: done.subject_ref for done in completed if _lists(done)}
    known = await tx.vault.subject_data(tx.connection, stops.values()) if stops else {}
    reported = []
    for done in completed:
        identities = (
            known[done.subject_ref].identities if done.request_id in stops and done.subject_ref in known else ()
        )
        points = {tx.vault.keyring.fingerprint(each): each.type for each in identities if each.type in CHANNELS}
        found = await listed(tx.connection, points)
        reports = (*done.reports, _report(done, [points[each] for each in found])) if found else done.reports
        reported.append(replace(done, reports=reports))
    return reported


async def tell_what_stopped(tx: UnitOfWork, requests: Sequence[UUID]) -> None:
    """Publishes what our list has stopped before any system is done, so that recipients are notified (Art. 19)."""
    opened = (await reports.results_so_far(tx, requests)).values() if requests else ()
    for done in await with_list(tx, [each for each in opened if _lists(each)]):
        tx.publish(done.report_event().model_copy(update={"so_far": True}))


def _lists(done: FulfilmentResult) -> bool:
    return done.operation is Operation.SUPPRESS and _is_listed(done.details)


def _report(done: FulfilmentResult, points: Sequence[IdentityType]) -> TaskReport:
    kinds = Counter(CHANNELS[each] for each in points)
    return TaskReport(
        task_id=done.fulfilment_id,
        system=OUR_LIST,
        operation=Operation.SUPPRESS,
        outcome=TaskOutcome.AMENDED,
        found=len(points),
        changed=len(points),
        searched_by=tuple(sorted({each.value for each in points})),
        categories=tuple(sorted(kinds)),
        by_category=dict(kinds),
    )


async def keep_restrictions(tx: UnitOfWork, completed: Sequence[FulfilmentResult]) -> None:
    """Records restrictions that are now in force or lifted."""
    for done in completed:
        if done.operation is Operation.RESTRICT and done.outcome is not Outcome.NO_DATA:
            await tx.connection.execute(
                "INSERT INTO restriction (request_id, subject_ref, since, looked_at) VALUES ($1, $2, $3, $3)"
                " ON CONFLICT DO NOTHING",
                done.request_id,
                done.subject_ref,
                tx.now,
            )
            tx.log_evidence(done.request_id, "restriction.applied", {})
        elif done.operation is Operation.LIFT:
            await tx.connection.execute(
                "UPDATE restriction SET lifted_at = $2 WHERE request_id = $1 AND lifted_at IS NULL",
                done.request_id,
                tx.now,
            )
            tx.log_evidence(done.request_id, "restriction.lifted", {})


def note_repair(tx: UnitOfWork, done: FulfilmentResult) -> None:
    """Records by system what a repair changed, if anything."""
    wrong: dict[str, JsonValue] = {report.system: report.changed for report in done.reports if report.changed}
    if wrong:
        what = "suppression.returned" if done.returned else f"{done.right}.repaired"
        tx.log_evidence(done.request_id, what, {"operation": done.operation, "changed": wrong})
