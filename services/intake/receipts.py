"""A corrected receipt: the letter lay in the mailroom, the e-mail in quarantine; the clock started when it came."""

from datetime import date, datetime
from uuid import UUID

from pydantic import JsonValue

from services.intake import correspondence, dates
from services.intake.auth import Caller
from services.intake.casework import Casework
from services.intake.errors import BadRequest
from services.intake.register import Filed
from services.intake.request import State
from services.intake.schemas import ArrivalCorrection, received_in_the_future
from shared.domain.errors import IllegalTransition
from shared.domain.time_limit import Arrival, limits
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory


class Receipts:
    """Corrects, in one transaction."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, policy: TimeLimitPolicy) -> None:
        self._transactions = unit_of_work
        self._policy = policy

    async def correct(self, request_id: UUID, correction: ArrivalCorrection, caller: Caller) -> date:
        """Every date is counted anew from when and where the request really came; returns when it is due now."""
        async with self._transactions.begin() as tx:
            filed = await Casework.hold(tx, request_id, caller)
            arrival = self._arrival(filed, correction, tx.now)
            words = correction.reason.encode()
            place = await correspondence.seal(tx, filed.request.subject_ref, "explanation", "receipt", words)
            why: dict[str, JsonValue] = {"reason": str(place)}
            if filed.extended:
                why["extension_told_in_time"] = await self._told_in_time(tx, request_id, arrival)
            moved = dates.of_receipt(filed, arrival, self._policy)
            await dates.move(tx, [moved], "receipt_corrected", self._policy, caller.actor, why)
        return moved.due_on

    def _arrival(self, filed: Filed, correction: ArrivalCorrection, now: datetime) -> Arrival:
        """The receipt as it really was; raises what is wrong with the correction."""
        request, known = filed.request, dates.arrival_of(filed)
        if request.state in {State.RESPONDED, State.CLOSED}:
            raise IllegalTransition("a request that is answered keeps its receipt: its clock has stopped")
        if received_in_the_future(correction.received_at, now):
            raise BadRequest("received_at lies in the future; give the instant at which it arrived")
        if received_in_the_future(correction.received_at, request.accepted_at):
            raise BadRequest("received_at lies after the request was entered here; it was here by then")
        arrival = Arrival(correction.received_at, known.zones, known.calendar)
        if correction.country:
            zones, calendar = self._policy.zones_of(correction.country), self._policy.calendar_of(correction.country)
            arrival = Arrival(correction.received_at, zones, calendar)
        if arrival == known:
            raise BadRequest("nothing would change: this is the receipt that is on file")
        return arrival

    async def _told_in_time(self, tx: UnitOfWork, request_id: UUID, arrival: Arrival) -> bool:
        """Whether the subject was told of the extension within the first month, as it is counted now (Art. 12(3))."""
        told_at: datetime = await tx.connection.fetchval(
            "SELECT approved_at FROM extension WHERE request_id = $1", request_id
        )
        return told_at < limits(arrival, self._policy).commit_due_instant
