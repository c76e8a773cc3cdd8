"""Actions about questions and dates: what is asked and answered, when a request came, until when it is extended."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from services.intake.actions.action import Action, Held, Options, by_two
from services.intake.actions.answering import read_as
from services.intake.actions.bodies import ArrivalCorrection, Extension, QuestionAsked, QuestionReply
from services.intake.actions.identity import entered_by_hand, must_be_the_same_person, stated
from services.intake.core.errors import BadRequest, ExtensionRefused
from services.intake.core.metrics import EXTENSIONS_REFUSED
from services.intake.identity import proof_links
from services.intake.identity.proof_links import ProofLinks
from services.intake.jobs import redating
from services.intake.letters import correspondence
from services.intake.queries import figures
from services.intake.request import deferrals
from services.intake.request.aggregate import Request, Transition
from services.intake.request.delivery import SENT_TO
from services.intake.request.letter_kinds import LetterField
from services.intake.request.lifecycle import State
from services.intake.request.reasons import Extension as Proposed
from services.intake.request.reasons import flaws
from services.intake.request.same_person import UNKNOWN
from services.intake.store import lookup
from services.portal.settings import PortalSettings
from shared.domain.sentences import Term
from shared.domain.time_limit import Arrival, calc_version, limits
from shared.domain.time_limit_policy import Question
from shared.storage.subject_data import encode_identities

REPLY: Final = "record-reply"
_EXTENDED = """
INSERT INTO extension (request_id, reason, approved_at, notified_at) VALUES ($1, $2, $3, $4)
"""


async def _ask(held: Held, said: QuestionAsked) -> Transition:
    """Sends a question to the requester: who they are, or what they mean (Art. 12(6), Recital 63).

    Raises ``BadRequest``, ``IllegalTransition``.
    """
    if said.contact_on_file:
        if not (url := PortalSettings().url):
            raise BadRequest("there is no portal where a link is opened: enter the proof by hand", "contact_on_file")
        means = held.means
        links = ProofLinks(means.unit_of_work, means.letters, means.identity.links, f"{url}/portal")
        await proof_links.ask(held.tx, held.request, links, said.contact_on_file)
    recorded = said.condition_recorded
    return await correspondence.ask(held.tx, held.request, said.question, said.text, recorded=recorded, own=True)


async def _asked(held: Held, said: QuestionAsked) -> str:
    return await stated(held, said) if said.contact_on_file else f"{held.request.state}"


async def _record_reply(held: Held, said: QuestionReply) -> Transition:
    """The requester has answered a question; an answer that comes too late reopens the request.

    Raises ``BadRequest``.
    """
    tx, request, means = held.tx, held.request, held.means
    held.caller.grant.must_not_vouch(said.proofs)
    asked_at = request.question.asked_at if request.question else None
    received_at = means.instants.replied(said.received_at, asked_at, tx.now)
    answered = request.answer(received_at, tx.now, means.policy, identities=said.subject is not None)
    if said.subject and not deferrals.answerable(request.tasks):
        raise BadRequest("subject belongs to the answer where a system could not be searched; leave it out")
    await correspondence.seal(tx, request, "reply", "requester", said.text.encode())
    if said.subject:
        mine = tuple(said.subject.identities())
        known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
        before = [each for each in known.identities if each.source == "requester"] if known else []
        grant = held.caller.grant
        proved = means.proving.prove(mine, None, said.proofs, grant, tx.now, before)
        if known:
            must_be_the_same_person(known, means.proving.prove(mine, None, said.proofs, grant, tx.now))
        # An account that was found by less must not vouch for what is stated now.
        await tx.vault.drop_located(tx.connection, request.subject_ref)
        await lookup.enter(tx, [(request.request_id, mine, UNKNOWN)])
        await correspondence.seal(tx, request, "identities", "requester", encode_identities(proved.identities))
    return answered


async def _correct_arrival(held: Held, said: ArrivalCorrection) -> Transition:
    """Every date is counted again from when and where the request really came; raises ``BadRequest``."""
    tx, request, policy = held.tx, held.request, held.means.policy
    request.must_allow("redate")
    arrival = _arrival(held, said, tx.now)
    place = await correspondence.seal(tx, request, "explanation", "receipt", said.reason.encode())
    why: dict[str, JsonValue] = {"reason": str(place)}
    if request.extended:  # notified within the first month, as it is counted now (Art. 12(3))
        notified_at = await tx.connection.fetchval(
            "SELECT notified_at FROM extension WHERE request_id = $1", request.request_id
        )
        in_time = notified_at is not None and notified_at < limits(arrival, policy).commit_due_instant
        why["extension_notified_in_time"] = in_time
    due_on = redating.due_after(request, arrival, policy)
    found = replace(request, country=said.country or request.country)
    return found.redate("receipt_corrected", arrival, due_on, calc_version(policy), **why)


def _arrival(held: Held, said: ArrivalCorrection, now: datetime) -> Arrival:
    request, country, policy = held.request, said.country, held.means.policy
    received_at = held.means.instants.entered(said.received_at, request.accepted_at, now)
    zones = policy.zones_of(country) if country else request.zones
    arrival = Arrival(received_at, zones, policy.calendar_of(country) if country else request.calendar)
    if arrival == request.arrival and country in {None, request.country}:
        raise BadRequest("nothing would change: this is the arrival that is on file")
    return arrival


async def _extend(held: Held, said: Extension) -> Transition:
    """Sets the new date, and informs the subject (Art. 12(3)); raises ``ExtensionRefused``."""
    tx, request, policy = held.tx, held.request, held.means.policy
    surge = await _judge(held, request, said)
    notified_at = None if request.channel in SENT_TO else tx.now
    await tx.connection.execute(_EXTENDED, request.request_id, said.reason, tx.now, notified_at)
    words: Mapping[str, LetterField] = {
        "reason": Term("reason.extension", said.reason),
        "explanation": said.explanation.strip(),
    }
    tell_before = limits(request.arrival, policy).commit_due_instant
    by = held.first or ""
    return request.extend(said.new_due, said.reason, words, tx.now, by, tell_before=tell_before, **surge)


async def _judge(held: Held, request: Request, said: Extension) -> dict[str, JsonValue]:
    """The record of a surge, for the reason that needs one; raises ``ExtensionRefused`` with every flaw."""
    request.must_be_ours()
    request.must_allow("redate")
    policy, received = held.means.policy, None
    if said.reason == policy.extension.surge.reason:
        received = await figures.received(held.tx.connection, held.tx.now, policy.extension.surge)
    wrong = flaws(
        *(Proposed(held.tx.now, said.reason, said.explanation, said.new_due), limits(request.arrival, policy), policy),
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


def _dates(held: Held, _: Extension) -> str:
    request = held.request
    return f"{request.received_at.isoformat()} {request.due_on} {request.state is State.CLOSED}"


def _reasons(held: Held) -> Options:
    known = sorted(held.means.policy.extension.reasons)
    return [(each, read_as(held, Term("reason.extension", each))) for each in known]


def _askable(held: Held) -> Options:
    """Questions that can be asked now: none while one is open."""
    request = held.request
    if request.question is not None or request.role == "processor":
        return ()
    questions = ((Question.IDENTITY, "who they are"), (Question.CLARIFICATION, "what they mean"))
    return [(asked.value, words) for asked, words in questions if request.may_ask(asked)]


def _may_record_reply(held: Held) -> bool:
    request, asked = held.request, held.request.question
    if asked is None:
        return False
    return request.has_begun or request.resumable or bool(asked.own_words and request.allows("answer"))


ACTIONS: Final[Sequence[Action]] = (
    Action(
        "requests/ask",
        _ask,
        lambda held: bool(_askable(held)),
        QuestionAsked,
        second=lambda held, said: bool(said.contact_on_file) and entered_by_hand(held),
        about=_asked,
        shows=("question",),
        choices={"question": _askable},
        proposed="proof.proposed",
    ),
    Action(
        "requests/withdraw-question",
        lambda held, _: held.request.take_question_back(),
        lambda held: held.request.question is not None and held.request.state is State.AWAITING_IDENTITY,
        final=True,
    ),
    Action(f"requests/{REPLY}", _record_reply, _may_record_reply, QuestionReply, channel=True),
    Action("requests/correct-arrival", _correct_arrival, lambda held: held.request.allows("redate"), ArrivalCorrection),
    Action(
        "requests/extend",
        _extend,
        lambda held: held.request.allows("redate") and not held.request.extended,
        Extension,
        second=by_two,
        about=_dates,
        shows=("reason", "new_due"),
        choices={"reason": _reasons},
        proposed="extension.proposed",
        final=True,
    ),
)
