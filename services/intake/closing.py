"""The letter that closes a request: of which kind it is, and what it says was done; pure."""

from collections.abc import Iterable, Iterator, Mapping

from services.intake import deferrals, instructed
from services.intake.answer import OUR_LIST, answer
from services.intake.as_told import as_told
from services.intake.letters import LetterKind, LetterOf
from services.intake.stored_request import StoredRequest
from services.intake.summed import summed
from services.intake.told_of_kept import NOT_BEGUN
from services.intake.told_of_search import why_not_searched
from services.intake.told_of_work import DID, had_been_done
from shared.domain.operations import ANSWERING, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right

_KINDS: Mapping[str, LetterKind] = {
    Outcome.FULFILLED: "completion",
    Outcome.NO_DATA: "no_data",
    Outcome.UNIDENTIFIED: "unidentified",
    Outcome.PARTIALLY_FULFILLED: "partial",
    Outcome.WITHDRAWN: "withdrawal",
}
"""By the outcome of the request; where a transition writes the letter itself, its outcome is not here."""

_ANONYMOUS: Mapping[Right, str] = {
    Right.OBJECTION: f"- {OUR_LIST}: entered.",
    Right.CONSENT_WITHDRAWAL: "- your withdrawal: entered.",
}
"""What is told as done to whoever has not shown who they are."""

_FOUND = frozenset({TaskOutcome.EXPORTED, TaskOutcome.ERASED, TaskOutcome.AMENDED, TaskOutcome.RETAINED})


def closing_letter(request: StoredRequest, words: Mapping[str, str] | None = None) -> tuple[LetterOf, ...]:
    """What is to be written to the subject of a request that closes; nothing, if its outcome has no letter here.

    A template gets ``answer``, what the subject reads as the answer, ``done``, what each system did in counts, and
    ``words``; without them, ``cause`` says why a part is missing though no two persons have decided so.
    """
    kind = _KINDS.get(as_told(request).outcome or "")
    if request.anonymous:
        told = {"answer": answer(request), "done": _ANONYMOUS[request.right], "cause": "kept"}
        return ((kind, told),) if kind else ()
    known = {"answer": answer(request), "done": done(request.tasks), **(words or {"cause": _cause(request)})}
    if request.tenant and request.outcome is not Outcome.WITHDRAWN:
        return (*_to_the_customer(request, known), *_lifting(request))
    return ((kind, known),) if kind else ()


def refusal_letter(request: StoredRequest, words: Mapping[str, str]) -> tuple[LetterOf, ...]:
    """What is to be written where two persons have refused it; ``words`` say why."""
    return (("refusal", {**words, "changed": had_been_done(request)}),)


def _lifting(request: StoredRequest) -> tuple[LetterOf, ...]:
    return (
        () if request.lift_told_at is None else (("lifting", {"lifted_on": request.lift_told_at, "cause": "decided"}),)
    )


def later_letter(request: StoredRequest) -> tuple[LetterOf, ...]:
    """What is to be written once all is done that was owed of an answered request; of an anonymous one all was said."""
    if request.anonymous:
        return ()
    known = {"answer": answer(request), "done": done(request.tasks)}
    if any(map(deferrals.is_out_of_reach, request.tasks or ())):
        known["cause"] = "ended"
    kind: LetterKind = "partial" if "cause" in known else "completion"
    return _to_the_customer(request, known) if request.tenant else ((kind, known),)


def _to_the_customer(request: StoredRequest, known: Mapping[str, str]) -> tuple[LetterOf, ...]:
    """Whoever decides about the data has the answer, and passes it on (Art. 28(3)(e))."""
    whole = {"cause": "whole"} if request.outcome is Outcome.ASSISTED or "cause" not in known else {}
    letter: LetterOf = ("assisted", {**known, "instruction": request.instruction_id or "", **whole})
    return (letter,) if instructed.told(request) else ()


def _cause(request: StoredRequest) -> str:
    tasks = request.tasks or ()
    if any(map(deferrals.is_kept, tasks)):
        return "kept"
    return "ended" if any(map(deferrals.is_out_of_reach, tasks)) else "unanswered"


def done(tasks: Iterable[TaskReport] | None) -> str:
    """What each system did since the request was received, a line for each."""
    return "\n".join(_lines(tasks or ())) or "- in no system was anything done."


def _lines(tasks: Iterable[TaskReport]) -> Iterator[str]:
    known = tuple(tasks)
    kept = deferrals.kept_for_the_rest(known)
    for task in sorted(summed(known), key=lambda task: (task.system, task.task_id)):
        if task.operation in ANSWERING:
            in_part = task.not_searched and task.outcome != TaskOutcome.NOT_SEARCHED
            left = f" A part was not searched: {why_not_searched(task)}." if in_part else ""
            not_begun = task.system in kept and not task.outcome
            yield f"- {task.system}: {NOT_BEGUN if not_begun else _line(task)}{left}"


def _line(task: TaskReport) -> str:
    did = DID[task.operation]
    if task.uncounted:
        return f"{did}; how many records it was cannot be counted."
    if not task.outcome and task.changed:
        what = (
            "that is what it says of itself; nobody has verified it" if task.reported else "the rest was not finished"
        )
        return f"{task.changed} of {task.found} records {did}; {what}."
    if task.outcome not in _FOUND:
        return _nothing_done(task, did)
    counts = (dict.fromkeys(task.categories or (), 0) | dict(task.by_category)) if task.by_category else {}
    kinds = ", ".join(f"{category.replace('_', ' ')}: {count}" for category, count in sorted(counts.items()))
    number = task.found if task.outcome == TaskOutcome.EXPORTED else task.changed
    how = f"{did}{' by hand' if task.by_hand else ''}{f' ({kinds})' if kinds else ''}"
    said = "; of some of them that is what it says of itself, and nobody has verified it" if task.reported else ""
    return f"{number} of {task.found} records {how}{said}."


def _nothing_done(task: TaskReport, did: str) -> str:
    match task.outcome:
        case TaskOutcome.NO_MATCH if task.by_hand:
            return "looked through by hand, nothing found."
        case TaskOutcome.NO_MATCH:
            where = ", ".join(category.replace("_", " ") for category in task.categories or ())
            return f"searched{f' ({where})' if where else ''}, nothing of yours found."
        case TaskOutcome.NOT_HELD:
            return f"has nothing that could be {did}."
        case TaskOutcome.NOT_SEARCHED:
            return f"not searched: {why_not_searched(task)}."
        case TaskOutcome.NO_LONGER_HELD:
            return f"no longer in use: {str(task.ground).replace('_', ' ')}."
        case _:
            return "not asked, since nothing there tells our customers apart." if task.not_asked else f"not {did}."
