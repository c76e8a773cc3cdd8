"""Who of a tracker's users is the subject, decided without a tracker."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import ForeignHit, Refused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change
from shared.downstreams.roundup import directory
from shared.downstreams.roundup.amendment import corrected, shows
from shared.downstreams.roundup.directory import by_owner, spellings
from shared.downstreams.roundup.erasure import Plan
from shared.downstreams.roundup.subjects import Person, identities_of, subjects
from shared.downstreams.roundup.tracker import Item, Tracker, batches

A, B = "ana@example.org", "luis@example.org"
P, Q = "+34600111222", "+34600111333"


def person(identity: str, address: str = "", phone: str = "", name: str = "") -> Person:
    return Person.read({"id": identity, "address": address, "phone": phone, "realname": name})


def known(email: str = "", phone: str = "", name: str = "") -> list[Identity]:
    given = {IdentityType.EMAIL: email, IdentityType.PHONE: phone, IdentityType.NAME: name}
    return [Identity(kind, value) for kind, value in given.items() if value]


@pytest.mark.parametrize(
    ("people", "identities", "proven"),
    [
        ([person("1", A)], known(A), "1"),
        ([person("1", "ANA@Example.ORG")], known(A), "1"),
        ([person("1", f"x{A}"), person("2", f"{A}.mx")], known(A), ""),
        ([person("1", A, Q)], known(A, P, "Ana Sol"), None),
        ([person("1", A, Q, "SOL, Ána")], known(A, P, "Ana Sol"), "1"),
        ([person("1", A, "600 111 222")], known(A, P), "1"),
        ([person("1", "", "0034 600111222")], known(A, P), "1"),
        ([person("1", B, P)], known(A, P), None),
        ([person("1", A, P), person("2", A, Q)], known(A, P), "1"),
        ([person("1", A, P), person("2", A, P)], known(A, P), None),
        ([person("1", A, P, "Ana Sol"), person("2", A, P, "Luis Sol")], known(A, P, "Ana Sol"), "1"),
        ([person("1", A), person("2", A)], known(A), None),
        ([person("1", A), person("2", B)], [*known(A), *known(B)], "12"),
        ([person("1", A, name="Ana Sol")], known(name="Ana Sol"), ""),
        ([], known(A, P), ""),
    ],
)
def test_only_a_proven_hit_is_the_subject(people: list[Person], identities: list[Identity], proven: str | None) -> None:
    if proven is None:
        with pytest.raises(ForeignHit):
            subjects(people, identities)
    else:
        assert "".join(one.id for one in subjects(people, identities)) == proven


@pytest.mark.parametrize(
    ("people", "name", "proven"),
    [
        ([person("1", A, Q)], "", "1"),
        ([person("1", A, Q, "Ana Sol")], "", "1"),
        ([person("1", A, Q)], "Ana Sol", "1"),
        ([person("1", A, Q, "Sol, Ana")], "Ana Sol", "1"),
        ([person("1", A, Q, "Luis Sol")], "Ana Sol", None),
        ([person("1", A, Q), person("2", A)], "", None),
        ([person("1", B, P)], "", None),
    ],
    ids=["nameless", "unnamed", "no name on file", "named", "another's", "held by two", "by the number alone"],
)
def test_another_number_does_not_contradict_a_proved_address(
    people: list[Person], name: str, proven: str | None
) -> None:
    """Their number was corrected at their request, and the register of numbers does not know the new one."""
    identities = [replace(each, level="L1") for each in known(A, P)] + known(name=name)
    if proven is None:
        with pytest.raises(ForeignHit):
            subjects(people, identities)
        return
    assert "".join(one.id for one in subjects(people, identities)) == proven


def test_another_number_contradicts_an_address_that_several_people_share() -> None:
    shared = replace(known(A)[0], level="L1", shared=True)
    with pytest.raises(ForeignHit):
        subjects([person("1", A, Q)], [shared, *known(phone=P)])


def test_a_number_that_is_no_longer_the_subjects_finds_nobody() -> None:
    former = Identity(IdentityType.PHONE, P, None, datetime(2024, 1, 1, tzinfo=UTC))
    assert subjects([person("1", "", P)], [former]) == ()


def test_a_person_yields_addresses_number_and_name() -> None:
    user = {"id": "1", "address": "A@x.org", "alternate_addresses": "b@x.org\nC@x.org", "phone": "+34 688-886392"}
    values = [identity.value for identity in identities_of(Person.read(user), "ticketing")]
    assert values == ["a@x.org", "b@x.org", "c@x.org", "+34688886392"]


def test_a_number_is_searched_for_in_the_ways_in_which_people_write_it() -> None:
    assert {"600111222", "600 11 12 22", "+34 600 11 12 22"} <= set(spellings(P))


def test_a_plan_that_was_noted_counts_only_what_is_new() -> None:
    first = Plan().plus({"user": ["3"], "msg": ["7"]}, {"user": {"3": 2}, "msg": {"7": 1}})
    again = Plan.model_validate(first.model_dump(mode="json"))
    assert again == first
    new = again.lacking({"user": ["3"], "msg": ["7", "12"]})
    assert new == {"user": [], "msg": ["12"]}
    assert again.plus(new, {"msg": {"12": 4}}).found == {"requester": 1, "message": 2, "history": 7}


def test_each_owner_has_their_records_in_order_and_nobody_has_those_of_strangers() -> None:
    rows = {"issue": [("10", "1"), ("9", "1"), ("7", "2"), ("5", "99")], "msg": [("4", "2"), ("4", "1")]}
    assert by_owner(rows, ["1", "2", "3"]) == {
        "1": {"issue": ["9", "10"], "msg": ["4"]},
        "2": {"issue": ["7"], "msg": ["4"]},
        "3": {"issue": [], "msg": []},
    }


def test_many_records_travel_five_hundred_at_a_time() -> None:
    assert [len(batch) for batch in batches(range(1_001))] == [500, 500, 1]
    assert list(batches([])) == []


def test_an_alternate_address_is_corrected_where_it_stands() -> None:
    user = {"address": A, "alternate_addresses": "old@x.org\nkeep@x.org"}
    change = [Change(field="email", current="OLD@x.org", asserted="new@x.org")]
    assert corrected(user, change) == {"alternate_addresses": "new@x.org\nkeep@x.org"}


def test_a_value_that_is_not_what_is_said_to_be_wrong_stays() -> None:
    user = {"address": A, "realname": "Ana Sol", "phone": "+49 30 1234567"}
    wrong = [
        Change(field="name", current="Luis Sol", asserted="Eva Sol"),
        Change(field="email", current="other@x.org", asserted="new@x.org"),
        Change(field="phone", current="+49307654321", asserted="+49309999999"),
    ]
    assert corrected(user, wrong) == {}
    right = [Change(field="phone", current="+49301234567", asserted="+49309999999")]
    assert corrected(user, right) == {"phone": "+49309999999"}
    assert [shows(user, each) for each in wrong] == [False, False, False]
    assert shows({**user, "alternate_addresses": "NEW@x.org"}, wrong[1])


@pytest.mark.parametrize("changes", [[], [Change(field="iban", asserted="x")]])
def test_a_correction_that_cannot_be_made_is_refused(changes: list[Change]) -> None:
    with pytest.raises(Refused):
        corrected({}, changes)


def test_an_address_that_is_several_peoples_proves_nobody_who_has_another_name() -> None:
    theirs = [Identity(IdentityType.EMAIL, A, shared=True)]
    with pytest.raises(ForeignHit):
        subjects([person("1", A, name="Luis Sol")], theirs)
    with pytest.raises(ForeignHit):
        subjects([person("1", A, name="Luis Sol")], [*theirs, *known(name="Ana Sol")])
    assert subjects([person("1", A, name="Ana Sol")], [*theirs, *known(name="Ana Sol")])


# Of the words on a person's ticket their own are theirs and those of the staff, and never a third person's.
ADA, BEN, AGENT = "1", "2", "3"
PEOPLE = (ADA, BEN, AGENT)
ROLES = {ADA: "", BEN: "Customer", AGENT: "User, Agent"}


class PlainTracker:
    """A tracker without our routes: Ada's one ticket with messages and files, by id, and whoever wrote them."""

    staff_roles = ("Agent",)
    is_staff = Tracker.is_staff
    system = "ticketing"

    def __init__(self, messages: Sequence[tuple[str, frozenset[int]]], uploaders: Sequence[str]) -> None:
        self.messages = {
            str(n): {"id": str(n), "author": who, "creator": who, "files": [str(f) for f in sorted(files)]}
            for n, (who, files) in enumerate(messages, 1)
        }
        self.files = {str(n): {"id": str(n), "creator": who} for n, who in enumerate(uploaders, 1)}

    async def privacy(self, *_: object) -> None:
        return None

    async def search_links(self, classname: str, _fields: str, key: str, ids: Iterable[str]) -> Sequence[Item]:
        ticket: Item = {"id": "1", "requester": ADA, "messages": [*self.messages], "files": [*self.files]}
        users: dict[str, Item] = {one: {"id": one, "roles": roles} for one, roles in ROLES.items()}
        held: dict[str, Any] = {"issue": {"1": ticket}, "msg": self.messages, "file": self.files, "user": users}
        wanted = set(ids)
        return [item for item in held.get(classname, {}).values() if item[key] in wanted]

    def writers(self, file: str) -> set[str]:
        carried = {message["author"] for message in self.messages.values() if file in message["files"]}
        return cast("set[str]", carried) or {self.files[file]["creator"]}


_who = st.sampled_from(PEOPLE)


@given(
    messages=st.lists(st.tuples(_who, st.frozensets(st.integers(1, 3), max_size=2)), max_size=4),
    uploaders=st.lists(_who, min_size=3, max_size=3),
)
def test_what_is_on_a_ticket_is_its_requesters_or_a_third_persons_and_never_both(
    messages: list[tuple[str, frozenset[int]]], uploaders: list[str]
) -> None:
    plain = PlainTracker(messages, uploaders)

    async def both() -> tuple[directory.Records, directory.Records]:
        tracker = cast("Tracker", plain)
        return (await directory.records(tracker, [ADA]))[ADA], (await directory.others(tracker, [ADA]))[ADA]

    theirs, of_third = asyncio.run(both())
    third = {one for one, message in plain.messages.items() if message["author"] == BEN}
    assert (set(theirs["msg"]), set(of_third["msg"])) == (set(plain.messages) - third, third)
    uploaded = {file for file in plain.files if plain.files[file]["creator"] == ADA}
    sent = {file for message in plain.messages.values() if message["author"] == ADA for file in message["files"]}
    papers = {file for file in plain.files if BEN in plain.writers(file)}
    assert set(of_third["file"]) == papers
    assert set(theirs["file"]) == set(plain.files) - papers | uploaded | sent
