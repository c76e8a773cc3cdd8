"""What is done with a breach in the console: said before it is done, by its owner, or by a second person."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from services.intake.breach import awareness, breaches, notices, record, telling
from services.intake.breach.record import Record
from services.intake.breach.schemas import (
    AwarenessCorrected,
    BreachClosed,
    BreachFound,
    BreachNotified,
    BreachRecord,
    RiskAssessed,
)
from services.intake.console import breach_facts
from services.intake.console.decisions import options
from services.intake.console.decisions.decision import Asked, Decision, Do, Options, Subject, at_once, saying
from services.intake.console.roles import Power
from services.intake.errors import NotReady
from shared.domain.wording import LANGUAGES, Language

NATURES: Final[Options] = (
    ("confidentiality", "somebody saw data who must not"),
    ("integrity", "data were changed"),
    ("availability", "data were lost, or cannot be reached"),
)
WHOM: Final[Options] = (
    ("authority", "the supervisory authority (Art. 33(1))"),
    ("controller", "a customer who decides about the data (Art. 33(2))"),
    ("persons", "persons whom no letter reaches (Art. 34)"),
)
PHASES: Final[Options] = (
    ("complete", "everything is told"),
    ("initial", "a first part; the rest follows"),
    ("further", "a further part; the rest follows"),
)
EXEMPTIONS: Final[Options] = (
    ("protected", "nobody can read the data (34(3)(a))"),
    ("averted", "the high risk is no longer likely (34(3)(b))"),
    ("disproportionate", "each by themselves would be disproportionate: told in public (34(3)(c))"),
)
CLOSED_AS: Final[Options] = (
    ("authority_notified", "the authority was told"),
    ("controller_notified", "the customer who decides was told"),
    ("no_risk", "no risk to anybody's rights"),
    ("no_breach", "nothing has happened"),
)


def _open(subject: Subject) -> bool:
    return breach_facts.found(subject).closed_at is None


def _mine(subject: Subject) -> bool:
    return _open(subject) and breach_facts.found(subject).owner == subject.person.holder


def _categories(subject: Subject) -> Options:
    return [(each, each.replace("_", " ")) for each in sorted(subject.works.services.processing.categories)]


_RECORD: Final[Sequence[Asked]] = (
    Asked("nature", "What happened to the data", "choices", options=lambda _: NATURES),
    Asked("facts", "What has happened", "area", "From when to when, and how it was found; kept sealed"),
    Asked("effects", "What it has led to, and may still lead to", "area"),
    Asked("measures", "What is done against it", "area"),
    Asked("categories", "Kinds of data", "choices", options=_categories),
    Asked("people", "How many people, approximately", "number"),
    Asked("records", "How many records of them, approximately", "number"),
)


async def _enter(subject: Subject, _: int, said: BreachFound) -> str:
    services = subject.works.services
    within = timedelta(hours=services.settings.breach_hours)
    async with services.unit_of_work.begin() as tx:
        entered = await record.enter(tx, said, subject.person.caller, within)
    return f"/breaches/{entered.breach_id}"


def _owned(step: Callable[..., Awaitable[object]]) -> Do:
    """Does it as the owner of the breach."""
    return at_once(
        lambda tx, subject, said: step(tx, breach_facts.found(subject).breach_id, said, subject.person.caller)
    )


async def _approve(subject: Subject, version: int, _: None) -> None:
    services, row = subject.works.services, subject.row
    if row.assessment is None or breach_facts.version_of(row) != version:
        raise NotReady("it was judged anew since you opened the page: go back, and read it again")
    approved: tuple[UUID, UUID] = (row.breach.breach_id, row.assessment.judged.assessment_id)
    async with services.unit_of_work.begin() as tx:
        await telling.approve(tx, services.use_cases.letters, *approved, subject.person.caller)


async def _approve_later(subject: Subject, version: int, _: None) -> None:
    row: Record = subject.row
    if row.later is None or breach_facts.later_version(row) != version:
        raise NotReady("another hour was proposed since you opened the page: go back, and read it again")
    async with subject.works.services.unit_of_work.begin() as tx:
        await awareness.approve(tx, row.breach.breach_id, row.later.correction_id, subject.person.caller)


def _is_of_another(subject: Subject) -> bool:
    row: Record = subject.row
    return row.later is not None and subject.person.holder not in {row.later.proposed_by, row.breach.owner}


def _notice_is_of_another(subject: Subject) -> bool:
    waiting, holder = breach_facts.waiting(subject), subject.person.holder
    return _open(subject) and bool(waiting) and holder not in {waiting[0].noted_by, breach_facts.found(subject).owner}


async def _approve_notice(subject: Subject, version: int, _: None) -> None:
    row: Record = subject.row
    waiting = breach_facts.waiting(subject)
    if not waiting or breach_facts.notice_version(row) != version:
        raise NotReady("another notice waits since you opened the page: go back, and read it again")
    async with subject.works.services.unit_of_work.begin() as tx:
        await notices.approve(tx, row.breach.breach_id, waiting[0].notice_id, subject.person.caller)


def _awaits_another(subject: Subject) -> bool:
    row: Record = subject.row
    judged = row.assessment.judged if row.assessment else None
    if judged is None or judged.approved_at or judged.void_at or judged.proposed_by == subject.person.holder:
        return False
    return _open(subject) and breach_facts.found(subject).owner != subject.person.holder


def _language(language: Language) -> Sequence[Asked]:
    words = (("happened", "what has happened"), ("consequences", "what it may lead to"), ("measures", "what is done"))
    return [
        Asked(f"words.{language}.{name}", f"{options.LANGUAGES[language]}: {label}", "area") for name, label in words
    ]


ENTER: Final = Decision(
    name="new",
    title="Enter a breach",
    power=Power.HANDLE,
    when=lambda _: True,
    does=saying(
        "A record is opened; its 72 hours run from when it was found.",
        "Somebody who has not handled the request becomes its owner afterwards.",
    ),
    body=BreachFound,
    asks=(
        Asked("found_at", "When it was found", "moment"),
        Asked(
            "request_id", "Request in whose handling it happened", hint="If any; no letter goes to whoever has asked it"
        ),
        *_RECORD,
    ),
    do=_enter,
)
STEPS: Final[Sequence[Decision]] = (
    Decision(
        name="own",
        title="See to it",
        power=Power.HANDLE,
        when=lambda subject: _open(subject) and not _mine(subject),
        does=saying(
            "You own the breach: you document it, and say who was told.",
            "You handle its request no more; whoever has handled that cannot own it.",
        ),
        do=at_once(
            lambda tx, subject, _: breaches.own(tx, breach_facts.found(subject).breach_id, subject.person.caller)
        ),
    ),
    Decision(
        name="record",
        title="State what has happened",
        power=Power.HANDLE,
        when=_mine,
        does=saying(
            "It counts from now on; what was stated before stays on record.",
            "If it is changed, how the risk was judged counts no more, also where two have agreed: it is judged anew.",
        ),
        body=BreachRecord,
        asks=_RECORD,
        do=_owned(record.state),
    ),
    Decision(
        name="awareness",
        title="Correct when it was found",
        power=Power.HANDLE,
        when=_mine,
        does=saying(
            "From an earlier hour the 72 hours run at once; with a later one somebody else must agree first.",
            "By another hour the risk is judged anew.",
            "Both hours and who has said so stay on record.",
        ),
        body=AwarenessCorrected,
        asks=(
            Asked("found_at", "When we became aware of it", "moment", "Not after it was entered, or anybody was told"),
            Asked("reasons", "Why it was another hour before", "area", "Kept sealed"),
        ),
        do=_owned(awareness.correct),
    ),
    Decision(
        name="approve-awareness",
        title="Agree that it was found later",
        power=Power.APPROVE,
        when=lambda subject: _open(subject) and _is_of_another(subject),
        reads=breach_facts.later,
        does=saying("The 72 hours run from then."),
        do=_approve_later,
        irreversible=True,
    ),
    Decision(
        name="notice",
        title="Note who was told",
        power=Power.HANDLE,
        when=_mine,
        does=saying(
            "It is noted; nothing is sent.",
            "With the first notice to the authority the 72 hours end; one to a customer is another duty.",
            "Where its date alone makes it timely, or the breach was not entered yet, somebody else must agree first.",
        ),
        body=BreachNotified,
        asks=(
            Asked("whom", "Who was told", "choose", options=lambda _: WHOM),
            Asked("to", "Their name, and the reference that they gave"),
            Asked("told_at", "When", "moment"),
            Asked("phase", "How much of it", "choose", options=lambda _: PHASES),
            Asked("what", "What they were told, and in which way", "area", "Kept sealed"),
            Asked(
                "delay",
                "Why after 72 hours",
                "area",
                "Why it is late (Art. 33(1)), or why you note only now what was in time",
            ),
            Asked("people", "Of persons: how many, approximately", "number"),
        ),
        do=_owned(notices.note),
    ),
    Decision(
        name="approve-notice",
        title="Agree when they were told",
        power=Power.APPROVE,
        when=_notice_is_of_another,
        reads=breach_facts.noted,
        does=saying("It counts as told at that hour."),
        do=_approve_notice,
        irreversible=True,
    ),
    Decision(
        name="assess",
        title="Propose how high the risk is, and who is told",
        power=Power.HANDLE,
        when=_mine,
        does=saying(
            "Somebody else must agree, who has not handled the request either.",
            "Then a letter goes to the person of each request that you name, in the language that they read (Art. 34).",
            "Nobody gets two, however many requests of theirs you name.",
            "Words are needed in every such language: say in plain words what happened, and what they can do.",
        ),
        body=RiskAssessed,
        asks=(
            Asked(
                "no_risk",
                "No risk (Art. 33(1))",
                "check",
                "Unlikely to put anybody's rights at any risk: nobody is told",
            ),
            Asked("high_risk", "High risk (Art. 34)", "check", "A high risk to rights and freedoms is likely"),
            Asked("exemption", "Why nobody is told though it is high", "choose", options=lambda _: EXEMPTIONS),
            Asked("reasons", "Why you think so", "area", "Kept sealed"),
            Asked("concerned", "Requests of those concerned", "lines", "One reference a line"),
            *(asked for language in LANGUAGES for asked in _language(language)),
        ),
        do=at_once(
            lambda tx, subject, said: telling.propose(
                tx,
                subject.works.services.use_cases.letters,
                breach_facts.found(subject).breach_id,
                said,
                subject.person.caller,
            )
        ),
    ),
    Decision(
        name="approve",
        title="Agree with what its owner proposes",
        power=Power.APPROVE,
        when=_awaits_another,
        does=saying("Where the persons are told, their letters go out."),
        reads=breach_facts.proposed,
        do=_approve,
        irreversible=True,
    ),
    Decision(
        name="close",
        title="Close it",
        power=Power.HANDLE,
        when=_mine,
        does=saying(
            "The record is closed; nothing can be added to it.",
            "Without a notice: only if two persons say that there is no risk, which is more than that it is not high.",
        ),
        reads=breach_facts.standing,
        body=BreachClosed,
        asks=(
            Asked("decision", "What became of it", "choose", options=lambda _: CLOSED_AS),
            Asked("explanation", "Why", "area", "Kept sealed"),
        ),
        do=_owned(record.close),
        irreversible=True,
    ),
)
