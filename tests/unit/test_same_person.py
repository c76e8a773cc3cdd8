"""Recognises the same person, and the consequences for their concurrent requests; pure."""

from dataclasses import replace
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from services.intake.request.same_person import LEAST_LEVEL, UNPROVED, ProvedPerson, proved_person
from shared.domain.identities import Identity, IdentityType
from shared.storage.keyring import Keyring

EMAIL, ACCOUNT = Identity(IdentityType.EMAIL, "a@b.example"), Identity(IdentityType.ACCOUNT_ID, "C-1")
LINE = Identity(IdentityType.PHONE, "+493023125001")
EVERYONE = [ProvedPerson(account, email) for account, email in product((None, b"1", b"2"), (None, b"x", b"y"))]


@given(st.sampled_from(EVERYONE), st.sampled_from(EVERYONE))
def test_all_services_know_the_same_person_by_the_same_rule(one: ProvedPerson, other: ProvedPerson) -> None:
    assert one.marks.is_same(other.marks) == one.is_same(other)


def test_line_and_unproved_identities_identify_no_one(keys: Keyring) -> None:
    assert proved_person((EMAIL, ACCOUNT, LINE), keys) == UNPROVED
    assert proved_person((EMAIL, ACCOUNT, replace(LINE, level="L2")), keys) == UNPROVED
    linked = proved_person((replace(EMAIL, level=LEAST_LEVEL), ACCOUNT, LINE), keys)
    assert (linked.account, linked.email) == (None, keys.fingerprint(EMAIL))
    assert proved_person((EMAIL, replace(ACCOUNT, level="L2")), keys).account == keys.fingerprint(ACCOUNT)
