"""An address and a number prove more together only if both lead to one account of ours, as we see it ourselves."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.assignments import Line, Register
from shared.domain.contact_points import confirmed
from shared.domain.identities import Identity, IdentityType
from tests.unit.test_assignments import ADA, BEN, account, at, phone, register

ON_FILE = timedelta(days=30)
ADDRESS = Identity(IdentityType.EMAIL, "ada@example.org", level="L2", together=True)
NUMBER = replace(phone(), level="L2", together=True)
ACCOUNT = replace(account(ADA), level="L1")
OF_RECORD = replace(ADDRESS, source="crm", level="L1", together=False)
KNOWN = (ADDRESS, NUMBER, ACCOUNT, OF_RECORD)
HERS = register((ADA, 0, None))


def levels(identities: Sequence[Identity], register: Register = HERS, today: int = 100) -> list[str]:
    return [each.level for each in confirmed(identities, register, ON_FILE, at(today))]


def test_both_lead_to_one_account_which_is_as_well_proved_as_they_are() -> None:
    assert levels(KNOWN) == ["L2", "L2", "L2", "L1"]


NOT_CONFIRMED = ["L1", "L1", "L1", "L1"]


@pytest.mark.parametrize(
    "register",
    [
        Register(),
        register(),
        register((BEN, 0, None)),
        register((ADA, 0, 50)),
        register((ADA, 80, None)),
    ],
    ids=["no register", "of nobody", "somebody else's", "given back", "not theirs for thirty days"],
)
def test_a_number_that_the_register_does_not_show_as_that_accounts_proves_nothing_more(register: Register) -> None:
    assert levels(KNOWN, register) == NOT_CONFIRMED


def test_a_line_that_others_use_too_proves_nothing_more() -> None:
    lines = {key: [replace(each, line=Line.SHARED) for each in rows] for key, rows in (HERS.assignments or {}).items()}
    assert levels(KNOWN, replace(HERS, assignments=lines)) == NOT_CONFIRMED


@pytest.mark.parametrize(
    "found",
    [
        (ACCOUNT,),
        (ACCOUNT, replace(OF_RECORD, value="other@example.org")),
        (ACCOUNT, replace(OF_RECORD, valid_to=at(50))),
        (ACCOUNT, replace(OF_RECORD, source="requester")),
        (OF_RECORD,),
        (replace(ACCOUNT, source="requester"), OF_RECORD),
        (replace(ACCOUNT, level="L0"), OF_RECORD),
        (ACCOUNT, OF_RECORD, replace(account(BEN), level="L1")),
    ],
    ids=[
        "no address",
        "another one",
        "a former one",
        "stated",
        "no account",
        "a stated one",
        "unproved",
        "two of them",
    ],
)
def test_an_address_that_no_system_knows_as_that_one_accounts_proves_nothing_more(found: tuple[Identity, ...]) -> None:
    assert levels((ADDRESS, NUMBER, *found))[:2] == ["L1", "L1"]


def test_what_one_of_them_was_proved_by_being_wrong_leaves_the_other_as_one() -> None:
    assert levels((ADDRESS, replace(NUMBER, level="L0"), ACCOUNT, OF_RECORD)) == ["L1", "L0", "L1", "L1"]


def test_what_is_proved_alone_stays_as_it_is() -> None:
    alone = (replace(ADDRESS, together=False), replace(NUMBER, level="L1", together=False))
    assert levels(alone, Register()) == ["L2", "L1"]
    assert levels((replace(ADDRESS, level="L0"),), Register()) == ["L0"]
