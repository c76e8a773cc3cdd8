"""Attribution of rows that an account has found, and of rows in a package."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.domain.errors import LimitExceeded
from shared.domain.identities import Identity, IdentityType, confirmed_accounts
from shared.domain.operations import OF_ONE_PERSON, Change, Limit, Operation
from shared.domain.release import (
    ASSIGNED,
    KnownFacts,
    Match,
    ReleaseFault,
    TimeSpan,
    first_fault,
    name_words,
    proved_of,
    stated_of,
    values_of,
)
from shared.systems.contract import STOPS_MARKETING, Task
from shared.systems.engine.account_claims import (
    PartyIdentities,
    RowIdentity,
    identities_to_adopt,
    other_people,
    too_many_people,
    unconfirmed,
)

EMAIL, PHONE, ACCOUNT, NAME = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID, IdentityType.NAME
ADA, BEN = Identity(EMAIL, "ada@example.com", level="L1"), RowIdentity(EMAIL, "ben@example.com")
CLAIMED = Identity(ACCOUNT, "A-5", source="desk", level="L1", claimed=True)
CERTAIN = Identity(ACCOUNT, "A-5", source="crm", level="L1")
OF_IT = RowIdentity(ACCOUNT, "A-5")


def task(*identities: Identity, operation: Operation = Operation.EXPORT, confirmed: int = 0) -> Task:
    limits: dict[str, int] = {Limit.MAX_PEOPLE: confirmed} if confirmed else {}
    return Task(UUID(int=1), UUID(int=2), UUID(int=3), "desk", operation, identities, confirmed=limits)


@pytest.mark.parametrize("account", [CLAIMED, CERTAIN])
@pytest.mark.parametrize(
    "row",
    [
        (OF_IT,),
        (OF_IT, RowIdentity(EMAIL, " Ada@Example.com ")),
        (OF_IT, RowIdentity(EMAIL, None), RowIdentity(PHONE, ""), RowIdentity(NAME, b"")),
        (OF_IT, RowIdentity(EMAIL, "n/a")),
        (RowIdentity(ACCOUNT, "A-6"), BEN),
    ],
)
def test_a_row_of_their_account_with_their_address_or_none_is_theirs(account: Identity, row: PartyIdentities) -> None:
    assert other_people((ADA, account), [row]) == set()


@pytest.mark.parametrize("account", [CLAIMED, CERTAIN])
@pytest.mark.parametrize(
    "row", [(OF_IT, BEN), (OF_IT, RowIdentity(EMAIL, "ben at home, ben@")), (OF_IT, BEN, RowIdentity(NAME, "Ada"))]
)
def test_a_row_of_their_account_with_another_address_is_a_person_s_to_decide(
    account: Identity, row: PartyIdentities
) -> None:
    asked = task(ADA, account, Identity(NAME, "Ada"))
    assert isinstance(too_many_people(asked, [row]), LimitExceeded)


@pytest.mark.parametrize("row", [(OF_IT, RowIdentity(PHONE, "+491701234567")), (OF_IT, RowIdentity(NAME, "Ben"))])
def test_a_number_or_a_name_alone_tells_people_apart_where_an_account_is_only_claimed(row: PartyIdentities) -> None:
    assert len(other_people((ADA, CLAIMED), [row])) == 1
    assert other_people((ADA, CLAIMED, CERTAIN), [row]) == set()


def test_one_person_accounts_are_separated_only_by_addresses() -> None:
    of_one = RowIdentity(ACCOUNT, "A-5", account_is_one_person=True)
    number = RowIdentity(PHONE, "+491701234567", account_is_one_person=True)
    assert (
        other_people((ADA, CLAIMED), [(of_one, number, RowIdentity(NAME, "Ben", account_is_one_person=True))]) == set()
    )
    assert other_people((ADA, CLAIMED), [(of_one, number, BEN._replace(account_is_one_person=True))]) == {
        frozenset({BEN.value})
    }
    identities = [Identity(PHONE, "+491701234567", source="shop"), Identity(EMAIL, "ben@example.com", source="shop")]
    assert identities_to_adopt(task(ADA, CLAIMED), [(of_one, number)], identities) == identities[:1]


NAMING = (OF_IT, RowIdentity(EMAIL, ADA.value))
OWN = (OF_IT._replace(is_own_record=True), RowIdentity(EMAIL, ADA.value, is_own_record=True))
"""Two rows with an account and an address of the subject: one names the account, one is its own record."""
_BARE: Sequence[PartyIdentities] = [
    (OF_IT,),
    (OF_IT, RowIdentity(EMAIL, None), RowIdentity(EMAIL, "n/a")),
    (OF_IT, RowIdentity(NAME, "Ada")),
    (
        OF_IT._replace(account_is_one_person=True),
        RowIdentity(PHONE, "+491701234567", account_is_one_person=True),
        RowIdentity(NAME, "Ben", account_is_one_person=True),
    ),
]


@pytest.mark.parametrize("row", _BARE)
@pytest.mark.parametrize("operation", sorted(OF_ONE_PERSON - {Operation.LIFT}))
def test_row_without_identities_is_not_a_claimants(operation: Operation, row: PartyIdentities) -> None:
    asked = task(ADA, CLAIMED, Identity(NAME, "Ada"), operation=operation)
    refused = too_many_people(asked, [row, row])
    assert refused
    assert refused.exceeded
    assert (refused.exceeded.found, refused.exceeded.allowed) == (2, 1)
    assert "nothing there shows to be theirs" in str(refused)
    assert too_many_people(replace(asked, confirmed={Limit.MAX_PEOPLE: 2}), [row]) is None, (
        "two people decide whose it is"
    )
    assert too_many_people(task(ADA, CERTAIN, operation=operation), [row]) is None
    assert too_many_people(asked, [row, OWN]) is None, (
        "the account's own record in the same system says that it is theirs"
    )
    for stranger in (NAMING, (OWN[0], NAMING[1]), (OF_IT, OWN[1]), (OWN[0],), (OWN[0]._replace(value="A-6"), *NAMING)):
        assert too_many_people(asked, [row, stranger]), "what merely names an account confirms none of its rows"


def test_each_claimed_account_needs_confirmation() -> None:
    other = Identity(ACCOUNT, "A-6", source="desk", claimed=True)
    bare = [(OF_IT,), (RowIdentity(ACCOUNT, "A-6"),), (RowIdentity(ACCOUNT, "A-7"),)]
    assert unconfirmed((ADA, CLAIMED, other), bare) == {"A-5", "A-6"}
    assert unconfirmed((ADA, CLAIMED, other), [*bare, OWN]) == {"A-6"}
    assert unconfirmed((ADA, CLAIMED, other), [*bare, NAMING]) == {"A-5", "A-6"}
    assert unconfirmed((ADA, CLAIMED), [(OF_IT,), (OF_IT, BEN)]) == set(), "it is counted as Ben's"


def test_marketing_stops_by_an_account_that_is_only_claimed() -> None:
    assert too_many_people(task(ADA, CLAIMED, operation=Operation.SUPPRESS), [(OF_IT,)]) is None
    located = replace(task(ADA, CLAIMED, operation=Operation.LOCATE), details={STOPS_MARKETING: True})
    assert too_many_people(located, [(OF_IT,)]) is None


def test_name_next_to_the_subjects_address_is_theirs() -> None:
    named = (RowIdentity(EMAIL, ADA.value), RowIdentity(NAME, "Ada  Lovelace"))
    assert other_people((ADA, CLAIMED), [(OF_IT, RowIdentity(NAME, "ada lovelace")), named]) == set()
    assert other_people((ADA, CLAIMED, Identity(NAME, "Ben")), [(OF_IT, RowIdentity(NAME, "Ben"))]) == set()


def test_corrected_value_identifies_no_other_person() -> None:
    asked = task(ADA, CLAIMED, operation=Operation.RECTIFY)
    changes = (Change(field="email", current="ben@example.com", asserted="ben@example.com"),)
    asked = Task(**{**{name: getattr(asked, name) for name in asked.__slots__}, "changes": changes})
    assert too_many_people(asked, [(OF_IT, BEN)])


def test_two_people_confirm_the_number_of_addresses() -> None:
    rows = [(OF_IT, BEN), (OF_IT, BEN, RowIdentity(NAME, "Ben")), (OF_IT, BEN)]
    refused = too_many_people(task(ADA, CLAIMED), rows)
    assert refused
    assert refused.exceeded
    assert (refused.exceeded.limit, refused.exceeded.found, refused.exceeded.allowed) == (Limit.MAX_PEOPLE, 2, 1)
    assert too_many_people(task(ADA, CLAIMED, confirmed=2), rows) is None
    assert too_many_people(task(ADA, CLAIMED, confirmed=2), [*rows, (OF_IT, RowIdentity(EMAIL, "cy@example.com"))])


def test_what_was_restricted_is_lifted_where_it_was_found() -> None:
    assert too_many_people(task(ADA, CLAIMED, operation=Operation.LIFT), [(OF_IT, BEN)]) is None


def test_identities_next_to_an_account_alone_are_not_adopted() -> None:
    number, name = Identity(PHONE, "+491701234567", source="desk"), Identity(NAME, "Ada")
    other = Identity(ACCOUNT, "A-6", source="desk", claimed=True)
    identities = (number, Identity(EMAIL, "ben@example.com"), other, name)
    row = (OF_IT, RowIdentity(PHONE, number.value))
    assert identities_to_adopt(task(ADA, CERTAIN), [row], identities) == [other, name]
    assert identities_to_adopt(task(ADA, CERTAIN, confirmed=2), [row], identities) == [other, name]
    assert identities_to_adopt(task(ADA, CERTAIN), [(*row, RowIdentity(EMAIL, ADA.value))], identities) == [*identities]
    assert identities_to_adopt(task(ADA), [row], identities) == [*identities], "by what it was found is no account"


@pytest.mark.parametrize("row", [(OF_IT, BEN), (OF_IT,), (OF_IT, BEN, RowIdentity(PHONE, "+491701234567"))])
def test_confirmed_rows_yield_no_identities(row: PartyIdentities) -> None:
    identities = [
        Identity(EMAIL, "ben@example.com", source="desk"),
        Identity(PHONE, "+491701234567", source="desk"),
        Identity(ACCOUNT, "A-6", source="desk", claimed=True),
        Identity(NAME, "Ben"),
    ]
    assert identities_to_adopt(task(ADA, CLAIMED, confirmed=2), [row], identities) == []
    assert identities_to_adopt(task(ADA, CERTAIN, confirmed=2), [(OF_IT, BEN)], identities) == []
    assert (
        identities_to_adopt(task(ADA, CLAIMED, confirmed=2), [(*row, RowIdentity(EMAIL, ADA.value))], identities)
        == identities
    )


# By generated stores: whatever rows there are, two people get no row in common unless the register says they are one.


@dataclass(frozen=True)
class Held:
    """One row: of which system, and what it says; the record of its accounts, or one that merely names them."""

    system: str
    said: PartyIdentities

    def shows(self, address: str) -> frozenset[object]:
        """The accounts that it shows to be theirs who have that address."""
        shown = any(each.type is EMAIL and each.value == address and each.is_own_record for each in self.said)
        return frozenset(each.value for each in self.said if shown and each.type is ACCOUNT and each.is_own_record)


_SAID = st.tuples(
    st.sampled_from([None, "ada@example.com", "ben@example.com"]),
    st.sets(st.sampled_from(["A-1", "A-2", "A-3"]), max_size=2),
    st.sampled_from([None, "Ada", "Ben"]),
    st.booleans(),
)
_ROWS = st.lists(st.tuples(st.sampled_from(["desk", "shop", "calls"]), _SAID), max_size=9)
_REGISTER = st.none() | st.dictionaries(
    st.sampled_from(["A-1", "A-2", "A-3"]), st.sets(st.sampled_from(["ada@example.com", "ben@example.com"])), max_size=3
)


_Drawn = list[tuple[str, tuple[str | None, set[str], str | None, bool]]]


def _held(rows: _Drawn) -> list[Held]:
    return [
        Held(
            system,
            (
                *(RowIdentity(ACCOUNT, each, is_own_record=record) for each in accounts),
                RowIdentity(EMAIL, address, is_own_record=record),
                RowIdentity(NAME, name),
            ),
        )
        for system, (address, accounts, name, record) in rows
    ]


def _found(identities: Sequence[Identity], rows: Sequence[Held]) -> list[int]:
    known = {(each.type, each.value) for each in identities if each.type is not NAME}
    return [n for n, row in enumerate(rows) if not known.isdisjoint((each.type, each.value) for each in row.said)]


def _given(address: str, rows: Sequence[Held], register: dict[str, set[str]] | None) -> set[int] | None:
    """Returns the rows released to a person who has proved an address, or None if a person must decide."""
    known = [Identity(EMAIL, address, level="L1")]
    for account in (account for account, addresses in (register or {}).items() if address in addresses):
        known.append(Identity(ACCOUNT, account, source="crm", level="L1"))
        known += [Identity(EMAIL, each, source="crm", level="L1") for each in (register or {})[account]]
    while True:
        usable = confirmed_accounts(known, known)
        asked = [each for each in usable if not each.claimed] if register is not None else usable
        found = _found(asked, rows)
        for system in {rows[n].system for n in found}:
            said = [rows[n].said for n in found if rows[n].system == system]
            if other_people(asked, said) or unconfirmed(asked, said):
                return None
        yielded = (
            Identity(said.type, str(said.value), source=rows[n].system, level="L1", claimed=said.type is ACCOUNT)
            for n in found
            for said in rows[n].said
            if said.value and said.type is not NAME
        )
        named = {(each.type, each.value) for each in known}
        if not (fresh := [each for each in dict.fromkeys(yielded) if (each.type, each.value) not in named]):
            return {*found}
        known += fresh


@given(rows=_ROWS, register=_REGISTER)
def test_two_subjects_share_no_row_without_the_register(rows: _Drawn, register: dict[str, set[str]] | None) -> None:
    for _, (address, accounts, *_) in rows:  # a row of two accounts and no address is separated by its parties
        assume(address is not None or len(accounts) < 2)
    held = _held(rows)
    adas, bens = (_given(address, held, register) for address in ("ada@example.com", "ben@example.com"))
    one = any(len(addresses) > 1 for addresses in (register or {}).values())
    assert one or adas is None or bens is None or adas.isdisjoint(bens)


_NAMED = st.tuples(
    st.sampled_from([None, "ada@example.com"]),
    st.sets(st.sampled_from(["A-1", "A-2"]), min_size=1),
    st.none(),
    st.booleans(),
)


@given(rows=st.lists(st.tuples(st.sampled_from(["desk", "calls"]), _NAMED), min_size=2, max_size=5))
def test_without_a_register_the_account_record_decides_about_rows_without_an_address(rows: _Drawn) -> None:
    held, address = _held(rows), "ada@example.com"
    for row in (held[n] for n in _given(address, held, None) or ()):
        shown = (each.shows(address) for each in held if each.system == row.system)
        theirs = {address}.union(*shown)
        assert not theirs.isdisjoint(each.value for each in row.said)


# The release check attributes every row independently; one row that does not fit is too many.

NUMBER, EMMAS, ADDRESS = "+442079460000", "+442079460999", "ada@example.org"
BY_PHONE, BY_EMAIL = IdentityType.PHONE, IdentityType.EMAIL
MINE = (BY_PHONE.value, NUMBER)


def day(number: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


def known(
    theirs: tuple[TimeSpan, ...] = (), others: tuple[TimeSpan, ...] = (), said: tuple[Identity, ...] = (), at: int = 100
) -> KnownFacts:
    identities = (Identity(BY_EMAIL, ADDRESS), Identity(BY_PHONE, NUMBER), Identity(IdentityType.NAME, "Ada"), *said)
    return KnownFacts(
        at=day(at),
        values=values_of(identities),
        stated=stated_of(identities),
        periods={MINE: theirs},
        others={MINE: others},
        proved=proved_of(identities),
    )


def call(at: int | None, number: str = NUMBER) -> list[Match]:
    return [
        Match(BY_PHONE, number, None if at is None else day(at)),
        Match(BY_PHONE, EMMAS, None if at is None else day(at)),
    ]


HELD = ((day(10), day(20)),)


@pytest.mark.parametrize(
    ("row", "whose", "fault"),
    [
        pytest.param(call(10), known(HELD), None, id="the first moment"),
        pytest.param(call(19), known(HELD), None, id="theirs"),
        pytest.param(call(20), known(HELD), ReleaseFault.NOT_AT_THAT_TIME, id="the moment after"),
        pytest.param(call(9), known(HELD), ReleaseFault.NOT_AT_THAT_TIME, id="before"),
        pytest.param(call(15), known(), ReleaseFault.NOT_AT_THAT_TIME, id="nothing registered"),
        pytest.param(call(15, EMMAS), known(HELD), ReleaseFault.NOT_THEIRS, id="another's number"),
        pytest.param(call(15), known(HELD, HELD), ReleaseFault.ANOTHER_HOLDER, id="two holders"),
        pytest.param(call(30), known(HELD, ((day(20), day(40)),)), ReleaseFault.ANOTHER_HOLDER, id="the next holder's"),
        pytest.param(
            call(None), known(HELD), ReleaseFault.NOT_AT_THAT_TIME, id="the present, when it was theirs no more"
        ),
        pytest.param(call(None), known(HELD, at=12), None, id="the present, while it was theirs"),
        pytest.param([Match(BY_EMAIL, "Ada@Example.org")], known(), None, id="an address in another spelling"),
        pytest.param([Match(BY_EMAIL, "emma@example.org")], known(), ReleaseFault.NOT_THEIRS, id="another's address"),
        pytest.param([Match(BY_EMAIL, "no address")], known(), ReleaseFault.NOT_THEIRS, id="no address at all"),
        pytest.param([Match(IdentityType.NAME, "Ada")], known(), ReleaseFault.NOT_THEIRS, id="a name alone"),
        pytest.param([], known(HELD), ReleaseFault.UNTRACED, id="nothing by which it was found"),
        pytest.param(
            call(18),
            known(HELD, said=(Identity(BY_PHONE, NUMBER, day(10), day(15)),)),
            ReleaseFault.NOT_AT_THAT_TIME,
            id="beyond what they asked for",
        ),
        pytest.param(
            call(30), known(said=(Identity(BY_PHONE, NUMBER, proved_since=day(30)),)), None, id="proved from then on"
        ),
        pytest.param(
            call(29),
            known(said=(Identity(BY_PHONE, NUMBER, proved_since=day(30)),)),
            ReleaseFault.NOT_AT_THAT_TIME,
            id="before it was proved",
        ),
        pytest.param(
            call(15),
            known(said=(Identity(BY_PHONE, NUMBER, day(0), None, "cdr"),)),
            ReleaseFault.NOT_AT_THAT_TIME,
            id="a system's word is no assignment",
        ),
    ],
)
def test_row_fits_by_register_or_proof(row: list[Match], whose: KnownFacts, fault: ReleaseFault | None) -> None:
    assert first_fault([row], whose) is fault


def test_first_row_that_does_not_fit_is_reported() -> None:
    rows = [*([call(15)] * 5), call(30), call(15, EMMAS)]
    assert first_fault(rows, known(HELD)) is ReleaseFault.NOT_AT_THAT_TIME
    assert first_fault(rows[:5], known(HELD)) is None
    assert first_fault([], known()) is None


def test_what_is_no_number_is_nobodys() -> None:
    assert known(HELD).fault(Match(BY_PHONE, "1001")) is ReleaseFault.NOT_THEIRS


def test_every_fault_has_a_sentence() -> None:
    assert all(fault.sentence for fault in ReleaseFault)


def assigned(since: int, until: int | None) -> list[Match]:
    """A row that says that a number is theirs for that time; by the address it is theirs."""
    held = [Match(ASSIGNED, NUMBER, day(since)), Match(ASSIGNED, NUMBER, None if until is None else day(until))]
    return [Match(BY_EMAIL, ADDRESS), *held]


@pytest.mark.parametrize(
    ("others", "fault"),
    [((), None), (((day(0), day(10)),), None), (((day(15), day(16)),), ReleaseFault.ANOTHER_HOLDER)],
)
def test_number_of_another_holder_is_not_handed_out(others: tuple[TimeSpan, ...], fault: ReleaseFault | None) -> None:
    assert first_fault([[Match(BY_EMAIL, ADDRESS)], assigned(10, 20)], known(others=others)) is fault
    assert first_fault([assigned(10, None)], known(others=((day(99), day(200)),))) is ReleaseFault.ANOTHER_HOLDER


def test_shared_identity_needs_another_identity_of_the_subject() -> None:
    owned = replace(
        known(HELD), shared=frozenset({(BY_EMAIL.value, ADDRESS)}), names=frozenset({name_words("Ada Lovelace")})
    )
    alone, account = [Match(BY_EMAIL, ADDRESS)], Match(IdentityType.ACCOUNT_ID, "C1")
    assert first_fault([alone], known(HELD)) is None
    assert first_fault([alone], owned) is ReleaseFault.SHARED_IDENTIFIER
    assert first_fault([[*alone, account]], owned) is ReleaseFault.SHARED_IDENTIFIER
    assert first_fault([[*alone, Match(IdentityType.NAME, "Bob Lovelace")]], owned) is ReleaseFault.SHARED_IDENTIFIER
    assert first_fault([[*alone, Match(IdentityType.NAME, "LOVELACE, Áda")]], owned) is None
    theirs = replace(owned, values={*owned.values, (IdentityType.ACCOUNT_ID.value, "C1")})
    assert first_fault([[*alone, account]], theirs) is None
    assert first_fault([[*alone, account], alone], theirs) is ReleaseFault.SHARED_IDENTIFIER
