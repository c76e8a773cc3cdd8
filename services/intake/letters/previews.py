"""Letters as they would read: one of each kind, about invented requests, for who signs the words off; pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from services.intake.letters import questions
from services.intake.letters.rendering import Letters
from services.intake.request.aggregate import Request
from services.intake.request.closing import closing_letter, done
from services.intake.request.letter_kinds import TO_OTHERS, LetterField, LetterKind
from services.intake.request.lifecycle import State
from services.intake.request.told.answer import standing
from services.intake.request.told.work import had_been_done
from shared.domain import reference
from shared.domain.notices import NoticeFacts, Reader
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Lines, Listed, Term, article, say
from shared.domain.time_limit_policy import Question
from shared.domain.wording import Language

_AT: Final = datetime(2026, 3, 5, 9, tzinfo=UTC)
_COUNTRIES: Mapping[Language, str] = {"en": "IE", "de": "DE", "fr": "FR", "es": "ES"}
"""Where the reader of each language lives in a preview."""
_REQUEST: Final = Request(
    request_id=UUID("019c0000-0000-7000-8000-000000000001"),
    subject_ref=UUID("019c0000-0000-7000-8000-000000000002"),
    right=Right.ERASURE,
    state=State.IN_PROGRESS,
    scope=None,
    channel="api",
    key_id="preview",
    received_at=_AT,
    accepted_at=_AT,
    due_on=date(2026, 4, 4),
    zones=("Europe/Berlin",),
    calendar="DE",
)


def sample(letters: Letters, kind: LetterKind, language: Language) -> NoticeFacts:
    """The facts of a letter of that kind, to somebody who lives where that language is spoken."""
    customer = kind in TO_OTHERS or kind == "assisted"
    outside = kind in TO_OTHERS
    reader = Reader(language, "Europe/Berlin", _COUNTRIES[language], customer and not outside, outside)
    known: dict[str, LetterField] = {
        "received_on": _AT,
        "reference": reference.of(_REQUEST.request_id),
        "instruction": "INS-2026-7",
        "asked_on": _AT + timedelta(days=1),
    }
    return NoticeFacts(kind, reader, {**known, **_fields(letters, kind)}, _AT + timedelta(days=7))


def _fields(letters: Letters, kind: LetterKind) -> Mapping[str, LetterField]:
    """What the transition that writes such a letter would have said."""
    known = {**_decided(kind), **_asked(kind), **_passed_on(), **_by_kind()}
    if kind == "package_released":
        known["fetch"] = letters.fetch(_AT)
    if kind not in _CLOSED:
        return known
    closed = _closed(kind)
    return {**known, "remains": letters.remains(closed, _AT), **dict(closing_letter(closed)).get(kind, {})}


_CLOSED: Mapping[LetterKind, Outcome] = {
    "completion": Outcome.FULFILLED,
    "partial": Outcome.PARTIALLY_FULFILLED,
    "no_data": Outcome.NO_DATA,
    "unidentified": Outcome.UNIDENTIFIED,
    "withdrawal": Outcome.WITHDRAWN,
    "assisted": Outcome.ASSISTED,
}


def _closed(kind: LetterKind) -> Request:
    erased = _report("crm", TaskOutcome.ERASED, found=15, changed=15, by_category={"account": 12, "ticket": 3})
    last = date(2027, 9, 5)
    calls = Kept(category="call", rule="calls_us_18m", count=102, first=date(2026, 4, 2), last=last)
    by_rule = {"ground": "calls_us_18m", "until": last, "kept": (calls,)}
    kept = _report("cdr", TaskOutcome.RETAINED, found=222, changed=120, **by_rule)
    emptied = {"by_category": {"analytics_event": 40}, "anonymised": ("analytics_event",)}
    emptied_site = _report("website", TaskOutcome.ERASED, found=40, changed=40, **emptied)
    nothing = _report("billing", TaskOutcome.NO_MATCH)
    unknown = _report("cdr", TaskOutcome.NOT_SEARCHED, not_searched=Unsearched.NUMBER_WITHOUT_PERIOD)
    tasks: Mapping[LetterKind, tuple[TaskReport, ...]] = {
        "partial": (erased, kept, emptied_site, nothing),
        "no_data": (nothing,),
        "unidentified": (nothing, unknown),
    }
    closed = replace(_REQUEST, state=State.CLOSED, outcome=_CLOSED[kind], tasks=tasks.get(kind, (erased, nothing)))
    if kind == "assisted":
        return replace(closed, tenant="harbour-cranes", instruction_id="INS-2026-7")
    return replace(closed, resumable=kind == "unidentified")


def _report(system: str, outcome: TaskOutcome, **said: object) -> TaskReport:
    known = {"task_id": _REQUEST.request_id, "system": system, "operation": Operation.ERASE, "outcome": outcome}
    return TaskReport.model_validate(known | said)


def _decided(kind: LetterKind) -> Mapping[str, LetterField]:
    """What two persons have decided, with the words of one of them."""
    reasons = {
        "refusal": (Term("reason.refuse", "RIGHTS_OF_OTHERS"), "15(4)"),
        "part_ended": (Term("reason.end_part", "SYSTEM_DESTROYED"), "12(4)"),
        "extension": (Term("reason.extension", "VOLUME"), "12(3)"),
    }
    if kind not in reasons:
        return {}
    reason, by = reasons[kind]
    return {"reason": reason, "article": article(by), "explanation": "(…)", "cause": "decided", "system": "legacy-crm"}


def _asked(kind: LetterKind) -> Mapping[str, LetterField]:
    """A question that is open, and what its last notice says."""
    causes = {"clarification_last_notice": "meaning", "proof_last_notice": "unsearched", "lifting": "decided"}
    asked = Question.CLARIFICATION if kind.startswith("clarification") else Question.IDENTITY
    unproved = _report("cdr", TaskOutcome.NOT_SEARCHED, not_searched=Unsearched.NOT_PROVED, level="L2")
    request = replace(_REQUEST, tasks=(unproved,)) if kind.startswith("proof") else _REQUEST
    return {"question": questions.asked(asked, request), "cause": causes.get(kind, "decided")}


def _passed_on() -> Mapping[str, LetterField]:
    """What a customer of ours decides about."""
    return {
        "controller": "Harbour Cranes Ltd",
        "forwarded_on": _AT,
        "to": "Harbour Cranes Ltd",
        "right": Term("right", Right.ACCESS),
    }


def _by_kind() -> Mapping[str, LetterField]:
    restricted = _report("crm", TaskOutcome.AMENDED, found=15, changed=15).model_copy(update={"operation": "restrict"})
    return {
        "standing": standing(_REQUEST, _AT.date()),
        "what": say("recipient_notice.erased"),
        "categories": Term("category", "marketing"),
        "extent": Lines((say("recipient_notice.all_of_it", category=Term("category", "marketing")),)),
        "person": Lines((say("recipient_notice.line", what=Term("known_by", "email"), value="ada@example.org"),)),
        "changes": Lines(),
        "told_on": _AT,
        "code": "NBSWY3DPEB3W64TMMQQQAAAA",
        "link": "https://privacy.example.com/portal/en/prove/…",
        "minutes": 15,
        "hours": 72,
        "rights": Listed((Term("right", Right.ACCESS), Term("right", Right.ERASURE))),
        "new_due": date(2026, 6, 5),
        "answered_on": _AT + timedelta(days=40),
        "first": reference.EXAMPLE,
        "first_received_on": _AT - timedelta(days=3),
        "first_due": date(2026, 4, 1),
        "lifted_on": _AT + timedelta(days=7),
        "finding": say("objection_weighed.finding_overridden"),
        "explanation": "(…)",
        "done": done((restricted,)),
        "others": Lines(),
        "changed": had_been_done(replace(_REQUEST, tasks=())),
        "restriction": reference.EXAMPLE,
        "found_on": _AT,
        "happened": "(…)",
        "consequences": "(…)",
        "measures": "(…)",
    }
