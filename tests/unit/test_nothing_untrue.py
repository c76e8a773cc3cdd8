"""No answer and no letter contradicts itself or the reports, whatever the right, the outcome and what was reported."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.request import letter_kinds
from services.intake.request.aggregate import Request
from services.intake.request.closing import refusal_letter
from services.intake.request.lifecycle import State
from shared.domain.assignments import Assignment, AssignmentInDoubt, Line, Register, users_account
from shared.domain.events import (
    FulfilmentBlocked,
    QuestionAnswered,
    RequestVerified,
    RetryRequested,
)
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.release import (
    IdentityKey,
    KnownFacts,
    Match,
    TimeSpan,
    first_fault,
    instructed_of,
    proved_of,
    stated_of,
    values_of,
)
from shared.domain.rights import LEVELS, Level, Outcome, Right
from shared.domain.sentences import say
from shared.domain.time_limit_policy import Question
from tests.fixtures.events import a, fired
from tests.fixtures.requests import AT, POLICY, a_request, open_question
from tests.fixtures.words import answer, closing_letter, done, read, standing, words

DOES = {
    Right.ACCESS: Operation.EXPORT,
    Right.PORTABILITY: Operation.EXPORT,
    Right.ERASURE: Operation.ERASE,
    Right.RECTIFICATION: Operation.RECTIFY,
    Right.RESTRICTION: Operation.RESTRICT,
    Right.OBJECTION: Operation.RESTRICT,
    Right.CONSENT_WITHDRAWAL: Operation.SUPPRESS,
}
SCOPES = {Right.RECTIFICATION: "accuracy_contested", Right.OBJECTION: "legitimate_interests"}
IN_FORCE = (
    "data is restricted:",
    "data stays restricted",
    "data is restricted, and used for nothing",
    "restricted (Art.",
)
OUTCOMES = [outcome for outcome in Outcome if outcome is not Outcome.ASSISTED]
DONE = {Operation.EXPORT: TaskOutcome.EXPORTED, Operation.ERASE: TaskOutcome.ERASED}
STATES: dict[str, dict[str, Any]] = {
    "done": {"found": 3, "changed": 3},
    "nothing": {"outcome": TaskOutcome.NO_MATCH},
    "by hand": {"outcome": None, "failure": "not_supported"},
    "failed": {"outcome": None, "failure": "data_still_present"},
    "failed midway": {"outcome": None, "failure": "data_still_present", "found": 5, "changed": 3, "reported": True},
    "unproved": {"outcome": TaskOutcome.NOT_SEARCHED, "not_searched": "not_proved", "level": "L2"},
    "not begun": {"outcome": None},
}


def report(system: str, operation: Operation, state: str) -> TaskReport:
    outcome = DONE.get(operation, TaskOutcome.AMENDED)
    known = {"task_id": uuid7(), "system": system, "operation": operation, "outcome": outcome}
    return TaskReport.model_validate(known | STATES[state])


def texts(request: Request) -> list[str]:
    """Returns everything that the person reads of it: the status, and the words of its letters."""
    said = [standing(request, date(2026, 3, 6))]
    if request.state is State.CLOSED:
        letters = read(refusal_letter(request, {})) if request.outcome is Outcome.REFUSED else closing_letter(request)
        said += [" ".join(map(str, fields.values())) for _, fields in letters]
    return said


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any right, open or with any outcome, with any reports of two systems; what it restricted may be lifted."""
    right, outcome = draw(st.sampled_from(list(Right))), draw(st.sampled_from([None, *OUTCOMES]))
    operations = sorted({DOES[right], *({Operation.RESTRICT} if right is Right.RECTIFICATION else set())})
    lifts = draw(st.booleans()) and right in {*SCOPES, Right.RESTRICTION} and outcome is not None
    states = st.sampled_from(list(STATES))
    tasks = [report(*place, draw(states)) for place in product(("billing", "cdr"), operations)]
    if lifts:
        tasks.append(report("billing", Operation.LIFT, "by hand"))
    state = State.CLOSED if outcome else draw(st.sampled_from([State.IN_PROGRESS, State.AWAITING_DECISION]))
    said = {"scope": SCOPES.get(right), "outcome": outcome, "lift_notified_at": AT if lifts else None}
    said["lifted_at"] = AT if lifts and draw(st.booleans()) else None
    return a_request(state, right=right, tasks=tuple(tasks), **said)


@given(request_=requests())
def test_lifted_data_are_not_reported_as_restricted(request_: Request) -> None:
    restricting = [task for task in request_.tasks or () if task.operation == Operation.RESTRICT]
    missing = {t.system for t in restricting if t.failure or t.not_searched or not t.outcome}
    for text in texts(request_):
        in_force = any(each in text for each in IN_FORCE)
        assert not (in_force and "was lifted on" in text)
        assert request_.lifted_at or "lifted on" not in text
        assert not in_force or all(system in text for system in missing)


@pytest.mark.parametrize("right", Right)
def test_corrections_and_attempts_are_reported_where_they_happened(right: Right) -> None:
    for outcome, state, lifted in product((Outcome.WITHDRAWN, Outcome.REFUSED), STATES, (None, AT)):
        tasks = (
            report("billing", DOES[right], state),
            report("billing", Operation.LIFT, "failed" if lifted else "by hand"),
        )
        said = {"scope": SCOPES.get(right), "outcome": outcome, "lift_notified_at": lifted}
        for text in texts(a_request(State.CLOSED, right=right, tasks=tasks, **said)):
            assert right is Right.RECTIFICATION or "No value was corrected" not in text
            assert "failed" in state or "What was tried" not in text


@given(request_=requests())
def test_where_proof_lacks_no_text_says_that_nothing_leads_there(request_: Request) -> None:
    lacks = any(task.not_searched == Unsearched.NOT_PROVED for task in request_.tasks or ())
    for text in texts(request_):
        assert not (lacks and ("by what we know of you" in text or "leads there" in text))


@given(request_=requests())
def test_where_a_request_ends_one_letter_says_everything(request_: Request) -> None:
    assert request_.state is not State.CLOSED or len(closing_letter(request_)) <= 1


def test_ended_restriction_is_reported_in_the_past() -> None:
    tasks = (report("cdr", Operation.RESTRICT, "done"),)
    closed = a_request(State.CLOSED, right=Right.RESTRICTION, outcome=Outcome.FULFILLED, tasks=tasks)
    lifted = replace(closed, lift_notified_at=AT, lifted_at=AT)
    assert answer(closed).startswith("Your data is restricted:")
    assert answer(lifted).startswith("Your data were restricted, as you had asked")
    assert "data is restricted" not in answer(lifted)


@pytest.mark.parametrize(
    ("right", "copied", "says"),
    [
        (Right.ACCESS, {}, "3 records copied (contact data: 3)"),
        (Right.PORTABILITY, {"handed_out": {"contact": 2}}, "2 records copied (contact data: 2)"),
        (Right.PORTABILITY, {"handed_out": {}}, "nothing was copied."),
        (Right.ACCESS, {"by_hand": True}, "copied by hand"),
        (Right.PORTABILITY, {"by_hand": True}, "copied by hand"),
    ],
)
def test_ready_copy_is_announced_with_its_records(right: Right, copied: dict[str, Any], says: str) -> None:
    task = report("billing", Operation.EXPORT, "done").model_copy(update={"by_category": {"contact": 3}, **copied})
    made = not copied or bool(copied.get("handed_out"))
    said = {"outcome": Outcome.FULFILLED, "package_id": uuid7() if made else None}
    for outcome in (Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED):
        for text in texts(a_request(State.CLOSED, right=right, tasks=(task,), **said | {"outcome": outcome})):
            assert ("ready for you to download" in text) is made, text
            assert ("nothing to download" in text) is (copied.get("handed_out") == {}), text
    assert says in " ".join(texts(a_request(State.CLOSED, right=right, tasks=(task,), **said)))


# Whatever is stated, whichever system lies, in any order: rows are touched or shown only as the register vouches.
# The search (``shared.domain.assignments``) and the release check (``shared.domain.release``) are held to the same
# rule separately: a row is a person's while the register shows its number as theirs and as no other person's,
# and it is shown to the person who has proved to be them as well as it needs.
NUMBERS, PEOPLE, DAYS = ("+493023125077", "+493023125078"), ("C1", "C2"), range(12)


class Held(NamedTuple):
    """A number that a person had, alone or shared, from one day to another or until now."""

    number: str
    account: str
    since: int
    until: int | None
    line: Line = Line.PERSONAL


class Said(NamedTuple):
    """A claim about a number by the requester, or by a system that may be wrong."""

    number: str
    since: int | None
    until: int | None
    source: str
    level: Level


def day(number: int | None) -> datetime | None:
    return None if number is None else datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


def at(number: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


def fingerprint(identity: Identity) -> bytes:
    return hashlib.sha256(f"{identity.type} {identity.value}".encode()).digest()


def holder(namespace: str, account: str) -> bytes:
    return hashlib.sha256(f"{namespace} {account}".encode()).digest()


def is_held(world: Sequence[Held], number: str, account: str, moment: int, line: Line = Line.PERSONAL) -> bool:
    """Whether it was the account's alone then, as such a line."""
    held = [h for h in world if h.number == number and h.since <= moment < (DAYS.stop if h.until is None else h.until)]
    return {h.account for h in held} == {account} and line in {h.line for h in held}


def register_of(world: Sequence[Held], *, filled: bool) -> Register:
    rows: dict[bytes, list[Assignment]] = {}
    for held in world if filled else ():
        of = fingerprint(Identity(IdentityType.PHONE, held.number))
        assignment = Assignment(of, holder("crm", held.account), at(held.since), day(held.until), held.line)
        rows.setdefault(of, []).append(assignment)
    return Register("crm" if filled else "", rows, fingerprint, holder)


def known_of(world: Sequence[Held], identities: Sequence[Identity], least: Level, *, filled: bool) -> KnownFacts:
    theirs: dict[IdentityKey, list[TimeSpan]] = {}
    others: dict[IdentityKey, list[TimeSpan]] = {}
    lines: dict[IdentityKey, list[TimeSpan]] = {}
    proved = [identity for identity in identities if identity.level >= least]
    accounts = {i.value for i in proved if i.type is IdentityType.ACCOUNT_ID and i.source == "crm"}
    for held in world if filled else ():
        own = theirs if held.line is Line.PERSONAL else lines
        whose = own if held.account in accounts else others
        until = day(held.until) or datetime.max.replace(tzinfo=UTC)
        whose.setdefault(("phone", held.number), []).append((at(held.since), until))
    return KnownFacts(at(0), values_of(proved), stated_of(identities), theirs, others, lines, proved_of(proved))


_day = st.sampled_from(DAYS)
_held = st.builds(
    Held, st.sampled_from(NUMBERS), st.sampled_from(PEOPLE), _day, st.none() | _day, st.sampled_from(Line)
)
_world = st.lists(_held.filter(lambda h: h.until is None or h.since < h.until), max_size=5)
_level = st.sampled_from(LEVELS)
_source = st.sampled_from(["requester", "cdr", "crm"])
_said = st.builds(Said, st.sampled_from(NUMBERS), st.none() | _day, st.none() | _day, _source, _level).filter(
    lambda s: s.since is None or s.until is None or s.since < s.until
)
_claims = st.lists(
    st.sampled_from(["requester", "cdr", "billing"]).flatmap(
        lambda source: st.builds(lambda code, level: (code, source, level), st.sampled_from(PEOPLE), _level)
    ),
    max_size=2,
)
_request = st.tuples(st.sampled_from(PEOPLE), _level, st.lists(_said, min_size=1, max_size=4), _claims)


def identities_of(
    account: str, level: Level, said: Sequence[Said], claims: Sequence[tuple[str, str, Level]]
) -> list[Identity]:
    """Returns the known identities of a requester whose account the CRM has found; others may claim other accounts."""
    numbers = [
        Identity(IdentityType.PHONE, s.number, day(s.since), day(s.until), s.source, level=s.level) for s in said
    ]
    accounts = [Identity(IdentityType.ACCOUNT_ID, code, source=source, level=how) for code, source, how in claims]
    return [Identity(IdentityType.ACCOUNT_ID, account, source="crm", level=level), *accounts, *numbers]


def searched(identities: Sequence[Identity], number: str, moment: int) -> bool:
    periods = [(i.valid_from, i.valid_to) for i in identities if i.type is IdentityType.PHONE and i.value == number]
    return any((s is None or s <= at(moment)) and (u is None or at(moment) < u) for s, u in periods)


@given(world=_world, requests=st.lists(_request, min_size=1, max_size=3).flatmap(st.permutations), filled=st.booleans())
def test_only_rows_of_assignments_that_the_register_vouches_for_are_touched_or_shown(
    *, world: list[Held], requests: list[tuple[str, Level, list[Said], list[tuple[str, str, Level]]]], filled: bool
) -> None:
    done: Mapping[str, set[tuple[str, int]]] = {person: set() for person in PEOPLE}
    for (account, level, said, claims), needed in product(requests, LEVELS):
        identities = identities_of(account, level, said, claims)
        known = known_of(world, identities, needed, filled=filled)
        before = set(done[account])
        for number in NUMBERS:  # a system that lies gives every row there is, one by one
            for moment in DAYS:
                if first_fault([[Match("phone", number, at(moment))]], known) is None:
                    done[account].add((number, moment))
        try:
            vouched = register_of(world, filled=filled).vouched(identities, least=needed)
        except AssignmentInDoubt:
            vouched = ()
        done[account].update((n, moment) for n in NUMBERS for moment in DAYS if searched(vouched, n, moment))
        assert level >= needed or done[account] == before
    for account, rows in done.items():
        assert all(filled and is_held(world, number, account, moment) for number, moment in rows)


_tenant = st.sampled_from(["acme", "beta", None])
_row = st.tuples(st.sampled_from(NUMBERS), _day, _tenant)


@given(
    world=_world,
    tenant=st.sampled_from(["acme", "beta"]),
    said=st.lists(_said, min_size=1, max_size=4),
    claims=_claims,
    rows=st.lists(_row, min_size=1, max_size=8),
    filled=st.booleans(),
)
@example(  # a time in which the register shows the number as unassigned
    world=[Held(NUMBERS[0], "C1", 0, 3)],
    tenant="acme",
    said=[Said(NUMBERS[0], 5, None, "requester", "L3")],
    claims=[("C1", "requester", "L3")],
    rows=[(NUMBERS[0], 6, "acme")],
    filled=True,
)
def test_customer_sees_only_its_own_rows_and_never_those_of_another(
    *,
    world: list[Held],
    tenant: str,
    said: list[Said],
    claims: list[tuple[str, str, Level]],
    rows: list[tuple[str, int, str | None]],
    filled: bool,
) -> None:
    """The register names users by their customer: ours are ``C1``, the customer's ``acme/C1``."""
    for named in (False, True):
        users = [held._replace(account=users_account(tenant, held.account)) for held in world] if named else world
        identities = identities_of("C1", "L3", said, claims)
        stated = [account for account, source, _ in claims if source == "requester"]
        owned = {users_account(tenant, account) for account in stated}
        known = known_of_tenant(users, identities, owned, tenant, filled=filled)
        for number, moment, owner in rows:
            if first_fault([[Match("phone", number, at(moment), owner or "")]], known) is None:
                assert owner == tenant
                assert may_be_theirs(users if filled else (), number, owned, moment)
        try:
            vouched = register_of(users, filled=filled).vouched(identities, tenant)
        except AssignmentInDoubt:
            continue
        for number in NUMBERS:
            for moment in DAYS:
                if searched(vouched, number, moment):
                    assert may_be_theirs(users if filled else (), number, owned, moment)


def may_be_theirs(world: Sequence[Held], number: str, owned: set[str], moment: int) -> bool:
    """Whether only the customer's user had it then, or the register never knew it."""
    known = [h for h in world if h.number == number]
    holders = {h.account for h in known if h.since <= moment < (DAYS.stop if h.until is None else h.until)}
    return not known or (bool(holders) and holders <= owned)


def known_of_tenant(
    world: Sequence[Held], identities: Sequence[Identity], owned: set[str], tenant: str, *, filled: bool
) -> KnownFacts:
    theirs: dict[IdentityKey, list[TimeSpan]] = {}
    others: dict[IdentityKey, list[TimeSpan]] = {}
    for held in world if filled else ():
        whose = theirs if held.account in owned else others
        until = day(held.until) or datetime.max.replace(tzinfo=UTC)
        whose.setdefault(("phone", held.number), []).append((at(held.since), until))
    proved = proved_of(identities) | instructed_of(identities, theirs.keys() | others.keys())
    return KnownFacts(at(0), values_of(identities), stated_of(identities), theirs, others, {}, proved, tenant)


# An open question governs: whatever else happens meanwhile, the request goes on to an answer.
QUESTION = uuid7()
COPIED = TaskReport(task_id=uuid7(), system="crm", operation="export", outcome=TaskOutcome.EXPORTED, found=1)
LACKING = {"outcome": TaskOutcome.NOT_SEARCHED, "not_searched": "nothing_to_search_by"}
UNSEARCHED = TaskReport.model_validate({**COPIED.model_dump(), "task_id": uuid7(), "system": "cdr", **LACKING})
BY_HAND = COPIED.model_copy(update={"system": "billing", "outcome": None, "failure": "not_supported", "found": 0})
FAILED = BY_HAND.model_copy(update={"system": "orders", "failure": "system_failed", "task_id": uuid7()})


def asked(*tasks: TaskReport, **said: Any) -> Request:
    known = {"right": Right.ACCESS, "question": open_question(QUESTION), "tasks": tasks or (COPIED, UNSEARCHED), **said}
    return a_request(known.pop("state", State.AWAITING_CLARIFICATION), **known)


def blocked(request: Request, *tasks: TaskReport) -> Request:
    return request.block(a(FulfilmentBlocked, tasks=tasks)).request


def last_notice(request: Request) -> Any:
    question = Question.IDENTITY if request.state is State.AWAITING_IDENTITY else Question.CLARIFICATION
    event = fired("question", "last_notice", question_id=QUESTION, question=question)
    return request.unanswered(event, "Which?", AT)


def test_a_result_that_is_entered_by_hand_leaves_the_question_open() -> None:
    request = asked(COPIED, UNSEARCHED, BY_HAND).record("billing", 0, 0).request
    after = blocked(request, *request.tasks or ())
    assert (after.state, after.question) == (State.AWAITING_CLARIFICATION, request.question)
    assert last_notice(after).request.decided is Outcome.PARTIALLY_FULFILLED


def test_the_release_of_a_key_leaves_the_question_open() -> None:
    paused = asked(right=Right.ERASURE, suspended=True)
    released = paused.resume()
    assert (released.request.state, released.request.question) == (paused.state, paused.question)
    assert [type(event) for event in released.published] == [RequestVerified]


def test_an_answer_goes_on_also_while_a_person_looks_at_something_else() -> None:
    waiting = blocked(asked(), COPIED, UNSEARCHED, FAILED)
    assert waiting.state is State.AWAITING_DECISION
    answered = waiting.answer(AT, AT, POLICY, identities=True)
    assert answered.request.state is State.IN_PROGRESS
    assert [type(event) for event in answered.published] == [QuestionAnswered, RetryRequested]


@pytest.mark.parametrize("missing", [BY_HAND, FAILED])
def test_last_notice_promises_no_answer_before_other_work_is_done(missing: TaskReport) -> None:
    waiting = blocked(asked(), COPIED, UNSEARCHED, missing)
    noticed = last_notice(waiting)
    (_, fields), *more = noticed.letters
    assert (noticed.request.state, fields["about"], more) == (State.AWAITING_DECISION, "unsearched_unfinished", [])
    entered = missing.model_copy(update={"outcome": TaskOutcome.NO_MATCH, "failure": None})
    after = blocked(noticed.request, COPIED, UNSEARCHED, entered)
    assert (after.state, after.decided) == (State.IN_PROGRESS, Outcome.PARTIALLY_FULFILLED)


SHARED = UNSEARCHED.model_copy(update={"not_searched": "line_shared"})
SEVERAL = FAILED.model_copy(update={"system": "crm", "failure": "several_people"})


def working(*tasks: TaskReport) -> Request:
    return a_request(State.IN_PROGRESS, right=Right.ACCESS, tasks=tasks or None)


@pytest.mark.parametrize(
    ("tasks", "question"),
    [
        ((UNSEARCHED,), Question.CLARIFICATION),
        ((UNSEARCHED, BY_HAND), Question.CLARIFICATION),
        ((SEVERAL,), Question.CLARIFICATION),
        ((SHARED,), None),
        ((UNSEARCHED, FAILED), None),
        ((SEVERAL, FAILED), None),
    ],
)
def test_question_is_asked_where_it_helps(tasks: tuple[TaskReport, ...], question: Question | None) -> None:
    assert working().may_be_asked(tasks) is question
    assert working(*tasks).may_be_asked(tasks) is None  # once


def test_ambiguous_person_is_asked_for_the_customer_number() -> None:
    waiting = blocked(asked(SEVERAL), SEVERAL)
    assert "customer number" in words(letter_kinds.question_wording(Question.CLARIFICATION, waiting))
    assert waiting.state is State.AWAITING_CLARIFICATION
    assert waiting.answer(AT, AT, POLICY, identities=True).request.state is State.IN_PROGRESS
    noticed = last_notice(waiting)
    assert (noticed.request.state, noticed.letters[0][1]["about"]) == (State.AWAITING_DECISION, "unsearched_unfinished")


@pytest.mark.parametrize(
    ("reasons", "by_number"),
    [
        (("no_account",), False),
        (("no_identifier", "no_account", "not_proved"), False),
        (("no_account", "nothing_to_search_by"), True),
        (("number_without_period",), True),
    ],
)
@pytest.mark.parametrize("tenant", [None, "acme"])
def test_numbers_are_asked_for_where_useful(reasons: tuple[str, ...], tenant: str | None, *, by_number: bool) -> None:
    tasks = tuple(UNSEARCHED.model_copy(update={"not_searched": each}) for each in reasons)
    asking = replace(asked(*tasks), tenant=tenant)
    said = words(letter_kinds.question_wording(Question.CLARIFICATION, asking))
    assert ("telephone number" in said) is by_number
    assert "customer number" in said or tenant


@pytest.mark.parametrize("level", ["L1", "L2", "L3"])
def test_question_names_sufficient_proof_per_system_and_never_caller_id(level: str) -> None:
    cdr = UNSEARCHED.model_copy(update={"not_searched": "not_proved", "level": "L2"})
    tasks = (cdr, cdr.model_copy(update={"system": "crm", "level": level}))
    said = words(letter_kinds.question_wording(Question.IDENTITY, asked(*tasks)))
    if level == "L2":
        assert said.count("It is enough") == 1
    else:
        assert "For cdr: It is enough to sign in to your customer account with a second factor" in said
        assert f"For crm: {'It is enough to open a link' if level == 'L1' else 'Please tell us when'}" in said
    for each in (said, words(say("question.identity"))):
        assert "phone" not in each


def test_what_is_kept_since_the_rest_can_only_be_found_by_it_is_named_with_the_way_to_have_it_erased() -> None:
    unvouched = UNSEARCHED.model_copy(update={"operation": "erase", "not_searched": "number_not_vouched_for"})
    left = BY_HAND.model_copy(update={"system": "crm", "operation": "erase", "failure": None})
    closed = a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, resumable=True, tasks=(unvouched, left))
    kept, way = "What crm may hold of you is kept for now", "leave out the number"
    assert kept in answer(closed)
    assert way in answer(closed)
    assert "- crm: not erased: it is kept for now" in done(closed.tasks)
    proof = unvouched.model_copy(update={"not_searched": "not_proved", "level": "L2"})
    unproved = replace(closed, tasks=(proof, left))
    assert kept in answer(unproved)
    assert way not in answer(unproved)
    failed = replace(closed, tasks=(unvouched, left, FAILED))
    assert kept not in answer(failed)


@given(steps=st.lists(st.sampled_from(["block", "retry", "record", "notice"]), max_size=8))
def test_every_order_of_events_ends_with_an_answer(steps: list[str]) -> None:
    request = asked(COPIED, UNSEARCHED, BY_HAND, right=Right.ERASURE)
    for step in (*steps, "record", "block", "notice"):
        request = _after(step, request)
    assert request.decided is Outcome.PARTIALLY_FULFILLED
    assert request.state is State.IN_PROGRESS


def _after(step: str, request: Request) -> Request:
    after = request
    match step:
        case "block" if not request.decided:
            after = blocked(request, *request.tasks or ())
        case "retry" if request.allows("retry"):
            after = blocked(request.retry().request, *request.tasks or ())
        case "record" if any(task.failure for task in request.tasks or ()) and request.allows("record"):
            after = request.record("billing", 0, 0).request
        case "notice" if request.question and not request.given_up:
            after = last_notice(request).request
    return after
