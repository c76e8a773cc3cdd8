"""The letter that closes a request: of which kind it is, and what it says was done; pure."""

from collections.abc import Iterable, Iterator, Mapping

from services.intake.request import deferrals
from services.intake.request.as_told import as_told
from services.intake.request.letter_kinds import LetterField, LetterKind, LetterOf
from services.intake.request.stored_request import StoredRequest
from services.intake.request.summed import changed_by_category, summed
from services.intake.request.told import instructed
from services.intake.request.told.answer import OUR_LIST, answer
from services.intake.request.told.kept import is_held_unseen, laws
from services.intake.request.told.search import why_not_searched
from services.intake.request.told.work import had_been_done
from shared.domain import corrections
from shared.domain.operations import ANSWERING, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Lines, Listed, Sentence, Term, named_system, say

_KINDS: Mapping[str, LetterKind] = {
    Outcome.FULFILLED: "completion",
    Outcome.NO_DATA: "no_data",
    Outcome.UNIDENTIFIED: "unidentified",
    Outcome.PARTIALLY_FULFILLED: "partial",
    Outcome.WITHDRAWN: "withdrawal",
}
"""By the outcome of the request; where a transition writes the letter itself, its outcome is not here."""

_ENTERED: Mapping[Right, Term | Sentence] = {
    Right.OBJECTION: named_system(OUR_LIST),
    Right.CONSENT_WITHDRAWAL: say("work.your_withdrawal"),
}
"""Says what is done where no system is named: they have not shown who they are, or none was asked."""

_OF_PERSON = "_of_person"
"""What ends the keys of words to a customer of ours, about the person of their instruction."""
_FOUND = frozenset({TaskOutcome.EXPORTED, TaskOutcome.ERASED, TaskOutcome.AMENDED, TaskOutcome.RETAINED})


def closing_letter(request: StoredRequest, words: Mapping[str, LetterField] | None = None) -> tuple[LetterOf, ...]:
    """What is to be written to the subject of a request that closes; nothing, if its outcome has no letter here.

    A template gets ``answer``, what the subject reads as the answer, ``done``, what each system did in counts, and
    ``words``; without them, ``cause`` says why a part is missing though no two persons have decided so.
    """
    kind = _KINDS.get(as_told(request).outcome or "")
    if request.anonymous:
        told: dict[str, LetterField] = {
            "answer": answer(request),
            "done": _entered(request.right),
            "cause": "kept",
            "laws": Listed(()),
        }
        return ((kind, told),) if kind else ()
    known: dict[str, LetterField] = {"answer": answer(request), "done": _done(request)}
    known |= words or {"cause": _cause(request), "laws": laws(request.tasks)}
    if request.tenant and request.outcome is not Outcome.WITHDRAWN:
        return (*_to_the_customer(request, known), *_lifting(request))
    return ((kind, known),) if kind else ()


def refusal_letter(request: StoredRequest, words: Mapping[str, LetterField]) -> tuple[LetterOf, ...]:
    """What is to be written where two persons have refused it; ``words`` say why."""
    return (("refusal", {**words, "changed": had_been_done(request)}),)


def _lifting(request: StoredRequest) -> tuple[LetterOf, ...]:
    return (
        () if request.lift_told_at is None else (("lifting", {"lifted_on": request.lift_told_at, "cause": "decided"}),)
    )


def later_letter(request: StoredRequest) -> tuple[LetterOf, ...]:
    """What is to be written where more was done of an answered request, or less; of an anonymous one all was said."""
    if request.anonymous:
        return ()
    known: dict[str, LetterField] = {"answer": answer(request), "done": _done(request)}
    if any(map(deferrals.is_kept, request.tasks or ())):
        known |= {"cause": "kept", "laws": laws(request.tasks)}
    elif any(map(deferrals.is_out_of_reach, request.tasks or ())):
        known["cause"] = "ended"
    kind: LetterKind = "partial" if "cause" in known else "completion"
    return _to_the_customer(request, known) if request.tenant else ((kind, known),)


def _to_the_customer(request: StoredRequest, known: Mapping[str, LetterField]) -> tuple[LetterOf, ...]:
    """Whoever decides about the data has the answer, and passes it on (Art. 28(3)(e))."""
    whole = {"cause": "whole"} if request.outcome is Outcome.ASSISTED or "cause" not in known else {}
    letter: LetterOf = ("assisted", {**known, "instruction": request.instruction_id or "", **whole})
    return (letter,) if instructed.told(request) else ()


def _cause(request: StoredRequest) -> str:
    tasks = request.tasks or ()
    if any(map(deferrals.is_kept, tasks)):
        return "kept"
    if corrections.missing(tasks):
        return "unstated" if corrections.stated(tasks) else "uncorrected"
    return "ended" if any(map(deferrals.is_out_of_reach, tasks)) else "unanswered"


def _done(request: StoredRequest) -> Lines:
    if request.had_nothing_to_end and request.outcome is Outcome.FULFILLED:
        return _entered(request.right)
    return done(request.tasks, instructed=bool(request.tenant))


def _entered(right: Right) -> Lines:
    return Lines((say("work.line", system=_ENTERED[right], what=say("work.entered")),))


def done(tasks: Iterable[TaskReport] | None, *, instructed: bool = False) -> Lines:
    """What each system did since the request was received, a line for each.

    ``instructed``: a customer of ours reads it, about the person of their instruction.
    """
    return Lines(tuple(_lines(tasks or (), _OF_PERSON if instructed else "")) or (say("work.in_no_system"),))


def _lines(tasks: Iterable[TaskReport], whose: str) -> Iterator[Sentence]:
    known = tuple(tasks)
    kept = deferrals.kept_for_the_rest(known)
    for task in sorted(summed(known), key=lambda task: (task.system, task.task_id)):
        if task.operation in ANSWERING:
            in_part = task.not_searched and task.outcome != TaskOutcome.NOT_SEARCHED
            left = (say("work.part_not_searched", why=why_not_searched(task, whose)),) if in_part else ()
            not_begun = task.system in kept and not task.outcome
            what = say("work.not_begun") if not_begun else _what(task, whose)
            yield say("work.line", system=named_system(task.system), what=(what, *left))


def _what(task: TaskReport, whose: str) -> Sentence:
    did = Term("did", task.operation)
    if task.uncounted:
        return say("work.uncounted", how=did)
    if not task.outcome and task.changed:
        key = "work.unverified" if task.reported else "work.unfinished"
        return say(key, changed=task.changed, found=task.found, how=did)
    if task.outcome not in _FOUND:
        return _nothing_done(task, did, whose)
    if is_held_unseen(task):
        return say("work.kept_unseen")
    if task.stated:
        return say(f"work.stated{whose}", count=task.found)
    counts = _of_each(task)
    did = Term("did", "erase_or_anonymise") if task.anonymised else did
    ended = frozenset(task.ended or ())
    all_ended = bool(counts) and counts.keys() <= ended
    if ended:
        did = Term("did", "erase" if all_ended else "erase_or_suppress")
    how: Term | Sentence = say("work.by_hand", how=did) if task.by_hand else did
    if counts:
        kinds = (_of_kind(task, name, n, ended=name in ended and not all_ended) for name, n in sorted(counts.items()))
        how = say("work.of_kinds", how=how, kinds=Listed(tuple(kinds), final=False))
    changed = _copied(task) if task.outcome == TaskOutcome.EXPORTED else task.changed
    key = "work.counted_as_reported" if task.reported else "work.counted"
    return say(key, changed=changed, found=task.found, how=how)


def _of_kind(task: TaskReport, name: str, count: int, *, ended: bool) -> Sentence:
    anonymised = name in (task.anonymised or ())
    key = "work.kind_anonymised" if anonymised else "work.kind_erased" if ended else "work.kind"
    return say(key, category=Term("category", name), found=count)


def _copied(task: TaskReport) -> int:
    return task.found if task.handed_out is None else sum(task.handed_out.values())


def _of_each(task: TaskReport) -> Mapping[str, int]:
    """How many of each category a copy has, or were changed, without zeros; empty where that is not known."""
    if not task.by_category:
        return {}
    copied = task.by_category if task.handed_out is None else task.handed_out
    rows = copied if task.outcome == TaskOutcome.EXPORTED else changed_by_category(task)
    known = task.outcome == TaskOutcome.EXPORTED or sum(rows.values()) == task.changed
    return {name: count for name, count in rows.items() if count} if known else {}


def _nothing_done(task: TaskReport, did: Term, whose: str) -> Sentence:
    match task.outcome:
        case TaskOutcome.NO_MATCH:
            return _nothing_found(task, whose)
        case TaskOutcome.NOT_HELD:
            return say("work.not_held", how=did)
        case TaskOutcome.UNCHANGED:
            return say(f"work.unchanged{whose}", count=task.found)
        case TaskOutcome.NOT_SEARCHED:
            return say("work.not_searched", why=why_not_searched(task, whose))
        case TaskOutcome.NO_LONGER_HELD:
            return say("work.no_longer_held", ground=Term("ground", task.ground or ""))
        case _:
            return say("work.not_asked") if task.not_asked else say("work.not_done", how=did)


def _nothing_found(task: TaskReport, whose: str) -> Sentence:
    if task.by_hand:
        return say("work.looked_by_hand")
    if task.categories:
        kinds = Listed(tuple(Term("category", name) for name in task.categories), final=False)
        return say(f"work.searched_kinds{whose}", kinds=kinds)
    return say(f"work.searched{whose}")
