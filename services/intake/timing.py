"""What people decide about the dates of a request: when it came, and until when it is extended."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import JsonValue

from services.intake import auth, redating, statistics, timing_schemas
from services.intake.deciding import Deciding, Held, decision
from services.intake.errors import BadRequest, ExtensionRefused, NotReady
from services.intake.letters import correspondence
from services.intake.metrics import EXTENSIONS_REFUSED
from services.intake.request.aggregate import Request, Transition
from services.intake.request.causes.delivery import SENT_TO
from services.intake.request.extension import Extension, flaws
from services.intake.request.letter_kinds import LetterField
from shared.domain.sentences import Term
from shared.domain.time_limit import Arrival, calc_version, limits
from shared.messaging.unit_of_work import UnitOfWork

_PROPOSE = """
INSERT INTO extension (request_id, reason, explanation, new_due, proposed_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (request_id) DO UPDATE SET reason = excluded.reason, explanation = excluded.explanation,
                                       new_due = excluded.new_due, proposed_by = excluded.proposed_by
"""


@dataclass(frozen=True, slots=True)
class TimingUseCases(Deciding):
    """Moves the dates of one request."""

    @decision
    async def correct_arrival(self, held: Held, correction: timing_schemas.ArrivalCorrection) -> Transition:
        """Every date is counted anew from when and where the request really came.

        Raises:
            BadRequest: it cannot have come then, or that is what is on file.
        """
        tx, request, policy = held.tx, held.request, self.policy
        request.must_allow("redate")
        arrival = self._arrival(request, correction, tx.now)
        place = await correspondence.seal(tx, request, "explanation", "receipt", correction.reason.encode())
        why: dict[str, JsonValue] = {"reason": str(place)}
        if request.extended:  # told within the first month, as it is counted now (Art. 12(3))
            told = "SELECT told_at FROM extension WHERE request_id = $1"
            told_at = await tx.connection.fetchval(told, request.request_id)
            in_time = told_at is not None and told_at < limits(arrival, policy).commit_due_instant
            why["extension_told_in_time"] = in_time
        due_on = redating.due_after(request, arrival, policy)
        found = replace(request, country=correction.country or request.country)
        return found.redate("receipt_corrected", arrival, due_on, calc_version(policy), **why)

    @decision
    async def take_question_back(self, held: Held) -> Transition:
        """An open question about who they are is asked no more, as if it had not been: it may be asked anew."""
        return held.request.take_question_back()

    @decision
    async def propose_extension(self, held: Held, proposal: timing_schemas.ExtensionProposal) -> Transition:
        """One person proposes, in the place of an earlier proposal; nothing changes for the subject yet (REQ-T5).

        Raises:
            ExtensionRefused: with everything that is wrong with it.
        """
        tx, request, key_id = held.tx, held.request, held.caller.key_id
        reason, explanation, new_due = proposal.reason, proposal.explanation, proposal.new_due
        by = held.caller.holder
        surge = await self._judge(tx, request, Extension(tx.now, reason, explanation, new_due, by, approved_by=None))
        place = await correspondence.seal(tx, request, "explanation", "extension", explanation.strip().encode())
        await tx.connection.execute(_PROPOSE, request.request_id, reason, place, new_due, key_id)
        return request.noted("extension.proposed", reason=reason, new_due=new_due.isoformat(), **surge)

    @decision
    async def approve_extension(self, held: Held) -> Transition:
        """Another person agrees (the holder of another key): the new date holds, and the subject is told why and when.

        Raises:
            NotReady: nobody has proposed one.
            ExtensionRefused: with everything that is wrong with it by now.
        """
        tx, request, key_id = held.tx, held.request, held.caller.key_id
        row = await tx.connection.fetchrow(
            "UPDATE extension SET approved_by = $2, approved_at = $3, told_at = $4 WHERE request_id = $1"
            " RETURNING reason, explanation, new_due, proposed_by",
            *(request.request_id, key_id, tx.now, None if request.channel in SENT_TO else tx.now),
        )
        if row is None:
            raise NotReady("nobody has proposed an extension of this request")
        reason, place, new_due, proposed_by = row
        explanation = (await tx.vault.open_one(tx.connection, place) or b"").decode()
        proposer = await auth.holder_of(tx.connection, proposed_by) or proposed_by
        extension = Extension(tx.now, reason, explanation, new_due, proposer, held.caller.holder)
        await self._judge(tx, request, extension)
        words: Mapping[str, LetterField] = {"reason": Term("reason.extension", reason), "explanation": explanation}
        tell_before = limits(request.arrival, self.policy).commit_due_instant
        return request.extend(new_due, reason, words, tx.now, proposed_by, tell_before=tell_before)

    def _arrival(self, request: Request, correction: timing_schemas.ArrivalCorrection, now: datetime) -> Arrival:
        country = correction.country
        received_at = self.instants.entered(correction.received_at, request.accepted_at, now)
        zones = self.policy.zones_of(country) if country else request.zones
        arrival = Arrival(received_at, zones, self.policy.calendar_of(country) if country else request.calendar)
        if arrival == request.arrival and country in {None, request.country}:
            raise BadRequest("nothing would change: this is the arrival that is on file")
        return arrival

    async def _judge(self, tx: UnitOfWork, request: Request, extension: Extension) -> dict[str, JsonValue]:
        """The record of a surge, for the reason that needs one; raises ``ExtensionRefused`` with every flaw."""
        request.must_be_ours()
        request.must_allow("extend")
        rule, received = self.policy.extension.surge, None
        if extension.reason == rule.reason:
            received = await statistics.received(tx.connection, tx.now, rule)
        wrong = flaws(
            *(extension, limits(request.arrival, self.policy), self.policy),
            already_extended=request.extended,
            of_marketing=request.scope == "direct_marketing",
            of_consent=bool(request.purposes),
            received=received,
        )
        for flaw in wrong:
            EXTENSIONS_REFUSED.labels(flaw).inc()
        if wrong:
            raise ExtensionRefused(f"the dates stay as they were: {', '.join(wrong)}")
        return {"received": received.lately, "usually": round(received.usually, 1)} if received else {}
