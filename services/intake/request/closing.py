"""Writes the letter that closes a request: what was done, what stays, and why; pure."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from services.intake.request import deferrals
from services.intake.request.letter_kinds import LetterField, LetterOf
from services.intake.request.messages.answer import OUR_LIST, answer, had_been_done, of_instruction, why_not_searched
from services.intake.request.messages.retained import is_retained_unseen
from services.intake.request.reports import changed_by_category, summed
from services.intake.request.stored_request import StoredRequest, for_requester
from shared.domain.operations import ANSWERING, TaskOutcome, TaskReport, has_statements, missing_corrections
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import FactList, Lines, Sentence, Sentences, Term, named_system, say

_LETTER_ELSEWHERE = frozenset({None, Outcome.FORWARDED, Outcome.REFUSED, Outcome.ASSISTED})
"""Outcomes whose letter is written elsewhere, or by nothing."""
_ENTERED: Mapping[Right, Term | Sentence] = {
    Right.OBJECTION: named_system(OUR_LIST),
    Right.CONSENT_WITHDRAWAL: say("work.your_withdrawal"),
}
"""Says what is done where no system is named: they have not shown who they are, or none was asked."""

_INSTRUCTION_SUFFIX = "_of_person"
"""The end of the keys of words to a customer, about the person of their instruction."""
_FOUND = frozenset({TaskOutcome.EXPORTED, TaskOutcome.ERASED, TaskOutcome.AMENDED, TaskOutcome.RETAINED})


def closing_letter(request: StoredRequest, words: Mapping[str, LetterField] | None = None) -> tuple[LetterOf, ...]:
    """Returns the letter to the subject of a request that closes; none if its transition writes it.

    ``words``: why a part is missing, as two people have decided; without them, ``cause`` says it.
    """
    outcome = for_requester(request).outcome
    if request.tenant and not request.anonymous and outcome is not Outcome.WITHDRAWN:
        return (*_customer_letter(request, words), *_lift_letters(request))
    if outcome in _LETTER_ELSEWHERE:
        return ()
    in_part = outcome is Outcome.PARTIALLY_FULFILLED
    return (_answer(request, str(outcome), words or ({"cause": _cause(request)} if in_part else {})),)


def refusal_letter(request: StoredRequest, words: Mapping[str, LetterField]) -> tuple[LetterOf, ...]:
    """Returns the letter of a request that two people have refused; ``words`` say why."""
    found = (say("answer.refused"), *had_been_done(request))
    return (("answer", {**words, "about": "refused", "answer": found}),)


def _lift_letters(request: StoredRequest) -> tuple[LetterOf, ...]:
    return (
        ()
        if request.lift_notified_at is None
        else (lifting_letter(request, "decided", lifted_on=request.lift_notified_at),)
    )


def lifting_letter(request: StoredRequest, cause: str, **fields: LetterField) -> LetterOf:
    """Returns the letter before a restriction is lifted (Art. 18(3)), with the reason."""
    return ("update", {"about": f"lifting_{cause}", "why": Term("lifted_since", request.right), **fields})


def follow_up_letter(request: StoredRequest) -> tuple[LetterOf, ...]:
    """Returns the letter after more was done of an answered request, or less; none to an anonymous one."""
    if request.anonymous:
        return ()
    kept, ended = (any(map(each, request.tasks or ())) for each in (deferrals.is_retained, deferrals.is_unreachable))
    cause = "" if kept else "ended" if ended else "whole"
    if request.tenant:
        return _customer_letter(request, {"cause": cause})
    if cause == "whole":
        return (_answer(request, Outcome.FULFILLED, {}),)
    return (_answer(request, Outcome.PARTIALLY_FULFILLED, {"cause": cause}),)


def _customer_letter(request: StoredRequest, words: Mapping[str, LetterField] | None) -> tuple[LetterOf, ...]:
    """Returns the answer to the customer, who decides about the data and passes it on (Art. 28(3)(e))."""
    whole = {"cause": "whole"} if request.outcome is Outcome.ASSISTED else {"cause": _cause(request)}
    return (_answer(request, "assisted", words or whole),) if of_instruction(request) else ()


def _answer(request: StoredRequest, about: str, why: Mapping[str, LetterField]) -> LetterOf:
    """Returns the answer, with what stays in a list: one item for each system."""
    sentences = answer(request)
    lines: list[Sentence] = []
    for _, found in groupby((each for each in sentences if _is_retained(each)), key=lambda each: each.facts["system"]):
        lines.append(say("kept.line", said=tuple(found)))
    done = _listed_line(request.right) if request.anonymous else _work_lines(request)
    first: Sentences = tuple(each for each in sentences if not _is_retained(each))
    return ("answer", {"about": about, "answer": first, "stays": Lines(tuple(lines)), "done": done, **why})


def _is_retained(sentence: Sentence) -> bool:
    return sentence.key.startswith("kept.")


def _cause(request: StoredRequest) -> str:
    """Returns why a part is missing; nothing where it is kept, since each item says so."""
    tasks = request.tasks or ()
    if any(map(deferrals.is_retained, tasks)):
        return ""
    if missing_corrections(tasks):
        return "unstated" if has_statements(tasks) else "uncorrected"
    return "ended" if any(map(deferrals.is_unreachable, tasks)) else "unanswered"


def _work_lines(request: StoredRequest) -> Lines:
    if request.had_nothing_to_end and request.outcome is Outcome.FULFILLED:
        return _listed_line(request.right)
    return work_lines(request.tasks, instructed=bool(request.tenant))


def _listed_line(right: Right) -> Lines:
    return Lines((say("work.line", system=_ENTERED[right], what=say("work.entered")),))


def work_lines(tasks: Iterable[TaskReport] | None, *, instructed: bool = False) -> Lines:
    """Lists what each system has done since the request was received, one line each.

    ``instructed``: a customer reads it, about the person of their instruction.
    """
    return Lines(tuple(_lines(tasks or (), _INSTRUCTION_SUFFIX if instructed else "")) or (say("work.in_no_system"),))


def _lines(tasks: Iterable[TaskReport], whose: str) -> Iterator[Sentence]:
    known = tuple(tasks)
    kept = deferrals.deferred_systems(known)
    for task in sorted(summed(known), key=lambda task: (task.system, task.task_id)):
        if task.operation in ANSWERING:
            in_part = task.not_searched and task.outcome != TaskOutcome.NOT_SEARCHED
            unsearched = (say("work.part_not_searched", why=why_not_searched(task, whose)),) if in_part else ()
            not_begun = task.system in kept and not task.outcome
            what = say("work.not_begun") if not_begun else _what(task, whose)
            yield say("work.line", system=named_system(task.system), what=(what, *unsearched))


def _what(task: TaskReport, whose: str) -> Sentence:
    changed = _copied(task) if task.outcome == TaskOutcome.EXPORTED else task.changed
    did = say(f"did.{task.operation}", count=max(changed, 1))
    if task.count_unknown:
        return say("work.count_unknown", how=did)
    if not task.outcome and changed:
        return say("work.unverified" if task.reported else "work.unfinished", count=changed, how=did)
    if task.outcome not in _FOUND:
        return _nothing_done(task, did, whose)
    if is_retained_unseen(task):
        return say("work.kept_unseen")
    if task.stated:
        return say(f"work.stated{whose}", count=task.found)
    return _counted(task, changed, did) if changed else say("work.nothing", how=did)


def _counted(task: TaskReport, changed: int, did: Sentence) -> Sentence:
    counts, ended = _counts_by_category(task), frozenset(task.ended or ())
    all_ended = bool(counts) and counts.keys() <= ended
    if ended:
        did = say("did.erase" if all_ended else "did.erase_or_suppress", count=changed)
    elif task.anonymised:
        did = say("did.erase_or_anonymise", count=changed)
    how = say("work.by_hand", how=did) if task.by_hand else did
    if counts:
        kinds = (
            _category_phrase(task, name, n, ended=name in ended and not all_ended) for name, n in sorted(counts.items())
        )
        how = say("work.of_kinds", how=how, kinds=FactList(tuple(kinds), final=False))
    return say("work.counted_as_reported" if task.reported else "work.counted", count=changed, how=how)


def _category_phrase(task: TaskReport, name: str, count: int, *, ended: bool) -> Sentence:
    anonymised = name in (task.anonymised or ())
    key = "work.kind_anonymised" if anonymised else "work.kind_erased" if ended else "work.kind"
    return say(key, category=Term("category", name), found=count)


def _copied(task: TaskReport) -> int:
    return task.found if task.handed_out is None else sum(task.handed_out.values())


def _counts_by_category(task: TaskReport) -> Mapping[str, int]:
    """Counts the copied or changed records of each category, without zeros; empty where that is not known."""
    if not task.by_category:
        return {}
    copied = task.by_category if task.handed_out is None else task.handed_out
    rows = copied if task.outcome == TaskOutcome.EXPORTED else changed_by_category(task)
    known = task.outcome == TaskOutcome.EXPORTED or sum(rows.values()) == task.changed
    return {name: count for name, count in rows.items() if count} if known else {}


def _nothing_done(task: TaskReport, did: Sentence, whose: str) -> Sentence:
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
        kinds = FactList(tuple(Term("category", name) for name in task.categories), final=False)
        return say(f"work.searched_kinds{whose}", kinds=kinds)
    return say(f"work.searched{whose}")
