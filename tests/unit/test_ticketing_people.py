"""Decides which of a tracker's users is the subject, without a tracker."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.domain.identities import Identity, IdentityType
from shared.systems.roundup.people import TrackerUser, proven_users

A, B = "ana@example.org", "luis@example.org"
P, Q = "+34600111222", "+34600111333"


def person(identity: str, address: str = "", phone: str = "", name: str = "") -> TrackerUser:
    return TrackerUser.read({"id": identity, "address": address, "phone": phone, "realname": name})


def theirs(people: list[TrackerUser], identities: list[Identity]) -> str | None:
    """Returns the IDs of users proven to be the subject; None if users were found and none is."""
    found = proven_users(people, identities)
    return "".join(one for one, proved in found.items() if proved) or (None if found else "")


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
def test_only_a_proven_hit_is_the_subject(
    people: list[TrackerUser], identities: list[Identity], proven: str | None
) -> None:
    assert theirs(people, identities) == proven


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
def test_other_number_does_not_contradict_proof(people: list[TrackerUser], name: str, proven: str | None) -> None:
    """Their number was corrected at their request, and the register of numbers does not know the new one."""
    identities = [replace(each, level="L1") for each in known(A, P)] + known(name=name)
    assert theirs(people, identities) == proven


def test_another_number_contradicts_an_address_that_several_people_share() -> None:
    shared = replace(known(A)[0], level="L1", shared=True)
    assert theirs([person("1", A, Q)], [shared, *known(phone=P)]) is None


def test_former_number_finds_no_user() -> None:
    former = Identity(IdentityType.PHONE, P, None, datetime(2024, 1, 1, tzinfo=UTC))
    assert theirs([person("1", "", P)], [former]) == ""


def test_shared_address_proves_no_user_of_another_name() -> None:
    shared = [Identity(IdentityType.EMAIL, A, shared=True)]
    assert theirs([person("1", A, name="Luis Sol")], shared) is None
    assert theirs([person("1", A, name="Luis Sol")], [*shared, *known(name="Ana Sol")]) is None
    assert theirs([person("1", A, name="Ana Sol")], [*shared, *known(name="Ana Sol")]) == "1"
