"""The release check maps every row to whoever it is for, by itself; the first row that does not fit is one too many."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.identities import Identity, IdentityType
from shared.domain.release import (
    ASSIGNED,
    Fault,
    Known,
    Match,
    Span,
    first_fault,
    proved_of,
    read_number,
    stated_of,
    values_of,
    words,
)

NUMBER, EMMAS, ADDRESS = "+442079460000", "+442079460999", "ada@example.org"
PHONE, EMAIL = IdentityType.PHONE, IdentityType.EMAIL
MINE, AFTERWARDS = (PHONE.value, NUMBER), (PHONE.value, EMMAS)


def day(number: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


def known(
    theirs: tuple[Span, ...] = (), others: tuple[Span, ...] = (), said: tuple[Identity, ...] = (), at: int = 100
) -> Known:
    identities = (Identity(EMAIL, ADDRESS), Identity(PHONE, NUMBER), Identity(IdentityType.NAME, "Ada"), *said)
    return Known(
        at=day(at),
        values=values_of(identities),
        stated=stated_of(identities),
        theirs={MINE: theirs},
        others={MINE: others},
        proved=proved_of(identities),
    )


def call(at: int | None, number: str = NUMBER) -> list[Match]:
    return [Match(PHONE, number, None if at is None else day(at)), Match(PHONE, EMMAS, None if at is None else day(at))]


HELD = ((day(10), day(20)),)


@pytest.mark.parametrize(
    ("row", "whose", "fault"),
    [
        pytest.param(call(10), known(HELD), None, id="the first moment"),
        pytest.param(call(19), known(HELD), None, id="theirs"),
        pytest.param(call(20), known(HELD), Fault.NOT_AT_THAT_TIME, id="the moment after"),
        pytest.param(call(9), known(HELD), Fault.NOT_AT_THAT_TIME, id="before"),
        pytest.param(call(15), known(), Fault.NOT_AT_THAT_TIME, id="nothing registered"),
        pytest.param(call(15, EMMAS), known(HELD), Fault.NOT_THEIRS, id="another's number"),
        pytest.param(call(15), known(HELD, HELD), Fault.ANOTHER_HOLDER, id="two holders"),
        pytest.param(call(30), known(HELD, ((day(20), day(40)),)), Fault.ANOTHER_HOLDER, id="the next holder's"),
        pytest.param(call(None), known(HELD), Fault.NOT_AT_THAT_TIME, id="the present, when it was theirs no more"),
        pytest.param(call(None), known(HELD, at=12), None, id="the present, while it was theirs"),
        pytest.param([Match(EMAIL, "Ada@Example.org")], known(), None, id="an address in another spelling"),
        pytest.param([Match(EMAIL, "emma@example.org")], known(), Fault.NOT_THEIRS, id="another's address"),
        pytest.param([Match(EMAIL, "no address")], known(), Fault.NOT_THEIRS, id="no address at all"),
        pytest.param([Match(IdentityType.NAME, "Ada")], known(), Fault.NOT_THEIRS, id="a name alone"),
        pytest.param([], known(HELD), Fault.UNTRACED, id="nothing by which it was found"),
        pytest.param(
            call(18),
            known(HELD, said=(Identity(PHONE, NUMBER, day(10), day(15)),)),
            Fault.NOT_AT_THAT_TIME,
            id="beyond what they asked for",
        ),
        pytest.param(
            call(30), known(said=(Identity(PHONE, NUMBER, proved_since=day(30)),)), None, id="proved from then on"
        ),
        pytest.param(
            call(29),
            known(said=(Identity(PHONE, NUMBER, proved_since=day(30)),)),
            Fault.NOT_AT_THAT_TIME,
            id="before it was proved",
        ),
        pytest.param(
            call(15),
            known(said=(Identity(PHONE, NUMBER, day(0), None, "cdr"),)),
            Fault.NOT_AT_THAT_TIME,
            id="a system's word is no assignment",
        ),
    ],
)
def test_row_fits_by_register_or_proof(row: list[Match], whose: Known, fault: Fault | None) -> None:
    assert first_fault([row], whose) is fault


def test_the_first_row_that_does_not_fit_is_told_however_many_do() -> None:
    rows = [*([call(15)] * 5), call(30), call(15, EMMAS)]
    assert first_fault(rows, known(HELD)) is Fault.NOT_AT_THAT_TIME
    assert first_fault(rows[:5], known(HELD)) is None
    assert first_fault([], known()) is None


@pytest.mark.parametrize("written", ["+34688886392", "0034688886392", "00034688886392", "34688886392", "688886392"])
def test_a_number_is_read_as_a_switch_of_its_country_wrote_it(written: str) -> None:
    assert read_number(written, "ES") == "+34688886392"


def test_what_cannot_be_read_stays_as_it_is_and_is_nobodys() -> None:
    assert read_number("1001", "ES") == "1001"
    assert known(HELD).fault(Match(PHONE, "1001")) is Fault.NOT_THEIRS


def test_every_fault_has_a_sentence() -> None:
    assert all(fault.sentence for fault in Fault)


def assigned(since: int, until: int | None) -> list[Match]:
    """A row that says that a number is theirs for that time; by the address it is theirs."""
    held = [Match(ASSIGNED, NUMBER, day(since)), Match(ASSIGNED, NUMBER, None if until is None else day(until))]
    return [Match(EMAIL, ADDRESS), *held]


@pytest.mark.parametrize(
    ("others", "fault"),
    [((), None), (((day(0), day(10)),), None), (((day(15), day(16)),), Fault.ANOTHER_HOLDER)],
)
def test_number_of_another_holder_is_not_handed_out(others: tuple[Span, ...], fault: Fault | None) -> None:
    assert first_fault([[Match(EMAIL, ADDRESS)], assigned(10, 20)], known(others=others)) is fault
    assert first_fault([assigned(10, None)], known(others=((day(99), day(200)),))) is Fault.ANOTHER_HOLDER


def test_what_other_people_have_too_is_theirs_only_with_something_of_theirs_beside_it() -> None:
    mine = replace(known(HELD), shared=frozenset({(EMAIL.value, ADDRESS)}), names=frozenset({words("Ada Lovelace")}))
    alone, account = [Match(EMAIL, ADDRESS)], Match(IdentityType.ACCOUNT_ID, "C1")
    assert first_fault([alone], known(HELD)) is None
    assert first_fault([alone], mine) is Fault.HELD_BY_OTHERS
    assert first_fault([[*alone, account]], mine) is Fault.HELD_BY_OTHERS
    assert first_fault([[*alone, Match(IdentityType.NAME, "Bob Lovelace")]], mine) is Fault.HELD_BY_OTHERS
    assert first_fault([[*alone, Match(IdentityType.NAME, "LOVELACE, Áda")]], mine) is None
    theirs = replace(mine, values={*mine.values, (IdentityType.ACCOUNT_ID.value, "C1")})
    assert first_fault([[*alone, account]], theirs) is None
    assert first_fault([[*alone, account], alone], theirs) is Fault.HELD_BY_OTHERS
