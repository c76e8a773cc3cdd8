"""An account that is only claimed is told to nobody who does not weigh whose its rows are; pure."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import OF_ONE_PERSON, Operation, Unsearched
from shared.downstreams.accounts import beside_the_register
from shared.downstreams.downstream import Downstream
from shared.fulfilment.searching import yielded
from shared.storage.subject_data import SubjectData, decode, encode, merged
from tests.unit.test_searching import ADDRESS, EMAIL, POLICY, at, searched

CLAIM = Identity(IdentityType.ACCOUNT_ID, "A-5", source="desk", level="L2", claimed=True)


def filing(*, weighs: bool = True, **more: Any) -> Downstream:
    """A system that files by address and account."""
    adapter: Any = SimpleNamespace(weighs_claims=weighs)
    needs = frozenset({EMAIL, IdentityType.ACCOUNT_ID})
    return Downstream("s", needs, adapter=adapter, needed=POLICY.needed({"account"}), **more)


@pytest.mark.parametrize("operation", sorted({*OF_ONE_PERSON, Operation.SUPPRESS}))
def test_an_account_that_is_only_claimed_is_told_to_nobody_who_does_not_weigh_whose_its_rows_are(
    operation: Operation,
) -> None:
    known = (at("L2", ADDRESS), CLAIM)
    weighed = searched(filing(), *known, operation=operation)
    assert (CLAIM in weighed.identities, weighed.lacks) == (True, None)
    for bare in (filing(weighs=False), filing(confirmed_elsewhere=True)):
        told = searched(bare, *known, operation=operation)
        assert ([each.type for each in told.identities], told.lacks) == ([EMAIL], Unsearched.HELD_BY_OTHERS)
    register = searched(filing(assigns=True), *known, operation=operation)
    assert ([each.type for each in register.identities], register.lacks) == ([EMAIL], None)


@pytest.mark.parametrize(
    ("beside", "counts"),
    [
        (replace(CLAIM, source="crm", claimed=False), True),
        (replace(CLAIM, source="requester", claimed=False), True),
        (replace(CLAIM, source="requester", claimed=False, level="L0"), False),
        (replace(CLAIM, source="shop"), False),
        (replace(CLAIM, source="crm", claimed=False, value="A-6"), False),
    ],
)
def test_an_account_is_no_claim_where_it_is_proved_or_where_the_register_yields_it(
    beside: Identity, *, counts: bool
) -> None:
    known = decode(encode(SubjectData(merged((at("L2", ADDRESS), CLAIM, beside))))).identities
    told = searched(filing(weighs=False), *known).identities
    assert any(each.value == "A-5" and not each.claimed for each in told) is counts


@pytest.mark.parametrize("assigns", [True, False])
def test_what_a_system_yields_is_proved_as_that_by_which_it_was_found_and_its_accounts_are_claims_but_the_registers(
    *, assigns: bool
) -> None:
    account = Identity(IdentityType.ACCOUNT_ID, "A-5", source="s", claimed=assigns)
    told = yielded(filing(assigns=assigns), [account, ADDRESS], "L2")
    assert [(each.level, each.claimed) for each in told] == [("L2", not assigns), ("L2", False)]


def test_whose_the_accounts_are_another_system_says_where_it_assigns_them_and_speaks_of_the_same() -> None:
    crm = Downstream("crm", frozenset({EMAIL}), frozenset({IdentityType.ACCOUNT_ID}), assigns=True)
    shop, desk = filing(), replace(filing(), name="desk", accounts_from=frozenset({"desk"}))
    known = beside_the_register([crm, shop, desk])
    assert [each.confirmed_elsewhere for each in known] == [False, True, False]
    assert not any(each.confirmed_elsewhere for each in beside_the_register([replace(crm, assigns=False), shop]))
