"""Builds the answer to the subject, sentence by sentence; pure. The words are in the catalogue (``answer.…``)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date

from services.intake.request import deferrals
from services.intake.request.deferrals import has_failed
from services.intake.request.lifecycle import State
from services.intake.request.messages.restriction import but_not, of_restriction, restricted
from services.intake.request.messages.retained import deferred_sentences, retained_sentences
from services.intake.request.reports import changed_by_category, summed
from services.intake.request.stored_request import StoredRequest, for_requester
from shared.domain.operations import (
    ANSWERING,
    PREPARING,
    Operation,
    TaskOutcome,
    TaskReport,
    Unsearched,
    has_statements,
    missing_corrections,
)
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import FactList, Sentence, Sentences, Term, named_system, named_systems, say


def package_unavailable(request: StoredRequest) -> Sentence | None:
    """Returns the sentence in place of "ready to download"; None where the package is ready."""
    if request.package_id is None:
        return say("answer.nothing_portable") if _is_nothing_portable(request) else None
    if request.package_is_gone:
        return say("package.gone")
    return say("package.withheld") if request.package_fault else None


def package_sentences(request: StoredRequest) -> Iterator[Sentence]:
    """Yields sentences about the copy that comes with a part of an answer; none without a copy."""
    if instead := package_unavailable(request):
        yield instead
    elif request.package_id:
        yield say("package.ready")


def _is_nothing_portable(request: StoredRequest) -> bool:
    """Whether all that was found is what Art. 20(1) leaves out: not given by them, or kept for a rule alone."""
    copied = [task.handed_out for task in request.tasks or () if task.handed_out is not None]
    return bool(copied) and not any(sum(each.values()) for each in copied)


def uncorrected(tasks: Sequence[TaskReport]) -> Iterator[Sentence]:
    """Names what was not corrected by its place in the request: only the subject knows the values."""
    places = missing_corrections(tasks)
    asked = max((len(each.corrected or ()) for each in tasks if each.operation == Operation.RECTIFY), default=0)
    stated = has_statements(tasks)
    if places and len(places) == asked:
        yield say("answer.stated_nowhere" if stated else "answer.corrected_nowhere")
    elif places:
        key = "answer.not_stated" if stated else "answer.not_corrected"
        yield say(key, which=FactList(places), count=len(places))


OUR_LIST = "marketing_objections"
"""The system that our own list of objections to marketing is called in the reports."""
_DONE = {
    Right.ACCESS: "answer.copy_ready",
    Right.ERASURE: "answer.erased",
    Right.PORTABILITY: "answer.portable_ready",
    Right.CONSENT_WITHDRAWAL: "answer.consent_ended",
}
_COPIES = frozenset({Right.ACCESS, Right.PORTABILITY})
_WAITING = {
    State.AWAITING_IDENTITY: "answer.awaiting_identity",
    State.AWAITING_CLARIFICATION: "answer.awaiting_clarification",
    State.IN_PROGRESS: "answer.in_progress",
    State.AWAITING_DECISION: "answer.awaiting_decision",
}


def status_sentences(request: StoredRequest, today: date) -> Sentences:
    """Returns the status of the request, or its answer, with what could not be done; ``today`` in UTC."""
    shown = for_requester(request)
    return answer(shown) if shown.outcome else tuple(_waiting(shown, today))


def answer(request: StoredRequest) -> Sentences:
    """Returns how the request ended, and what could not be done."""
    request = for_requester(request)
    request = replace(request, tasks=request.tasks and summed(request.tasks))
    if request.tenant and (instructed := of_instruction(request)):
        return (*instructed, *_beyond(request))
    return tuple(_to_subject(request))


def _to_subject(request: StoredRequest) -> Iterator[Sentence]:
    match request.outcome:
        case Outcome.FORWARDED:
            yield say("answer.not_ours")
            yield say("answer.passed_on")
        case Outcome.WITHDRAWN:
            yield say("answer.withdrawn")
            yield from had_been_done(request)
        case Outcome.REFUSED if request.is_weighed:
            yield say("answer.overridden")
            yield from had_been_done(request)
        case Outcome.REFUSED:
            yield say("answer.refused")
            yield from had_been_done(request)
            yield say("answer.refused_why")
        case _:
            yield from _answered(request)
            yield from of_restriction(request)
            yield from _beyond(request)
            if request.resumable:
                yield say("answer.question_still_open")


def _answered(request: StoredRequest) -> Iterator[Sentence]:
    """Yields what was done or found, as the reports say, for every kind of answer."""
    if request.resumable:
        yield from _done_without_reply(request)
        return
    match request.outcome:
        case Outcome.FULFILLED:
            yield from _done(request)
        case Outcome.NO_DATA:
            yield from _nothing(request)
        case Outcome.PARTIALLY_FULFILLED:
            left = any(_is_open(task) for task in request.tasks or () if task.operation != Operation.LIFT)
            if request.tasks and not (left or missing_corrections(request.tasks)):
                yield from _done(request)
                yield say("answer.done_since")
                yield from (said for _, each in sorted(_retained(request.tasks or ()).items()) for said in each)
            else:
                yield from _in_part(f"in_part.{request.right}", request)
        case _:
            yield say("answer.closed", outcome=Term("outcome", str(request.outcome)))


def _done_without_reply(request: StoredRequest) -> Iterator[Sentence]:
    if request.outcome is not Outcome.UNIDENTIFIED:
        yield from _in_part("answer.clear_part", request)
    elif not request.unsearched:
        yield say("answer.unidentified")
    else:
        if any(t.outcome == TaskOutcome.NO_MATCH for t in request.tasks or ()):
            yield from _nothing(request)
        yield from not_searched(request)


def _in_part(done: str, request: StoredRequest) -> Iterator[Sentence]:
    """Yields what was not done and where; what is kept, until when and why, or that it was erased later."""
    tasks = [task for task in request.tasks or () if task.operation != Operation.LIFT]
    kept = _retained(tasks)
    other = {task.system for task in tasks if _is_open(task)} - set(kept)
    did = request.package_id or any(task.changed or task.count_unknown for task in tasks)
    if other and not did:
        yield say("answer.nothing_done", systems=named_systems(other))
    elif did or not missing_corrections(tasks):
        yield say(done if did or not kept else "answer.nothing_done_now")
        if other:
            yield say("answer.but_not", systems=named_systems(other))
    yield from uncorrected(tasks)
    yield from (each for _, sentences in sorted(kept.items()) for each in sentences)
    if request.outstanding:
        yield say("answer.still_owed", systems=named_systems(request.outstanding))
    yield from not_searched(request)
    yield from deferred_sentences(request)
    yield from package_sentences(request)


def _retained(tasks: Iterable[TaskReport]) -> dict[str, Sentences]:
    """Returns by system what was kept, and whether it has gone since."""
    return {task.system: sentences for task in tasks if (sentences := tuple(retained_sentences(task)))}


def _beyond(request: StoredRequest) -> Iterator[Sentence]:
    """Yields what every answer adds: what no package has, what may be theirs, what their own dates leave out."""
    tasks = request.tasks or ()
    if copied := {task.system for task in tasks if task.by_hand and task.outcome == TaskOutcome.EXPORTED}:
        yield say("answer.copied_by_hand", systems=named_systems(copied), count=len(copied))
    for system, name, rows in sorted({each for task in tasks for each in _anonymised(task)}):
        yield say("answer.kind_anonymised", system=named_system(system), category=Term("category", name), count=rows)
    for system, rows in sorted({(t.system, t.unattributed) for t in tasks if t.unattributed}):
        yield say("answer.unattributed", system=named_system(system), count=rows)
    for system, count in sorted({(t.system, t.written_by_others) for t in tasks if t.written_by_others}):
        yield say("answer.written_by_others", system=named_system(system), count=count)
    if narrowed := {task.system for task in tasks if task.narrowed and not task.not_searched}:
        yield say("answer.narrowed", systems=named_systems(narrowed))


def _done(request: StoredRequest) -> Iterator[Sentence]:
    if request.is_weighed:
        yield from _upheld(request) if request.outcome is Outcome.FULFILLED else restricted(request)
    elif instead := package_unavailable(request):
        yield instead
    elif request.right is Right.RESTRICTION:
        yield from restricted(request)
    elif request.right in {Right.OBJECTION, Right.CONSENT_WITHDRAWAL}:
        yield from _stopped(request)
    elif has_statements(request.tasks):
        yield say("answer.stated")
    elif request.right is Right.RECTIFICATION:
        yield say("answer.corrected", systems=named_systems(_corrected(request)))
    elif request.right in _COPIES and request.package_id is None and _all_by_hand(request):
        return  # the rest of the answer says that it was copied by hand
    else:
        beyond = any(t.unattributed or t.narrowed or t.written_by_others for t in request.tasks or ())
        erased = "answer.erased_where_theirs" if beyond else "answer.erased"
        erased = "answer.anonymised" if any(t.anonymised for t in request.tasks or ()) and not beyond else erased
        yield say(erased if request.right is Right.ERASURE else _DONE[request.right])


def _corrected(request: StoredRequest) -> set[str]:
    """Returns the systems that show the corrections; the answer does not mention others."""
    asked = (task for task in request.tasks or () if task.operation == Operation.RECTIFY)
    return {task.system for task in asked if task.outcome == TaskOutcome.AMENDED}


def _all_by_hand(request: StoredRequest) -> bool:
    copied = [task for task in request.tasks or () if task.outcome == TaskOutcome.EXPORTED]
    return bool(copied) and all(task.by_hand for task in copied)


def _anonymised(task: TaskReport) -> Iterator[tuple[str, str, int]]:
    """Counts by system and category the records that stay without the person."""
    rows = changed_by_category(task)
    yield from ((task.system, name, rows[name]) for name in task.anonymised or () if rows.get(name))


def _stopped(request: StoredRequest) -> Iterator[Sentence]:
    """Yields what an objection to marketing, or a withdrawal of consent, has stopped."""
    if request.anonymous:
        objection = request.right is Right.OBJECTION
        yield say("answer.listed_anonymously" if objection else "answer.consent_ended_anonymously")
        yield say("answer.nothing_more")
        return
    if request.right is Right.OBJECTION:
        yield say("answer.no_more_marketing", since=request.responded_at or request.received_at)
    else:
        yield say("answer.no_data_by_consent" if request.had_nothing_to_end else _DONE[request.right])
    if any(task.system == OUR_LIST for task in request.tasks or ()):
        yield say("answer.listed")


def _upheld(request: StoredRequest) -> Iterator[Sentence]:
    if request.lift_notified_at or request.lifted_at:
        yield say("answer.upheld")
    else:
        yield say("answer.upheld_and_restricted")
        yield from but_not(request)
    yield say("answer.erasure_offered")


def _nothing(request: StoredRequest) -> Iterator[Sentence]:
    """Yields that nothing was found, and where; only the identities that were searched by are named."""
    tasks = [task for task in request.tasks or () if task.operation not in PREPARING]
    if request.right is Right.RECTIFICATION and any(task.found for task in tasks):  # restricted meanwhile, say
        yield say("answer.nothing_to_change")
        return
    searched: dict[tuple[str, ...], list[str]] = {}
    for task in sorted(tasks, key=lambda task: task.system):
        if task.outcome == TaskOutcome.NO_MATCH:
            searched.setdefault(tuple(task.searched_by or ()), []).append(task.system)
    for types, systems in searched.items():
        if types:
            by = FactList(tuple(Term("identity", each) for each in types))
            yield say("answer.nothing_by", systems=named_systems(systems), by=by)
        else:
            yield say("answer.nothing_in", systems=named_systems(systems))
    if not searched:
        not_held = any(task.outcome == TaskOutcome.NOT_HELD for task in tasks)
        yield say("answer.nothing_to_change" if not_held else "answer.nothing")


def _is_open(task: TaskReport) -> bool:
    """Whether something of it is missing; what was kept on a ground, and is gone, or was never there, is not."""
    return deferrals.is_retained(task) or deferrals.is_unreachable(task) or deferrals.is_undone(task)


def _waiting(request: StoredRequest, today: date) -> Iterator[Sentence]:
    late = "_late" if request.due_on < today else ""
    if request.role == "processor":
        yield say("answer.not_ours")
        yield say(f"answer.pass_on_by{late}", day=request.due_on)
        return
    if request.postponed:
        yield _postponed(request)
    elif request.is_weighed and request.state is State.AWAITING_DECISION:
        yield say("answer.to_be_weighed")
        yield from but_not(request)
    else:
        yield say(_WAITING[request.state])
        yield from of_restriction(request)
    yield say(f"answer.hear_by{late}", day=request.due_on)


def _postponed(request: StoredRequest) -> Sentence:
    if request.opposed:
        return say("answer.opposed")
    return say("answer.rest_postponed" if deferrals.changed(request.tasks) else "answer.postponed")


# Systems that could not be searched.
def not_searched(request: StoredRequest) -> Iterator[Sentence]:
    """Yields a sentence for each system that was not searched."""
    for task in sorted((t for t in request.tasks or () if t.not_searched), key=lambda task: task.system):
        nothing = task.outcome == TaskOutcome.NOT_SEARCHED
        key = "search.not_searched" if nothing else "search.not_completely_searched"
        yield say(key, system=named_system(task.system), why=why_not_searched(task))


def why_not_searched(task: TaskReport, whose: str = "") -> Term:
    """Returns why a system, or a part of it, was not searched; ``whose``: the reader, as the words' family has it."""
    return Term(f"unsearched{whose}", Unsearched(task.not_searched or Unsearched.NOTHING_TO_SEARCH_BY))


# What was done before an early end.
_CHANGING = frozenset(Right) - {Right.ACCESS, Right.PORTABILITY}
_BEFORE = {
    Operation.EXPORT: "before.copied",
    Operation.RECTIFY: "before.corrected",
    Operation.ERASE: "before.erased",
    Operation.SUPPRESS: "before.kept_from_marketing",
    Operation.RESTRICT: "before.restricted",
}


def had_been_done(request: StoredRequest) -> Sentences:
    """Returns what was done of a refused or withdrawn request; empty while no system has reported it."""
    restriction = tuple(of_restriction(request))
    return (*_had_been_done(request, restricted=bool(restriction)), *restriction)


def _had_been_done(request: StoredRequest, *, restricted: bool) -> Iterator[Sentence]:
    if request.tasks is None:
        return
    tasks = [t for t in summed(request.tasks) if t.operation in ANSWERING]
    tasks = [t for t in tasks if not (restricted and t.operation == Operation.RESTRICT)]
    did: dict[str, list[Sentence]] = {}
    for task in tasks:
        if task.changed or task.count_unknown:
            did.setdefault(_how_before(task), []).append(_counted_before(task))
    yield from (say(how, where=FactList(tuple(where), final=False)) for how, where in sorted(did.items()))
    if not (did or restricted):
        yield say("before.unchanged")
    elif not did and request.right is Right.RECTIFICATION and tasks:
        yield say("before.no_value_corrected")
    failed = {task.system for task in tasks if has_failed(task) and not task.outcome and request.right in _CHANGING}
    if failed:
        yield say("before.not_finished", systems=named_systems(failed))


def _how_before(task: TaskReport) -> str:
    if task.ended:
        return "before.erased" if changed_by_category(task).keys() <= {*task.ended} else "before.changed"
    return _BEFORE.get(Operation(task.operation), "before.changed")


def _counted_before(task: TaskReport) -> Sentence:
    system = named_system(task.system)
    if not task.changed:
        return say("before.count_unknown", system=system)
    return say("before.reported" if task.reported else "before.counted", count=task.changed, system=system)


# An instruction: the customer decides about the data and answers the person (Art. 28(3)(a) and (e)); we carry it out.
_ASSISTED = {
    Outcome.ASSISTED: "instruction.assisted",
    Outcome.PARTIALLY_FULFILLED: "instruction.in_part",
    Outcome.UNIDENTIFIED: "instruction.unidentified",
}


def of_instruction(request: StoredRequest) -> Sentences | None:
    """Returns how an instruction ended; None while it is open, or where the usual answer fits."""
    done = _ASSISTED.get(request.outcome) if request.outcome else None
    if done is None:
        return None
    tasks = [task for task in request.tasks or () if task.operation in ANSWERING]
    return (say(done, id=request.instruction_id or ""), *_of_instruction(request, tasks))


def _of_instruction(request: StoredRequest, tasks: Sequence[TaskReport]) -> Iterator[Sentence]:
    if request.package_id:
        yield say("instruction.copy_ready")
    elif not deferrals.found(tasks):
        yield say("instruction.nothing_found")
    if any({"phone", "sip_uri"} & {*(task.searched_by or ())} for task in tasks):
        yield say("instruction.by_number")
    not_asked = [task for task in tasks if task.not_asked]
    if seen := {task.system for task in not_asked if task.by_hand}:
        yield say("instruction.seen", systems=named_systems(seen))
    if unseen := {task.system for task in not_asked if not task.by_hand}:
        yield say("instruction.unseen", systems=named_systems(unseen))
    undone = {task.system for task in tasks if deferrals.is_undone(task) and not task.not_asked}
    if undone:
        yield say("instruction.undone", systems=named_systems(undone))
    for system, rows in sorted({(task.system, task.unattributed) for task in tasks if task.unattributed}):
        yield say("instruction.unattributed", system=named_system(system), count=rows)
    if request.outstanding:
        yield say("instruction.still_owed", systems=named_systems(request.outstanding))
    if request.resumable:
        yield say("answer.question_still_open")
