"""Actions about questions and dates: what is asked and answered, when a request came, until when it is extended."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from services.intake.actions.action import Action, ActionContext, Options, always_two
from services.intake.actions.answering import read_as
from services.intake.actions.bodies import ArrivalCorrection, Extension, QuestionAsked, QuestionReply
from services.intake.actions.identity import entered_by_hand, must_be_the_same_person, stated
from services.intake.core.errors import BadRequest, ExtensionRefused
from services.intake.core.metrics import EXTENSIONS_REFUSED
from services.intake.identity import proof_links
from services.intake.identity.proof_links import ProofLinks
from services.intake.jobs import redating
from services.intake.letters import sealed_letters
from services.intake.queries import figures
from services.intake.request import deferrals
from services.intake.request.aggregate import Request, Transition
from services.intake.request.delivery_effects import SENT_CHANNELS
from services.intake.request.letter_kinds import LetterField
from services.intake.request.lifecycle import State
from services.intake.request.reasons import ProposedExtension as Proposed
from services.intake.request.reasons import flaws
from services.intake.request.same_person import UNPROVED
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


async def _ask(context: ActionContext, body: QuestionAsked) -> Transition:
    """Sends a question to the requester: who they are, or what they mean (Art. 12(6), Recital 63).

    Raises ``BadRequest``, ``IllegalTransition``.
    """
    if body.contact_on_file:
        if not (url := PortalSettings().url):
            raise BadRequest("there is no portal where a link is opened: enter the proof by hand", "contact_on_file")
        use_cases = context.use_cases
        links = ProofLinks(use_cases.unit_of_work, use_cases.letters, use_cases.identity.links, f"{url}/portal")
        await proof_links.send_to_contact_on_file(context.tx, context.request, links, body.contact_on_file)
    recorded = body.condition_recorded
    return await sealed_letters.ask_question(
        context.tx, context.request, body.question, body.text, recorded=recorded, own=True
    )


async def _asked(context: ActionContext, body: QuestionAsked) -> str:
    return await stated(context, body) if body.contact_on_file else f"{context.request.state}"


async def _record_reply(context: ActionContext, body: QuestionReply) -> Transition:
    """The requester has answered a question; an answer that comes too late reopens the request.

    Raises ``BadRequest``.
    """
    tx, request, use_cases = context.tx, context.request, context.use_cases
    context.caller.grant.must_not_vouch(body.proofs)
    asked_at = request.question.asked_at if request.question else None
    received_at = use_cases.instants.replied(body.received_at, asked_at, tx.now)
    answered = request.answer(received_at, tx.now, use_cases.policy, identities=body.subject is not None)
    if body.subject and not deferrals.answerable(request.tasks):
        raise BadRequest("subject belongs to the answer where a system could not be searched; leave it out")
    await sealed_letters.seal_text(tx, request, "reply", "requester", body.text.encode())
    if body.subject:
        mine = tuple(body.subject.identities())
        known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
        before = [each for each in known.identities if each.source == "requester"] if known else []
        grant = context.caller.grant
        proved = use_cases.proof_evaluator.prove(mine, None, body.proofs, grant, tx.now, before)
        if known:
            must_be_the_same_person(known, use_cases.proof_evaluator.prove(mine, None, body.proofs, grant, tx.now))
        # An account that was found by less must not vouch for what is stated now.
        await tx.vault.drop_located(tx.connection, request.subject_ref)
        await lookup.index_requests(tx, [(request.request_id, mine, UNPROVED)])
        await sealed_letters.seal_text(tx, request, "identities", "requester", encode_identities(proved.identities))
    return answered


async def _correct_arrival(context: ActionContext, body: ArrivalCorrection) -> Transition:
    """Every date is counted again from when and where the request really came; raises ``BadRequest``."""
    tx, request, policy = context.tx, context.request, context.use_cases.policy
    request.must_allow("redate")
    arrival = _arrival(context, body, tx.now)
    place = await sealed_letters.seal_text(tx, request, "explanation", "receipt", body.reason.encode())
    why: dict[str, JsonValue] = {"reason": str(place)}
    if request.extended:  # notified within the first month, as it is counted now (Art. 12(3))
        notified_at = await tx.connection.fetchval(
            "SELECT notified_at FROM extension WHERE request_id = $1", request.request_id
        )
        in_time = notified_at is not None and notified_at < limits(arrival, policy).commit_due_instant
        why["extension_notified_in_time"] = in_time
    due_on = redating.due_after(request, arrival, policy)
    found = replace(request, country=body.country or request.country)
    return found.redate("receipt_corrected", arrival, due_on, calc_version(policy), **why)


def _arrival(context: ActionContext, body: ArrivalCorrection, now: datetime) -> Arrival:
    request, country, policy = context.request, body.country, context.use_cases.policy
    received_at = context.use_cases.instants.entered(body.received_at, request.accepted_at, now)
    zones = policy.zones_of(country) if country else request.zones
    arrival = Arrival(received_at, zones, policy.calendar_of(country) if country else request.calendar)
    if arrival == request.arrival and country in {None, request.country}:
        raise BadRequest("nothing would change: this is the arrival that is on file")
    return arrival


async def _extend(context: ActionContext, body: Extension) -> Transition:
    """Sets the new date, and informs the subject (Art. 12(3)); raises ``ExtensionRefused``."""
    tx, request, policy = context.tx, context.request, context.use_cases.policy
    surge = await _judge(context, request, body)
    notified_at = None if request.channel in SENT_CHANNELS else tx.now
    await tx.connection.execute(_EXTENDED, request.request_id, body.reason, tx.now, notified_at)
    words: Mapping[str, LetterField] = {
        "reason": Term("reason.extension", body.reason),
        "explanation": body.explanation.strip(),
    }
    tell_before = limits(request.arrival, policy).commit_due_instant
    by = context.first or ""
    return request.extend(body.new_due, body.reason, words, tx.now, by, tell_before=tell_before, **surge)


async def _judge(context: ActionContext, request: Request, body: Extension) -> dict[str, JsonValue]:
    """The record of a surge, for the reason that needs one; raises ``ExtensionRefused`` with every flaw."""
    request.require_controller()
    request.must_allow("redate")
    policy, received = context.use_cases.policy, None
    if body.reason == policy.extension.surge.reason:
        received = await figures.received(context.tx.connection, context.tx.now, policy.extension.surge)
    wrong = flaws(
        *(
            Proposed(context.tx.now, body.reason, body.explanation, body.new_due),
            limits(request.arrival, policy),
            policy,
        ),
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


def _dates(context: ActionContext, _: Extension) -> str:
    request = context.request
    return f"{request.received_at.isoformat()} {request.due_on} {request.state is State.CLOSED}"


def _reasons(context: ActionContext) -> Options:
    known = sorted(context.use_cases.policy.extension.reasons)
    return [(each, read_as(context, Term("reason.extension", each))) for each in known]


def _askable(context: ActionContext) -> Options:
    """Questions that can be asked now: none while one is open."""
    request = context.request
    if request.question is not None or request.role == "processor":
        return ()
    questions = ((Question.IDENTITY, "who they are"), (Question.CLARIFICATION, "what they mean"))
    return [(asked.value, words) for asked, words in questions if request.may_ask(asked)]


def _may_record_reply(context: ActionContext) -> bool:
    request, asked = context.request, context.request.question
    if asked is None:
        return False
    return request.has_begun or request.resumable or bool(asked.own_words and request.allows("answer"))


ACTIONS: Final[Sequence[Action]] = (
    Action(
        "requests/ask",
        _ask,
        lambda context: bool(_askable(context)),
        QuestionAsked,
        second=lambda context, body: bool(body.contact_on_file) and entered_by_hand(context),
        about=_asked,
        shows=("question",),
        choices={"question": _askable},
        proposed="proof.proposed",
    ),
    Action(
        "requests/withdraw-question",
        lambda context, _: context.request.withdraw_question(),
        lambda context: context.request.question is not None and context.request.state is State.AWAITING_IDENTITY,
        final=True,
    ),
    Action(f"requests/{REPLY}", _record_reply, _may_record_reply, QuestionReply, channel=True),
    Action(
        "requests/correct-arrival",
        _correct_arrival,
        lambda context: context.request.allows("redate"),
        ArrivalCorrection,
    ),
    Action(
        "requests/extend",
        _extend,
        lambda context: context.request.allows("redate") and not context.request.extended,
        Extension,
        second=always_two,
        about=_dates,
        shows=("reason", "new_due"),
        choices={"reason": _reasons},
        proposed="extension.proposed",
        final=True,
    ),
)
