"""A system is searched only by identities proved as well as its data require; pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from shared.domain.assignments import Assignment, AssignmentInDoubt, Line, Register
from shared.domain.errors import NotSupported
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import OF_ONE_PERSON, Change, Operation, Step, TaskOutcome, Unsearched
from shared.domain.proofs import ProofAction, highest_level, proof_policy
from shared.domain.rights import LEVELS, Level
from shared.fulfilment.queue import LeasedTask
from shared.storage.subject_data import SubjectData, decode, encode, merged
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Receipt
from shared.systems.downstream import Downstream
from shared.systems.engine.searching import IdentitySelection, select_proved_identities, with_coverage, with_level
from shared.systems.relations import with_register
from tests.fixtures.downstream import task

POLICY = proof_policy()
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
EMAIL, PHONE, NAME, SIP = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.NAME, IdentityType.SIP_URI
ADDRESS, NUMBER = Identity(EMAIL, "ada@example.org"), Identity(PHONE, "+493023125001", SINCE)

USER = Identity(SIP, "sip:ada@pbx.example", SINCE)


def at(level: Level, identity: Identity) -> Identity:
    return Identity(identity.type, identity.value, identity.valid_from, proved_since=SINCE, level=level)


def system(*held: str, needs: frozenset[IdentityType] = frozenset({EMAIL})) -> Downstream:
    return Downstream("s", needs, categories=frozenset(held), needed=POLICY.needed(held))


def searched(
    downstream: Downstream,
    *known: Identity,
    operation: Operation = Operation.EXPORT,
    right: str = "access",
    fulfils: str = "export",
    changes: Sequence[Change] = (),
    register: Register | None = None,
) -> IdentitySelection:
    ids: Any = (uuid7(), uuid7(), 1, {}, None, date(2026, 4, 2), uuid7(), uuid7())
    said: Any = (right, True, {}, None, 0, 0, {}, fulfils)
    claim = LeasedTask(*ids, *said, step=Step("s", operation))
    return select_proved_identities(downstream, claim, SubjectData(known, tuple(changes)), register)


@pytest.mark.parametrize(
    ("held", "right", "fulfils", "level"),
    [
        (("account",), "access", "export", "L1"),
        (("ticket", "message"), "erasure", "erase", "L1"),
        *(
            (("call_record",), right, fulfils, "L2")
            for right, fulfils in (
                ("access", "export"),
                ("portability", "export"),
                ("erasure", "erase"),
                ("restriction", "restrict"),
            )
        ),
        (("account", "call_record"), "access", "export", "L2"),  # the highest of all that it holds
        (("account", "unheard_of"), "access", "export", "L2"),
        ((), "access", "export", "L2"),
        (("call_record",), "objection", "suppress", "L0"),
        (("call_record",), "objection", "restrict", "L2"),
    ],
)
def test_system_is_searched_by_enough_proof(held: tuple[str, ...], right: str, fulfils: str, level: Level) -> None:
    enough = searched(system(*held), at(level, ADDRESS), right=right, fulfils=fulfils)
    assert (enough.level, enough.missing, enough.nothing_usable) == (level, None, False)
    for less in LEVELS[: LEVELS.index(level)]:
        lacking = searched(system(*held), at(less, ADDRESS), right=right, fulfils=fulfils)
        assert (lacking.missing, lacking.missing_level, lacking.nothing_usable) == (Unsearched.NOT_PROVED, level, True)
        assert lacking.identities == ()


@pytest.mark.parametrize(("field", "level"), [("name", "L1"), ("email", "L2"), ("phone", "L2")])
def test_by_whom_a_contact_point_is_changed_must_be_surer(field: str, level: Level) -> None:
    change = Change(field=field, asserted="person@example.org")
    rectify: Any = {"right": "rectification", "fulfils": "rectify", "operation": Operation.RECTIFY}
    assert searched(system("account"), at(level, ADDRESS), changes=[change], **rectify).level == level


def test_undeclared_system_needs_the_strictest_proof() -> None:
    assert set(Downstream("s", frozenset({EMAIL})).needed.values()) == {"L3"}


def test_what_is_located_is_asked_for_by_the_best_that_is_proved() -> None:
    crm = system("account", needs=frozenset({EMAIL, PHONE}))
    found = searched(crm, at("L1", ADDRESS), at("L2", NUMBER), operation=Operation.LOCATE)
    assert ([each.type for each in found.identities], found.level) == ([PHONE], "L2")


def test_a_warning_of_a_request_needs_no_proof() -> None:
    found = searched(system("call_record"), ADDRESS, operation=Operation.FLAG, fulfils="flag")
    assert found.identities == (ADDRESS,)


def test_unproved_identity_is_reported_as_not_searched() -> None:
    orders = system("account", needs=frozenset({EMAIL, IdentityType.ACCOUNT_ID}))
    found = searched(orders, at("L2", ADDRESS), Identity(IdentityType.ACCOUNT_ID, "C9"))
    assert [each.value for each in found.identities] == [ADDRESS.value]
    assert (found.missing, found.missing_level, found.nothing_usable) == (Unsearched.NOT_PROVED, "L1", False)


class Telling:
    """An adapter that checks whose is what it finds by an address that several people have."""

    can = Capabilities(distinguishes_holders=True)

    async def close(self) -> None: ...


SHARED = Identity(EMAIL, ADDRESS.value, source="crm", level="L2", shared=True)
ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1", source="crm", level="L2")


@pytest.mark.parametrize("operation", sorted({*OF_ONE_PERSON} - {Operation.LIFT}))
def test_no_system_is_searched_by_an_address_that_other_people_have_too(operation: Operation) -> None:
    known = (at("L2", ADDRESS), SHARED, ACCOUNT)
    alone = searched(system("account"), *known, operation=operation)
    assert (alone.identities, alone.missing, alone.nothing_usable) == ((), Unsearched.SHARED_IDENTIFIER, True)
    both = searched(system("account", needs=frozenset({EMAIL, ACCOUNT.type})), *known, operation=operation)
    assert (both.identities, both.missing, both.nothing_usable) == ((ACCOUNT,), Unsearched.SHARED_IDENTIFIER, False)
    telling = replace(system("account"), adapter=Telling())
    identities = searched(telling, *known, operation=operation).identities
    assert [each for each in identities if each.type is EMAIL and not each.shared] == []
    assert {each.value for each in identities} == {ADDRESS.value}


def test_what_others_have_too_stops_marketing_by_itself_and_is_lifted_by_a_person() -> None:
    known = (at("L2", ADDRESS), SHARED)
    stopped = searched(system("account"), *known, operation=Operation.SUPPRESS, right="objection", fulfils="suppress")
    assert {each.value for each in stopped.identities} == {ADDRESS.value}
    with pytest.raises(NotSupported):
        searched(system("account"), *known, operation=Operation.LIFT, right="restriction", fulfils="lift")


FORMER = Identity(EMAIL, "victim@example.org", None, SINCE, "selfcare", level="L2")
ENDED = Identity(PHONE, NUMBER.value, SINCE, datetime(2025, 1, 1, tzinfo=UTC), "crm", level="L2")


class Heeding:
    """An adapter for which a former identity finds only rows of its period."""

    can = Capabilities(respects_periods=True)

    async def close(self) -> None: ...


@pytest.mark.parametrize("operation", sorted({*OF_ONE_PERSON} - {Operation.LIFT}))
@pytest.mark.parametrize("past", [FORMER, ENDED])
def test_former_identity_finds_nothing_where_times_are_unknown(past: Identity, operation: Operation) -> None:
    plain = system("account", needs=frozenset({EMAIL, PHONE}))
    alone = searched(plain, past, ACCOUNT, operation=operation)
    assert (alone.identities, alone.missing, alone.nothing_usable) == ((), Unsearched.NO_LONGER_THEIRS, True)
    now = at("L2", ADDRESS)
    both = searched(plain, past, now, operation=operation)
    assert (both.identities, both.missing, both.nothing_usable) == ((now,), Unsearched.NO_LONGER_THEIRS, False)
    again = replace(past, valid_to=None, proved_since=SINCE, level="L2")
    assert searched(plain, past, again, operation=operation).missing is None
    heeding = replace(plain, adapter=Heeding())
    assert past in searched(heeding, past, operation=operation).identities


def test_what_was_theirs_until_a_day_gets_marketing_as_before_and_is_lifted_by_a_person() -> None:
    known = (at("L2", ADDRESS), FORMER)
    stopped = searched(system("account"), *known, operation=Operation.SUPPRESS, right="objection", fulfils="suppress")
    assert ([each.value for each in stopped.identities], stopped.missing) == ([ADDRESS.value], None)
    with pytest.raises(NotSupported):
        searched(system("account"), FORMER, operation=Operation.LIFT, right="restriction", fulfils="lift")


_identities = st.lists(
    st.builds(
        Identity,
        st.sampled_from([EMAIL, PHONE, IdentityType.ACCOUNT_ID, NAME]),
        st.sampled_from(["a", "b", "c"]),
        level=st.sampled_from(LEVELS),
        proved_since=st.none() | st.just(SINCE),
        source=st.sampled_from(["requester", "crm"]),
    ),
    max_size=8,
)


@given(
    known=_identities,
    held=st.lists(st.sampled_from(["account", "ticket", "call", "unheard_of"]), max_size=3),
    operation=st.sampled_from([Operation.LOCATE, Operation.EXPORT]),
    register=st.sampled_from([None, Register()]),
)
def test_only_names_reach_a_system_without_enough_proof(
    known: list[Identity], held: list[str], operation: Operation, register: Register | None
) -> None:
    needed = POLICY.needed(held)[ProofAction.ACCESS]
    downstream = system(*held, needs=frozenset(IdentityType) - {NAME})
    found = searched(downstream, *known, operation=operation, register=register)
    identities = [each for each in found.identities if each.type is not NAME]
    proved = {(each.type, each.value) for each in known if each.level >= needed}
    assert found.level >= needed
    assert {(each.type, each.value) for each in identities} <= proved
    assert all(each.level >= found.level for each in identities)
    if operation is Operation.LOCATE and identities:
        assert found.level == max(needed, highest_level(each for each in known if each.type is not NAME))


def test_an_identity_is_as_well_proved_as_the_best_of_what_is_known_of_it() -> None:
    first, better = at("L1", NUMBER), Identity(PHONE, NUMBER.value, SINCE, level="L2")
    assert merged((ADDRESS, first, better)) == (ADDRESS, at("L2", NUMBER))


NOBODYS = Register("crm", {}, lambda i: i.value.encode(), lambda _, account: account.encode())
LINE = Register(
    "crm", {b"+493023125001": [Assignment(b"", b"C7", SINCE, line=Line.SHARED)]}, NOBODYS.fingerprint, NOBODYS.holder
)
ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C7", source="crm", level="L2")
LOCATED = Identity(PHONE, "+493023125001", SINCE, source="crm", level="L2")


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ((at("L1", ADDRESS),), Unsearched.NOTHING_TO_SEARCH_BY),  # every system was searched by it, without a match
        ((ADDRESS,), Unsearched.NOT_PROVED),
        ((at("L1", ADDRESS), Identity(IdentityType.ACCOUNT_ID, "C9")), Unsearched.NOT_PROVED),
        ((at("L1", ADDRESS), at("L1", NUMBER)), Unsearched.NOT_PROVED),
    ],
)
def test_proof_is_asked_for_only_where_it_would_help(known: tuple[Identity, ...], why: Unsearched) -> None:
    found = searched(system("call_record", needs=frozenset({PHONE})), *known, register=NOBODYS)
    assert (found.nothing_usable, found.missing) == (True, why)


@pytest.mark.parametrize(
    ("right", "operation", "lacks"),
    [
        ("access", Operation.EXPORT, Unsearched.LINE_SHARED),
        ("erasure", Operation.ERASE, Unsearched.LINE_SHARED),
        ("restriction", Operation.RESTRICT, Unsearched.LINE_SHARED),
    ],
)
def test_shared_line_is_named_and_left_alone(right: str, operation: Operation, lacks: Unsearched | None) -> None:
    tickets = system("ticket", needs=frozenset({EMAIL, PHONE}))
    known = (at("L2", ADDRESS), ACCOUNT, LOCATED)
    found = searched(tickets, *known, right=right, operation=operation, fulfils=operation, register=LINE)
    assert ([each.type for each in found.identities], found.missing) == ([EMAIL], lacks)
    alone = searched(system("call_record", needs=frozenset({PHONE})), *known, right=right, register=LINE)
    assert (alone.nothing_usable, alone.missing) == (True, Unsearched.LINE_SHARED)


@pytest.mark.parametrize(
    ("number", "lacks"),
    [
        (Identity(PHONE, "+491700000001", source="crm", level="L2"), None),
        (Identity(PHONE, "+491700000001", SINCE, source="crm", level="L2"), Unsearched.NUMBER_NOT_VOUCHED_FOR),
        (Identity(PHONE, "+491700000001", level="L2"), Unsearched.NUMBER_NOT_VOUCHED_FOR),
    ],
    ids=["a contact on file", "assigned since the register was read", "stated"],
)
def test_unregistered_contact_on_file_leaves_nothing_unsearched(number: Identity, lacks: Unsearched | None) -> None:
    """As after a correction of their telephone number: it tells of no time in which it was theirs."""
    theirs = Register("crm", {b"+493023125001": [Assignment(b"", b"C7", SINCE)]}, NOBODYS.fingerprint, NOBODYS.holder)
    found = searched(
        system("call_record", needs=frozenset({PHONE})), at("L2", ADDRESS), ACCOUNT, LOCATED, number, register=theirs
    )
    assert ([each.value for each in found.identities], found.missing) == ([LOCATED.value], lacks)


def test_a_doubt_about_a_sip_user_is_none_of_a_system_that_files_by_telephone_number() -> None:
    since = (Assignment(b"sip", b"holder", SINCE), Assignment(b"sip", b"another", SINCE))
    register = Register("crm", {b"sip": since}, lambda i: b"sip" if i.type is SIP else b"", lambda *_: b"none")
    known = (at("L2", USER), at("L2", NUMBER))
    assert searched(system(needs=frozenset({PHONE})), *known, register=register).identities
    with pytest.raises(AssignmentInDoubt):
        searched(system(needs=frozenset({SIP})), *known, register=register)


# A claimed account is sent only to systems that compare owners; pure.
CLAIM = Identity(IdentityType.ACCOUNT_ID, "A-5", source="desk", level="L2", claimed=True)


def filing(*, weighs: bool = True, **more: Any) -> Downstream:
    """A system that files by address and account."""
    adapter: Any = SimpleNamespace(can=Capabilities(checks_claimed_accounts=weighs))
    needs = frozenset({EMAIL, IdentityType.ACCOUNT_ID})
    return Downstream("s", needs, adapter=adapter, needed=POLICY.needed({"account"}), **more)


@pytest.mark.parametrize("operation", sorted({*OF_ONE_PERSON, Operation.SUPPRESS}))
def test_claimed_account_reaches_only_systems_that_check_ownership(operation: Operation) -> None:
    known = (at("L2", ADDRESS), CLAIM)
    weighed = searched(filing(), *known, operation=operation)
    assert (CLAIM in weighed.identities, weighed.missing) == (True, None)
    for bare in (filing(weighs=False), filing(confirmed_elsewhere=True)):
        found = searched(bare, *known, operation=operation)
        assert ([each.type for each in found.identities], found.missing) == ([EMAIL], Unsearched.SHARED_IDENTIFIER)
    register = searched(filing(assigns=True), *known, operation=operation)
    assert ([each.type for each in register.identities], register.missing) == ([EMAIL], None)


@pytest.mark.parametrize(
    ("further", "counts"),
    [
        (replace(CLAIM, source="crm", claimed=False), True),
        (replace(CLAIM, source="requester", claimed=False), True),
        (replace(CLAIM, source="requester", claimed=False, level="L0"), False),
        (replace(CLAIM, source="shop"), False),
        (replace(CLAIM, source="crm", claimed=False, value="A-6"), False),
    ],
)
def test_account_is_no_claim_if_proved_or_yielded_by_the_register(further: Identity, *, counts: bool) -> None:
    known = decode(encode(SubjectData(merged((at("L2", ADDRESS), CLAIM, further))))).identities
    found = searched(filing(weighs=False), *known).identities
    assert any(each.value == "A-5" and not each.claimed for each in found) is counts


@pytest.mark.parametrize("assigns", [True, False])
def test_yielded_identity_has_the_proof_of_its_search_and_its_accounts_are_claims(*, assigns: bool) -> None:
    account = Identity(IdentityType.ACCOUNT_ID, "A-5", source="s", claimed=assigns)
    found = with_level(filing(assigns=assigns), [account, ADDRESS], "L2")
    assert [(each.level, each.claimed) for each in found] == [("L2", not assigns), ("L2", False)]


def test_whose_the_accounts_are_another_system_says_where_it_assigns_them_and_speaks_of_the_same() -> None:
    crm = Downstream("crm", frozenset({EMAIL}), frozenset({IdentityType.ACCOUNT_ID}), assigns=True)
    shop, desk = filing(), replace(filing(), name="desk", accounts_from=frozenset({"desk"}))
    known = with_register([crm, shop, desk])
    assert [each.confirmed_elsewhere for each in known] == [False, True, False]
    assert not any(each.confirmed_elsewhere for each in with_register([replace(crm, assigns=False), shop]))


def test_missing_proof_is_asked_for() -> None:
    exported = task(Operation.EXPORT, ADDRESS)
    receipt = Receipt(exported.task_id, TaskOutcome.EXPORTED)
    search_ = IdentitySelection((ADDRESS,), "L2", missing=Unsearched.NOT_PROVED)
    said = with_coverage(filing(), exported, receipt, search_, narrowed=False)
    assert isinstance(said, Receipt)
    assert (said.not_searched, said.level) == (Unsearched.NOT_PROVED, "L2")
    whole = with_coverage(filing(), exported, receipt, IdentitySelection((ADDRESS,), "L2"), narrowed=False)
    assert isinstance(whole, Receipt)
    assert (whole.not_searched, whole.level) == (None, None)
