"""Who is the same person, and what follows for requests of theirs that are open at a time; pure."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.identity.same_person import LEAST_LEVEL, NOBODY, Marks, Person, asks, person
from services.intake.other_requests import First, OpenRequest, judge, may_wait
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.submission_schemas import Submission
from shared.domain.identities import Identity, IdentityType
from shared.domain.rights import Right
from shared.storage.keyring import Keyring
from tests.fixtures.requests import AT, a_request

EMAIL, ACCOUNT = Identity(IdentityType.EMAIL, "a@b.example"), Identity(IdentityType.ACCOUNT_ID, "C-1")
LINE = Identity(IdentityType.PHONE, "+493023125001")
PERSONS = [Person(account, email) for account, email in product((None, b"1", b"2"), (None, b"x", b"y"))]
submitted = st.lists(
    st.tuples(
        st.sampled_from(PERSONS),
        st.sampled_from([Right.ACCESS, Right.PORTABILITY, Right.ERASURE, Right.OBJECTION]),
        st.sampled_from([State.IN_PROGRESS, State.AWAITING_IDENTITY]),
        st.sampled_from([b"this", b"that"]),
    ),
    max_size=12,
)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.data())
def test_in_whatever_order_they_are_entered_nothing_repeats_what_was_received_after_it(
    days: list[int], data: st.DataObject
) -> None:
    whose = Marks(Person(account=b"1"), b"this")
    every = [a_request(State.IN_PROGRESS, received_at=AT + timedelta(day)) for day in days]
    open_, repeats = list[tuple[bytes, OpenRequest]](), dict[UUID, First]()
    left = list(data.draw(st.permutations(every)))
    while left:
        together = data.draw(st.integers(1, len(left)))
        batch, left = left[:together], left[together:]
        found = judge([(each, whose) for each in batch], open_)
        repeats |= found
        for each in batch:
            if each.request_id not in found:
                first = First(each.request_id, each.received_at, each.due_on)
                open_.append((b"this", OpenRequest(whose.person, identified=True, first=first)))
    received = {each.request_id: each.received_at for each in every}
    assert all(first.received_at <= received[request_id] for request_id, first in repeats.items())
    assert not {first.request_id for first in repeats.values()} & repeats.keys(), "whoever answers another is open"
    earliest = min(received.values())
    assert [each for each in every if each.received_at == earliest and each.request_id not in repeats]
    at_once = judge([(each, whose) for each in every], [])
    assert len(at_once) == len(every) - 1, "of what comes at once only the first is answered by itself"


def marked(person: Person, right: Right, state: State, asked: bytes) -> tuple[Request, Marks]:
    return a_request(state, right=right), Marks(person, right.encode() + asked)


@given(submitted)
def test_only_what_repeats_an_open_request_ends_with_it(every: list[tuple[Person, Right, State, bytes]]) -> None:
    new = [marked(*each) for each in every]
    repeats = judge(new, [])
    of = {request.request_id: (request, marks) for request, marks in new}
    for request, marks in new:
        if request.request_id in repeats:
            first, theirs = of[repeats[request.request_id].request_id]
            assert first.request_id not in repeats  # never a repeat of a repeat
            assert (first.right, theirs.asks) == (request.right, marks.asks)
            assert theirs.person.is_same(marks.person)
            assert first.state is State.IN_PROGRESS or request.state is State.AWAITING_IDENTITY


@given(st.sampled_from(PERSONS), st.sampled_from(PERSONS))
def test_all_services_know_the_same_person_by_the_same_rule(one: Person, other: Person) -> None:
    assert one.marks.is_same(other.marks) == one.is_same(other)


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ({"right": Right.ERASURE}, True),
        ({"right": Right.ERASURE, "at_once": True}, False),
        ({"right": Right.ACCESS}, True),
        ({"right": Right.ACCESS, "insisted": True}, False),
        ({"right": Right.ACCESS, "role": "processor"}, False),
        ({"right": Right.OBJECTION, "scope": "direct_marketing"}, False),
        ({"right": Right.OBJECTION, "scope": "legitimate_interests"}, False),
    ],
)
def test_marketing_ends_at_once_and_who_must_not_wait_does_not(said: dict[str, Any], waits: bool) -> None:  # noqa: FBT001  # as the table says
    assert may_wait(replace(a_request(State.IN_PROGRESS), **said)) == waits


def test_a_line_and_what_is_not_proved_itself_tell_nobody(keys: Keyring) -> None:
    assert person((EMAIL, ACCOUNT, LINE), keys) == NOBODY
    assert person((EMAIL, ACCOUNT, replace(LINE, level="L2")), keys) == NOBODY
    linked = person((replace(EMAIL, level=LEAST_LEVEL), ACCOUNT, LINE), keys)
    assert (linked.account, linked.email) == (None, keys.fingerprint(EMAIL))
    assert person((EMAIL, replace(ACCOUNT, level="L2")), keys).account == keys.fingerprint(ACCOUNT)


def test_another_scope_value_number_or_period_asks_for_something_else(keys: Keyring) -> None:
    def submission(**said: object) -> Submission:
        return Submission.model_validate({"right": "access", "subject": {"email": "a@b.example"}, **said})

    since = "2026-01-01T00:00:00Z"
    named = [("call_record", "+34600000003"), ("call_record", "+34600000004"), ("missed_call", "+34600000003")]
    calls = [{"category": category, "fields": {"to": number}} for category, number in named]
    every = [
        submission(),
        submission(right="erasure"),
        submission(right="erasure", packages_waived=True),
        submission(role="processor"),
        submission(subject={"email": "a@b.example", "phones": [{"number": "+493023125001"}]}),
        submission(subject={"email": "a@b.example", "phones": [{"number": "+493023125001", "since": since}]}),
        submission(right="rectification", changes=[{"field": "name", "asserted": "A"}], contested=True),
        *(submission(right="objection", scope=scope) for scope in ("direct_marketing", "legitimate_interests")),
        *(submission(right="rectification", changes=[{"field": "name", "asserted": name}]) for name in ("A", "B")),
        *(submission(right="rectification", changes=[{"field": "x", "asserted": "3", "record": r}]) for r in calls),
    ]
    digests = [asks(each, tuple(each.subject.identities()), keys) for each in every]
    assert len(set(digests)) == len(every)
    again = submission(assurance={"level": "L2", "method": "account"}, received_at=since)
    assert asks(again, tuple(again.subject.identities()), keys) == digests[0]
