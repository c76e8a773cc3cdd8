"""The command `dsr letters`: prints what is to be posted, and shows each letter about an invented request."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from services.cli.files import print_letters
from services.correspondence.rendering import Renderer
from services.intake.letters.letter_facts import LetterFacts
from services.intake.request import letter_kinds
from services.intake.request.aggregate import Request
from services.intake.request.closing import closing_letter, lifting_letter, refusal_letter, work_lines
from services.intake.request.letter_kinds import KINDS, TO_ORGANISATIONS, LetterField, LetterOf
from services.intake.request.lifecycle import State
from services.intake.request.messages.answer import status_sentences
from shared.domain import reference
from shared.domain.languages import LANGUAGES, LOCALES, Language
from shared.domain.notices import NoticeFacts, Reader
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import FactList, Lines, Term, article, named_system, say
from shared.domain.time_limit_policy import Question

letters = typer.Typer(help="Letters to data subjects.")
letters.command("print")(print_letters)


@letters.command()
def preview(
    kind: Annotated[str, typer.Argument(help="of which kind, such as answer, or answer_refused; all: each of them")],
    *,
    lang: Annotated[str, typer.Option(help=f"in which language: {', '.join(LANGUAGES)}")] = "en",
    html: Annotated[
        bool, typer.Option("--html", help="Print the HTML, which is what is kept, and not its text.")
    ] = False,
) -> None:
    """Print a letter as it would read, about an invented request: for who signs the words off."""
    if lang not in LANGUAGES:
        raise typer.BadParameter(f"no such language; the languages are {', '.join(LANGUAGES)}")
    known = LetterFacts()
    renderer = Renderer(known.policy)
    named = [name for name, (of, _) in samples(known).items() if kind in {"all", name, of}]
    if not named:
        raise typer.BadParameter(f"no such kind of letter; the kinds are {', '.join(sorted(KINDS))}")
    for each in named:
        letter = renderer.render(sample(known, each, lang))
        typer.echo(f"===== {each}\n" if len(named) > 1 else "", nl=False)
        typer.echo(letter.html if html else letter.body, nl=False)


_AT: Final = datetime(2026, 3, 5, 9, tzinfo=UTC)
_LATER: Final = _AT + timedelta(days=7)
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
_CUSTOMER: Final = "Harbour Cranes Ltd"
_PERSON: Final[Mapping[str, LetterField]] = {
    "reference": reference.of(_REQUEST.request_id),
    "what": say("recipient_notice.erased"),
    "extent": Lines((say("recipient_notice.all_of_it", category=Term("category", "marketing")),)),
    "person": Lines((say("recipient_notice.line", what=Term("known_by", "email"), value="ada@example.org"),)),
    "changes": Lines(),
}
"""An entry of a digest."""
_NAMED: Final = frozenset({"answer", "update", "extension", "last_notice", "forwarded", "breach"})
"""Letters to a requester who is identified."""


def sample(known: LetterFacts, name: str, language: Language) -> NoticeFacts:
    """The facts of the letter of that name, to a reader who lives where that language is spoken."""
    kind, fields = samples(known)[name]
    instructed = fields.get("about") == "assisted"
    reader = Reader(language, "Europe/Berlin", LOCALES[language][-2:], instructed, kind in TO_ORGANISATIONS)
    common: dict[str, LetterField] = {
        "received_on": _AT,
        "reference": reference.of(_REQUEST.request_id),
        "asked": Term("asked", _REQUEST.right),
        "instruction": "INS-2026-7",
        "customer": _CUSTOMER,
        "name": "Ada Keller" if kind in _NAMED and not instructed else "",
    }
    people = (_PERSON,) if kind == "recipient_notice" else ()
    return NoticeFacts(kind, reader, {**common, **fields}, _LATER, people=people)


def samples(known: LetterFacts) -> Mapping[str, LetterOf]:
    """Every letter by its name: its kind and, where a kind is about several things, what it is about."""
    found = (*_asked(), *_answered(known), *_followed(known), *_others())
    return {f"{kind}_{fields['about']}" if fields.get("about") else kind: (kind, fields) for kind, fields in found}


def _asked() -> Iterator[LetterOf]:
    unproved = _report("cdr", TaskOutcome.NOT_SEARCHED, not_searched=Unsearched.NOT_PROVED, level="L2")
    asking: dict[str, LetterField] = {
        "identity": letter_kinds.question_wording(Question.IDENTITY, _REQUEST),
        "clarification": letter_kinds.question_wording(Question.CLARIFICATION, _REQUEST),
        "proof": letter_kinds.question_wording(Question.IDENTITY, replace(_REQUEST, tasks=(unproved,))),
        "meaning": "(…)",
    }
    yield "acknowledgement", {"standing": status_sentences(_REQUEST, _AT.date()), "code": "NBSWY3DPEB3W64TMMQQQAAAA"}
    for about, question in asking.items():
        yield "question", {"about": about, "question": question}
    open_one: Mapping[str, LetterField] = {"question": asking["clarification"], "asked_on": _AT + timedelta(days=1)}
    yield "question", {"about": "again", **open_one}
    for about in ("identity", "meaning", "unsearched", "unsearched_unfinished", "proof", "proof_unfinished"):
        yield "last_notice", {**open_one, "about": about, "question": asking.get(about.split("_")[0], "(…)")}
    rights = FactList((Term("right", Right.ACCESS), Term("right", Right.ERASURE)))
    link: Mapping[str, LetterField] = {"link": "https://privacy.example.com/portal/en/…", "minutes": 15, "hours": 72}
    for about in ("", "begun"):
        yield "proof_link", {**link, "about": about, "rights": rights, "code": "2718 2818"}
    yield "portal_news", link


def _answered(known: LetterFacts) -> Iterator[LetterOf]:
    erased = _report("crm", TaskOutcome.ERASED, found=15, changed=15, by_category={"account": 12, "ticket": 3})
    emptied = {"by_category": {"analytics_event": 40}, "anonymised": ("analytics_event",)}
    website = _report("website", TaskOutcome.ERASED, found=40, changed=40, **emptied)
    nothing = _report("billing", TaskOutcome.NO_MATCH)
    unknown = _report("cdr", TaskOutcome.NOT_SEARCHED, not_searched=Unsearched.NUMBER_WITHOUT_PERIOD)
    closings: Mapping[Outcome, tuple[TaskReport, ...]] = {
        Outcome.FULFILLED: (erased, nothing),
        Outcome.PARTIALLY_FULFILLED: (erased, *_kept(), website, nothing),
        Outcome.NO_DATA: (nothing,),
        Outcome.UNIDENTIFIED: (nothing, unknown),
        Outcome.WITHDRAWN: (erased, nothing),
        Outcome.ASSISTED: (erased, nothing),
    }
    for outcome, tasks in closings.items():
        by: dict[str, Any] = {"outcome": outcome, "tasks": tasks, "resumable": outcome is Outcome.UNIDENTIFIED}
        if outcome is Outcome.ASSISTED:
            by |= {"tenant": "harbour-cranes", "instruction_id": "INS-2026-7"}
        closed = replace(_REQUEST, state=State.CLOSED, **by)
        for kind, fields in closing_letter(closed):
            yield kind, {"remains": Lines(known.remains(closed, _AT)), **fields}
    yield from refusal_letter(replace(_REQUEST, tasks=()), _decided("refuse", "MANIFESTLY_UNFOUNDED", "12(5)(b)"))
    restricted = _report("crm", TaskOutcome.AMENDED, found=15, changed=15).model_copy(update={"operation": "restrict"})
    weighed: dict[str, LetterField] = {
        "answer": (say("answer.weighed"), say("finding.overridden")),
        "done": work_lines((restricted,)),
    }
    follows = say("answer.objection_lifted", lifted_on=_LATER)
    asked = Term("asked", Right.OBJECTION)
    yield "answer", {**weighed, "about": "overridden", "asked": asked, "explanation": "(…)", "follows": follows}


def _kept() -> Iterator[TaskReport]:
    """Returns data that is kept for a period, and data that is kept during a contract."""
    last = date(2027, 9, 5)
    calls = Kept(category="call", rule="calls_us_18m", count=102, first=date(2026, 4, 2), last=last, period="P18M")
    yield _report("cdr", TaskOutcome.RETAINED, found=222, changed=120, ground=calls.rule, until=last, kept=(calls,))
    rows = {"account": 1, "address": 1, "contact": 2}
    contract = tuple(Kept(category=name, rule="active_contract", count=count) for name, count in rows.items())
    yield _report("customers", TaskOutcome.RETAINED, found=4, ground="active_contract", kept=contract)


def _followed(known: LetterFacts) -> Iterator[LetterOf]:
    yield "extension", {**_decided("extension", "VOLUME", "12(3)"), "new_due": date(2026, 6, 5)}
    for why in ("decided", "given_up"):
        restriction = replace(_REQUEST, right=Right.RESTRICTION)
        kind, fields = lifting_letter(restriction, why, lifted_on=_LATER)
        yield kind, {"asked": Term("asked", Right.RESTRICTION), **fields}
    yield "update", {"about": "reopened", "answered_on": _AT + timedelta(days=40), "new_due": date(2026, 6, 5)}
    ended = _decided("end_part", "SYSTEM_DESTROYED", "12(4)")
    yield "update", {**ended, "about": "part_ended", "system": named_system("legacy-crm")}
    yield "update", {"about": "erasure_opposed", "restriction": reference.EXAMPLE}
    for about in ("package_withheld", "package_released"):
        yield "update", {"about": about, "asked": Term("asked", Right.ACCESS), "fetch": known.fetch(_REQUEST, _AT)}
    yield "forwarded", {"controller": _CUSTOMER, "forwarded_on": _AT + timedelta(days=1)}


def _others() -> Iterator[LetterOf]:
    marketing = Term("category", "marketing")
    yield "controller_reminder", {"to": _CUSTOMER, "right": Term("right", Right.ACCESS), "forwarded_on": _AT}
    yield "recipient_notice", {"to": _CUSTOMER, "reminded": Lines((say("recipient_notice.silent", notified_on=_AT),))}
    yield "old_contact", {"changed_on": _LATER}
    words = dict.fromkeys(("happened", "consequences", "measures"), "(…)")
    yield "breach", {"found_on": _AT, "categories": marketing, **words}


def _report(system: str, outcome: TaskOutcome, **said: object) -> TaskReport:
    known = {"task_id": _REQUEST.request_id, "system": system, "operation": Operation.ERASE, "outcome": outcome}
    return TaskReport.model_validate(known | said)


def _decided(decision: str, reason: str, by: str) -> Mapping[str, LetterField]:
    """Returns an approved decision with its explanation."""
    law = say("letter.law", article=article(by))
    decided = Term(f"reason.{decision}", reason)
    return {"reason": decided, "article": article(by), "law": law, "explanation": "(…)"}
