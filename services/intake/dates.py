"""How the dates of a request on file move: by a corrected receipt, or a changed policy or calendar (REQ-T3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pydantic import JsonValue

from services.intake.register import Filed
from shared.domain.events import RequestRedated
from shared.domain.time_limit import Arrival, calc_version, due_on, limits
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork

# A warning of a date that has moved away is no longer true; the next milestone brings the next one.
_MOVE = """
UPDATE request r SET received_at = m.received_at, zones = string_to_array(m.zones, ','), calendar = m.calendar,
    due_on = m.due_on, calc_version = $6, warning = CASE WHEN m.due_on > r.due_on THEN NULL ELSE r.warning END
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::date[])
     AS m (request_id, received_at, zones, calendar, due_on)
WHERE r.request_id = m.request_id
"""


@dataclass(frozen=True, slots=True)
class Move:
    """A request on file, and the receipt and the due date that it has from now on."""

    filed: Filed
    arrival: Arrival
    due_on: date


def arrival_of(filed: Filed) -> Arrival:
    """When and where the request arrived, as it is on file."""
    return Arrival(filed.request.received_at, filed.zones, filed.calendar)


def of_receipt(filed: Filed, arrival: Arrival, policy: TimeLimitPolicy) -> Move:
    """The request with another receipt; pure.

    An extension that was granted stays, and with it the day that the subject was told, unless that day lies beyond the
    two further months that the law allows from the receipt as it is now (Art. 12(3)). So does the day that the subject
    was told when a late answer reopened the request.
    """
    request = filed.request
    if filed.resumed:
        return Move(filed, arrival, request.due_on)
    if filed.extended:
        return Move(filed, arrival, min(request.due_on, limits(arrival, policy).commit_due_extended))
    return Move(filed, arrival, due_on(arrival, request.right, request.scope, policy, request.role))


def of_policy(filed: Filed, policy: TimeLimitPolicy) -> Move | None:
    """The request by the policy and the holidays of today, or ``None`` if they change nothing; pure.

    What was promised to the subject never becomes later by a change of our own rules.
    """
    computed = of_receipt(filed, arrival_of(filed), policy).due_on
    promised = min(filed.request.due_on, computed)
    if filed.calc_version == calc_version(policy) and promised == filed.request.due_on:
        return None
    return Move(filed, arrival_of(filed), promised)


async def move(
    tx: UnitOfWork,
    moves: Sequence[Move],
    cause: Literal["receipt_corrected", "policy_changed"],
    policy: TimeLimitPolicy,
    actor: str | None = None,
    why: Mapping[str, JsonValue] | None = None,
) -> None:
    """Moves these requests, puts on record what their dates were, and says so on the bus."""
    version = calc_version(policy)
    await tx.connection.execute(
        _MOVE,
        [m.filed.request.request_id for m in moves],
        [m.arrival.received_at for m in moves],
        [",".join(m.arrival.zones) for m in moves],
        [m.arrival.calendar or "" for m in moves],
        [m.due_on for m in moves],
        version,
    )
    for each in moves:
        request, arrival = each.filed.request, each.arrival
        detail: dict[str, JsonValue] = {
            "cause": cause,
            "before": _told(arrival_of(each.filed), request.due_on, each.filed.calc_version),
            "after": _told(arrival, each.due_on, version),
        }
        tx.log_evidence(request.request_id, "request.redated", detail | dict(why or {}), actor)
        tx.publish(
            RequestRedated(
                request_id=request.request_id,
                occurred_at=tx.now,
                right=request.right,
                cause=cause,
                received_at=arrival.received_at,
                zones=arrival.zones,
                calendar=arrival.calendar or "",
                due_on=each.due_on,
            )
        )


def _told(arrival: Arrival, day: date, version: str) -> dict[str, JsonValue]:
    return {
        "received_at": arrival.received_at.isoformat(),
        "zones": [*arrival.zones],
        "calendar": arrival.calendar,
        "due_on": day.isoformat(),
        "calc_version": version,
    }
