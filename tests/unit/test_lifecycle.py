"""The lifecycle of a request: every cause moves every request as the one table says, and nothing else is possible."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.request.aggregate import Request, Transition
from services.intake.request.blockers import blocked_by
from services.intake.request.lifecycle import MOVES, Place, State, diagram, first_state
from shared.domain import reference
from shared.domain.errors import IllegalTransition
from shared.domain.events import (
    FulfilmentBlocked,
    FulfilmentCompleted,
    FulfilmentReported,
    RequestClosed,
)
from shared.domain.operations import Exceeded, Limit, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right, Role
from shared.domain.time_limit_policy import Question
from tests.fixtures.events import a, fired
from tests.fixtures.requests import AT, POLICY, a_request, open_question

QUESTION = uuid7()
KEPT = TaskReport(task_id=uuid7(), system="billing", operation="erase", outcome=TaskOutcome.RETAINED)
UNSEARCHED = KEPT.model_copy(update={"outcome": TaskOutcome.NOT_SEARCHED, "not_searched": "nothing_to_search_by"})
UNPROVED = UNSEARCHED.model_copy(update={"not_searched": "not_proved", "level": "L2"})
BEYOND = Exceeded(limit=Limit.MAX_ROWS, found=3_000, allowed=2_000)
STOPPED = KEPT.model_copy(update={"outcome": None, "failure": "limit_exceeded", "exceeded": BEYOND})
PARTLY = Outcome.PARTIALLY_FULFILLED
BY_HAND = STOPPED.model_copy(update={"failure": "not_supported", "exceeded": None})
COPIED = KEPT.model_copy(update={"operation": "export", "outcome": TaskOutcome.EXPORTED})
RETIRED = BY_HAND.model_copy(update={"failure": "system_retired"})
FOLLOWS = {
    State.AWAITING_IDENTITY: {State.IN_PROGRESS, State.AWAITING_DECISION, State.CLOSED},
    State.AWAITING_CLARIFICATION: {State.IN_PROGRESS, State.AWAITING_DECISION, State.CLOSED},
    State.IN_PROGRESS: {
        *(State.AWAITING_IDENTITY, State.AWAITING_CLARIFICATION, State.AWAITING_DECISION, State.CLOSED)
    },
    State.AWAITING_DECISION: {
        *(State.AWAITING_IDENTITY, State.AWAITING_CLARIFICATION, State.IN_PROGRESS, State.CLOSED)
    },
    State.CLOSED: {State.IN_PROGRESS},  # where it may be resumed
}


def begin(request: Request, *, identified: bool) -> Transition:
    if request.state is not first_state(request.role, identified=identified) or request.question or request.tasks:
        raise IllegalTransition
    return replace(request, state=first_state(request.role, identified=identified)).receive({})


def silent(request: Request) -> Transition:
    question = "identity" if request.state is State.AWAITING_IDENTITY else "clarification"
    event = fired("question", "last_notice", question_id=QUESTION, question=question)
    return request.unanswered(event, "Which?", AT)


def reported(request: Request, decided: Outcome, *tasks: TaskReport, **said: Any) -> Transition:
    """Returns the transition of a request whose answer was decided so."""
    awaited = replace(request, decided=decided, **said)
    transition = awaited.report(a(FulfilmentReported, tasks=tasks), {}, AT)
    return transition if transition.request != awaited else replace(transition, request=request)


def contested(request: Request) -> Request:
    return replace(request, right=Right.RECTIFICATION, scope="accuracy_contested")


def corrected(request: Request) -> Transition:
    transition = contested(request).complete(a(FulfilmentCompleted, operation="rectify"), AT)
    return transition if transition.request != contested(request) else replace(transition, request=request)


def done_later(request: Request) -> Transition:
    """Returns the transition when the owed part of a partial answer is done."""
    owed = replace(request, outcome=request.outcome and PARTLY, owed=True, tasks=(STOPPED,))
    done = a(FulfilmentCompleted, tasks=(STOPPED.model_copy(update={"failure": None, "outcome": "erased"}),))
    if not owed.has_outstanding:
        raise IllegalTransition
    return owed.complete(done, AT)


def searched_again(request: Request) -> Transition:
    """More is known by which it can be searched, of a request that waits for that."""
    if not (request.allows("retry") and request.unsearched):
        raise IllegalTransition
    return request.search_again(AT)


def answered_in_words(request: Request) -> Transition:
    """Returns the transition of a reply that proves nothing, to an officer's question about identity."""
    if request.question is None or request.state is not State.AWAITING_IDENTITY:
        raise IllegalTransition
    own = replace(request, question=replace(request.question, own_words=True))
    return own.answer(AT, AT, POLICY, identities=False)


CAUSES: list[tuple[str, Callable[[Request], Transition]]] = [
    ("receive", lambda r: begin(r, identified=True)),
    ("receive", lambda r: begin(r, identified=False)),
    ("verify", lambda r: r.verify({}, AT, POLICY)),
    ("ask", lambda r: r.ask(Question.IDENTITY, QUESTION, "Who?", AT, recorded=True)),
    ("ask", lambda r: r.ask(Question.CLARIFICATION, QUESTION, "Which?", AT, recorded=True)),
    ("answer", answered_in_words),
    ("answer", lambda r: r.withdraw_question()),
    ("answer", lambda r: r.answer(AT, AT, POLICY, identities=False)),
    ("answer", lambda r: r.answer(AT, AT, POLICY, identities=True)),
    ("give_up", silent),
    ("complete", lambda r: r.complete(a(FulfilmentCompleted), AT)),
    ("stop", lambda r: r.block(a(FulfilmentBlocked))),
    ("stop", lambda r: r.block(a(FulfilmentBlocked, tasks=(COPIED, UNSEARCHED)))),
    ("retry", lambda r: r.retry()),
    ("retry", searched_again),
    ("retry", lambda r: replace(r, tasks=(KEPT,)).retry()),
    ("retry", lambda r: replace(r, tasks=(STOPPED,)).exceed("billing", Limit.MAX_ROWS, "officer-1", "officer-2")),
    ("begin", lambda r: replace(r, suspended=True).resume()),
    ("record", lambda r: replace(r, tasks=(BY_HAND,)).record("billing", 2, 2)),
    ("record", lambda r: replace(r, tasks=(BY_HAND,), owed=True, outcome=PARTLY).record("billing", 2, 2)),
    ("record", lambda r: replace(r, tasks=(RETIRED,)).end_part("billing", "SYSTEM_DESTROYED", "12(4)", "key", {})),
    ("decide", lambda r: r.decide("answer_in_part", "SYSTEM_FAILED", "12(4)", "key", AT, owed=True)),
    ("complete", lambda r: reported(r, Outcome.REFUSED)),
    ("complete", lambda r: reported(r, PARTLY, STOPPED)),
    ("follow_up", done_later),
    ("forward", lambda r: r.forward("them", AT)),
    ("follow_up", lambda r: replace(r, forwarded_at=AT).record_controller_reply(AT)),
    ("withdraw", lambda r: r.withdraw(AT)),
    ("follow_up", lambda r: replace(r, package_id=QUESTION, package_fault="another_holder").renew()),
    ("follow_up", lambda r: replace(r, package_id=QUESTION, package_fault="another_holder", tasks=(COPIED,)).renew()),
    ("follow_up", lambda r: replace(r, right=Right.RESTRICTION).lift(AT)),
    ("stop", lambda r: r.wait_for_requests((QUESTION,), opposed=True)),
    ("stop", lambda r: r.wait_for_requests((QUESTION,), opposed=False)),
    ("begin", lambda r: replace(r, postponed=True).begin("answered")),
    ("stop", lambda r: r.restricted(a(FulfilmentCompleted, operation="restrict"))),
    (
        "decide",
        lambda r: replace(r, right=Right.OBJECTION, scope="legitimate_interests").weigh(
            "overridden", "Why.", "key", AT
        ),
    ),
    ("withdraw", lambda r: replace(r, right=Right.OBJECTION, scope="legitimate_interests").withdraw(AT)),
    ("answer", lambda r: contested(r).answer(AT, AT, POLICY, identities=False)),
    ("complete", corrected),
    ("complete", lambda r: reported(r, Outcome.REFUSED, right=Right.RECTIFICATION, scope="accuracy_contested")),
    ("redate", lambda r: r.extend(date(2026, 5, 29), "VOLUME", {}, AT, "officer", tell_before=AT)),
    ("redate", lambda r: r.redate("policy_changed", r.arrival, date(2026, 4, 1), "v2")),
]


def every_request() -> Iterator[Request]:
    """Yields every possible request, and some more."""
    roles: tuple[Role, ...] = ("controller", "processor")
    questions = (None, open_question(QUESTION), open_question(QUESTION, last_notice_at=AT))
    work: list[tuple[Outcome | None, tuple[TaskReport, ...] | None]] = [
        (None, None),
        (Outcome.FULFILLED, ()),
        (None, (UNSEARCHED,)),
        (None, (UNPROVED,)),
    ]
    for state, role, question, (finished, tasks) in product(State, roles, questions, work):
        request = a_request(state, role=role, question=question, finished=finished, tasks=tasks)
        if state is not State.CLOSED:
            yield request
            continue
        yield replace(request, outcome=Outcome.FULFILLED)
        if question and question.last_notice_at:
            for outcome in (Outcome.UNIDENTIFIED, Outcome.PARTIALLY_FULFILLED):
                yield replace(request, outcome=outcome, resumable=True)


def place(request: Request) -> Place:
    return "resumable" if request.resumable else request.state


def move_of(named: str, request: Request) -> str:
    """A late proof or answer reopens; what moves a closed request otherwise is a follow-up."""
    if named in {"verify", "answer"} and request.resumable:
        return "reopen"
    after = named in {"complete", "retry", "record"} and request.state is State.CLOSED
    return "follow_up" if after else named


def test_every_move_leads_where_the_table_says_or_is_refused() -> None:
    steps, published = defaultdict(set), defaultdict(set)
    for (named, make), request in product(CAUSES, every_request()):
        move = move_of(named, request)
        try:
            transition = make(request)
        except IllegalTransition:
            continue
        if (transition.request, transition.published) == (request, ()):
            assert len(transition.evidence) == 1  # too late, and named
            continue
        kinds = [type(event) for event in transition.published]
        assert kinds == [kind for kind in MOVES[move].events if kind in kinds]
        after = transition.request
        if RequestClosed in kinds:
            assert after.state is State.CLOSED
            assert after.responded_at == after.closed_at == AT
            assert after.outcome is not None
        steps[move].add(("new" if move == "receive" else place(request), place(after)))
        published[move].update(kinds)
    for move, row in MOVES.items():
        assert steps[move] == {*row.steps()}, move
        assert published[move] == set(row.events), move


def test_the_page_of_the_architecture_shows_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    assert f"```mermaid\n{diagram()}\n```" in page, "copy services.intake.request.lifecycle.diagram()"


def test_every_state_leads_to_the_end() -> None:
    for state in FOLLOWS:
        reached = {state}
        while more := set().union(*(FOLLOWS[each] for each in reached)) - reached:
            reached |= more
        assert State.CLOSED in reached


def test_what_a_customer_decides_about_waits_for_a_person_and_is_never_worked_by_us() -> None:
    theirs = a_request(first_state("processor", identified=True), role="processor")
    assert theirs.state is State.AWAITING_DECISION
    with pytest.raises(IllegalTransition, match="forward"):
        theirs.retry()


# What a request waits for is said for every kind of waiting, and nothing is said where it waits for nothing.
UNDONE = TaskReport(task_id=uuid7(), system="crm", operation="export", outcome=None)


def waiting(state: State = State.AWAITING_DECISION, **said: Any) -> str:
    return " ".join(each.message for each in blocked_by(a_request(state, **said)))


def missing(**said: Any) -> tuple[TaskReport, ...]:
    return (UNDONE.model_copy(update=said),)


def beyond(limit: str) -> Exceeded:
    return Exceeded(limit=Limit(limit), found=2, allowed=1)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"suspended": True}, "The API key key has asked for more erasures"),
        ({"postponed": True, "state": State.IN_PROGRESS}, "open access and portability requests"),
        ({"postponed": True, "opposed": True}, "which of the two"),
        ({"role": "processor"}, "pass the request on"),
        ({"state": State.AWAITING_IDENTITY}, "prove who they are"),
        ({"state": State.AWAITING_CLARIFICATION, "question": open_question()}, "answer our question"),
        ({"tasks": missing(failure="not_supported")}, "In crm a person does it by hand"),
        ({"tasks": missing(failure="limit_exceeded", exceeded=beyond("max_people"))}, "find out whose they are"),
        ({"tasks": missing(failure="wrong_person_match")}, "or answer in part"),
        ({"tasks": missing(failure="limit_exceeded", exceeded=beyond("max_rows"))}, "request may touch: two people"),
        (
            {"tasks": missing(failure="rule_unsigned", exceeded=beyond("unsigned_rows"))},
            "until a rule of the policy is signed",
        ),
        ({"tasks": missing(failure="data_still_present")}, "In crm it was not done"),
        ({"tasks": missing(failure="several_people")}, "customer number"),
        ({"tasks": missing(not_searched="number_in_conflict", outcome="not_searched")}, "contradict one another"),
        ({"tasks": missing(not_searched="line_shared", outcome="not_searched")}, "by hand"),
        ({"tasks": missing(failure="assignment_in_doubt")}, "several holders"),
        ({"right": Right.OBJECTION, "scope": "legitimate_interests"}, "two people must decide the objection"),
        ({"state": State.IN_PROGRESS, "decided": Outcome.REFUSED}, "it is answered is decided"),
    ],
)
def test_what_a_request_waits_for_is_said_as_it_is(said: dict[str, Any], words: str) -> None:
    assert words in waiting(**said)


def test_whatever_waits_says_for_what_and_what_is_closed_waits_for_nothing() -> None:
    waits = (State.AWAITING_IDENTITY, State.AWAITING_CLARIFICATION, State.AWAITING_DECISION)
    roles: tuple[Role, ...] = ("controller", "processor")
    for state, right, role, suspended in product(waits, Right, roles, (False, True)):
        request: Request = a_request(state, right=right, role=role, suspended=suspended)
        assert blocked_by(request)
        closed = replace(request, state=State.CLOSED, outcome=Outcome.WITHDRAWN, responded_at=AT)
        assert blocked_by(closed) == []


# The short reference of a request, and what a mistake in it does.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
IDS = st.uuids(version=None)


@given(IDS, st.integers(0, 7), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_no_reference(request_id: UUID, place: int, wrong: str) -> None:
    known = reference.of(request_id)
    bare = known.removeprefix("CCP-").replace("-", "")
    typed = bare[:place] + wrong + bare[place + 1 :]
    assert reference.read(typed) == (known if typed == bare else None)


@given(IDS, st.integers(0, 7), st.integers(0, 7))
def test_two_characters_that_changed_places_are_no_reference(request_id: UUID, one: int, other: int) -> None:
    known = reference.of(request_id)
    typed = list(known.removeprefix("CCP-").replace("-", ""))
    same = typed[one] == typed[other]
    typed[one], typed[other] = typed[other], typed[one]
    assert reference.read("".join(typed)) == (known if same else None)


def test_a_reference_is_read_however_it_is_written() -> None:
    request_id = UUID("019c0000-0000-7000-8000-000000000001")
    known = reference.of(request_id)
    assert known == "CCP-854Y-AEC9", "it stands in letters that were sent"
    for written in (known, "ccp 854y aec9", " 854Y-AEC9 ", "CCP854YAEC9", "CCP – 854Y – AEC9", str(request_id)):
        assert reference.read(written) == known, written
    for written in ("", "CCP", "CCP-854Y-AEC", "CCP-854Y-AEC99", "CCP-854Y-AEC0", "ada@example.org", "+15551234567"):
        assert reference.read(written) is None, written
    assert reference.read(reference.EXAMPLE) == reference.EXAMPLE
