"""A number is searched in the periods alone that the register vouches for to whoever asks, whatever anybody states."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.assignments import AssignedNumber, Assignment, AssignmentInDoubt, Line, Register
from shared.domain.errors import Misconfigured
from shared.domain.identities import Identity, IdentityType
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.finding.attribution import attribute
from shared.downstreams.sql.finding.search_keys import Coverage, SearchKey, wall_clock, wanted
from shared.downstreams.sql.statements import Statements
from shared.fulfilment.assignments import rows_of

NUMBER = "+493023125077"
ADA, BEN = "C1", "C2"


def at(number: int) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=number)


def day(number: int | None) -> datetime | None:
    return None if number is None else at(number)


def fingerprint(identity: Identity) -> bytes:
    return hashlib.sha256(f"{identity.type} {identity.value}".encode()).digest()


def holder(namespace: str, account: str) -> bytes:
    return hashlib.sha256(f"{namespace} {account}".encode()).digest()


def phone(
    since: int | None = None, until: int | None = None, source: str = "requester", proved: int | None = None
) -> Identity:
    return Identity(IdentityType.PHONE, NUMBER, day(since), day(until), source, day(proved))


def account(code: str, source: str = "crm") -> Identity:
    return Identity(IdentityType.ACCOUNT_ID, code, source=source)


def register(*rows: tuple[str, int, int | None], namespace: str = "crm") -> Register:
    assignments = [
        Assignment(fingerprint(phone()), holder("crm", code), at(since), day(until)) for code, since, until in rows
    ]
    return Register(namespace, {fingerprint(phone()): assignments} if rows else {}, fingerprint, holder)


def periods(identities: Sequence[Identity]) -> list[tuple[datetime | None, datetime | None]]:
    return [(i.valid_from, i.valid_to) for i in identities if i.type is IdentityType.PHONE]


@pytest.mark.parametrize(
    ("stated", "narrowed"),
    [
        ([phone(10, 15)], "narrowed"),
        ([phone(12)], "narrowed"),
        ([phone(10, 20)], ""),
        ([phone(5, 40)], ""),
        ([phone()], ""),
        ([phone(10, 15), phone(15)], ""),
        ([phone(10, 15, source="crm")], ""),
    ],
)
def test_it_is_noticed_where_their_own_dates_leave_out_a_time_at_which_a_number_is_vouched_for_to_them(
    stated: list[Identity], narrowed: str
) -> None:
    assert register((ADA, 10, 20)).narrowed([account(ADA), *stated]) is bool(narrowed)


def test_a_doubt_in_the_time_that_their_own_dates_leave_out_is_not_hidden() -> None:
    assert register((ADA, 10, 20), (BEN, 18, None)).narrowed([account(ADA), phone(10, 15)])


THEN_BENS = (ADA, 10, 20), (BEN, 30, None)


@pytest.mark.parametrize(
    ("stated", "rows", "vouched"),
    [
        pytest.param([phone()], [(ADA, 10, 20)], [(10, 20)], id="no period stated"),
        pytest.param([phone(0)], [(ADA, 10, 20)], [(10, 20)], id="stated from too early on"),
        pytest.param([phone(0, 99)], THEN_BENS, [(10, 20)], id="stated beyond the end, into another holder's time"),
        pytest.param([phone(12, 14)], [(ADA, 10, 20)], [(12, 14)], id="a word narrows"),
        pytest.param([phone(12), phone(11, 13)], [(ADA, 10, 20)], [(11, 20)], id="two words that overlap"),
        pytest.param([phone(30)], THEN_BENS, [], id="another's time alone"),
        pytest.param([phone(20, 30)], THEN_BENS, [], id="nobody's time"),
        pytest.param([phone(10)], [(BEN, 0, None)], [], id="never theirs"),
        pytest.param([phone(10)], [], [], id="unknown to the register"),
        pytest.param([phone(None, 15)], [(ADA, 10, None)], [(10, 15)], id="stated until alone"),
        pytest.param([phone(5, None, "crm")], [(ADA, 10, None)], [(10, None)], id="a locate creates no assignment"),
        pytest.param([phone()], [(ADA, 0, 10), (ADA, 20, None)], [(0, 10), (20, None)], id="had it twice"),
        pytest.param([phone()], [(ADA, 0, 10), (ADA, 10, None)], [(0, None)], id="periods that touch"),
        pytest.param([phone(proved=10)], [], [(10, None)], id="proved, and unknown to the register"),
        pytest.param([phone(5, 20, proved=10)], [(BEN, 0, 5)], [(10, 20)], id="proved after another's time"),
        pytest.param([phone(proved=15)], [(ADA, 10, 20)], [(10, None)], id="proved beyond what is registered"),
    ],
)
def test_a_word_only_narrows_what_the_register_says(
    stated: list[Identity], rows: Sequence[tuple[str, int, int | None]], vouched: list[tuple[int, int | None]]
) -> None:
    known = register(*rows).vouched([account(ADA), *stated])
    assert periods(known) == [(day(since), day(until)) for since, until in vouched]
    assert account(ADA) in known


@pytest.mark.parametrize(
    ("known", "rows", "doubt"),
    [
        ([account(ADA), phone()], [(ADA, 0, 20), (BEN, 10, None)], "somebody else too"),
        ([phone(12)], THEN_BENS, "which holder"),
        ([account(ADA, "requester"), phone(12)], THEN_BENS, "which holder"),
        ([account(ADA, "billing"), phone(12)], THEN_BENS, "which holder"),
        ([phone(proved=35)], THEN_BENS, "somebody else too"),
        ([account(ADA), phone(proved=15)], THEN_BENS, "somebody else too"),
    ],
)
def test_where_the_register_leaves_a_doubt_nothing_is_touched(
    known: list[Identity], rows: Sequence[tuple[str, int, int | None]], doubt: str
) -> None:
    with pytest.raises(AssignmentInDoubt, match=doubt):
        register(*rows).vouched(known)


def test_a_line_that_several_people_use_vouches_to_none_of_them_and_its_proof_is_a_doubt() -> None:
    shared = Assignment(fingerprint(phone()), holder("crm", ADA), at(0), None, Line.SHARED)
    known = Register("crm", {fingerprint(phone()): [shared]}, fingerprint, holder)
    assert known.vouched([account(ADA), phone(3)]) == (account(ADA),)
    assert known.vouched([account(ADA), phone(proved=3)]) == (account(ADA),)
    with pytest.raises(AssignmentInDoubt, match="somebody else too"):
        known.vouched([account(BEN), phone(proved=3)])


def test_a_line_that_several_people_use_is_its_subscribers_to_be_billed_for_as_long_as_nobody_else_held_it() -> None:
    of = fingerprint(phone())
    lines = [Assignment(of, holder("crm", ADA), at(0), at(9), Line.SHARED), Assignment(of, holder("crm", BEN), at(6))]
    known = Register("crm", {of: lines}, fingerprint, holder)
    assert [(i.valid_from, i.valid_to) for i in known.subscribed([account(ADA), phone(3)])] == [(at(3), at(6))]
    assert known.subscribed([account(BEN), phone()]) == known.subscribed([phone(proved=0)]) == ()
    assert Register().subscribed([account(ADA), phone()]) == ()


def test_an_overlap_outside_what_is_asked_is_no_doubt() -> None:
    known = register((ADA, 0, 20), (BEN, 10, None)).vouched([account(ADA), phone(0, 10)])
    assert periods(known) == [(day(0), day(10))]


def test_a_register_that_nobody_has_filled_vouches_for_nothing_but_what_was_proved() -> None:
    assert register(namespace="").vouched([account(ADA), phone(3)]) == (account(ADA),)
    assert periods(register(namespace="").vouched([account(ADA), phone(3, proved=5)])) == [(day(5), None)]


_days = st.integers(0, 40)
_spans = st.tuples(_days, st.none() | _days).filter(lambda span: span[1] is None or span[0] < span[1])
_stated = st.just((None, None)) | st.tuples(_days, st.none()) | st.tuples(st.none(), _days) | _spans


@given(
    st.lists(st.tuples(st.sampled_from([ADA, BEN]), _spans), max_size=5),
    st.lists(st.tuples(_stated, st.sampled_from(["requester", "crm", "ticketing"])), min_size=1, max_size=4),
    st.none() | _days,
)
def test_every_moment_that_is_searched_is_vouched_for_to_this_person_and_to_nobody_else(
    rows: list[tuple[str, tuple[int, int | None]]],
    stated: list[tuple[tuple[int | None, int | None], str]],
    proved: int | None,
) -> None:
    known = [account(ADA), *(phone(*period, source, proved) for period, source in stated)]
    try:
        vouched = register(*((code, *span) for code, span in rows)).vouched(known)
    except AssignmentInDoubt:
        return
    narrowed = [period for period, source in stated if source == "requester" and period != (None, None)]

    def covers(since: int | None, until: int | None, number: int) -> bool:
        return (since is None or since <= number) and (until is None or number < until)

    for moment in range(-1, 42):
        theirs = any(code == ADA and covers(*span, moment) for code, span in rows)
        asked = not narrowed or any(covers(*period, moment) for period in narrowed)
        at = day(moment)
        assert at is not None
        searched = any(
            (since is None or since <= at) and (until is None or at < until) for since, until in periods(vouched)
        )
        assert searched == (asked and (theirs or (proved is not None and proved <= moment)))
        assert not (searched and any(code == BEN and covers(*span, moment) for code, span in rows))


# A file of assignments: what it says, and the line that cannot be used, without what stands in it.
HEADER = "number,account_id,valid_from,valid_to,line\n"
JANUARY, MARCH = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)


def test_a_file_says_whose_each_number_is(tmp_path: Path) -> None:
    file = tmp_path / "numbers.csv"
    file.write_text(
        f"{HEADER}+442079460000,C1,2025-01-01T00:00:00Z,2025-03-01T01:00:00+01:00,personal\n"
        "sip:Ada@PBX.example.org,C2,2025-01-01T00:00:00+00:00,,shared\n"
    )
    assert list(rows_of(file)) == [
        AssignedNumber(Identity(IdentityType.PHONE, "+442079460000", JANUARY, MARCH), "C1"),
        AssignedNumber(Identity(IdentityType.SIP_URI, "sip:Ada@pbx.example.org", JANUARY), "C2", Line.SHARED),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("number;account\n", "the first line must be number,account_id,valid_from,valid_to,line"),
        ("", "the first line must be"),
        (f"{HEADER}4420794,C1,2025-01-01T00:00:00Z,,personal\n", "line 2: not a"),
        (f"{HEADER}+442079460000,C1,2025-01-01,,personal\n", "line 2: a time, a line or a field"),
        (f"{HEADER}+442079460000,C1,soon,,personal\n", "line 2: a time"),
        (f"{HEADER}+442079460000,C1,2025-01-01T00:00:00Z,2024-01-01T00:00:00Z,personal\n", "line 2: a time"),
        (f"{HEADER}+442079460000,C1,2025-01-01T00:00:00Z,,both\n", "line 2: a time"),
        (f"{HEADER}+442079460000,C1\n", "line 2: a time"),
        (f"{HEADER}+442079460000,,2025-01-01T00:00:00Z,,personal\n", "line 2: not an account id"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_not_repeated(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "numbers.csv"
    file.write_text(text)
    with pytest.raises(Misconfigured) as caught:
        list(rows_of(file))
    assert says in str(caught.value)
    assert "4420794" not in str(caught.value)


# Whether a row's time lies in the period of a number, by the clock of the store.
@pytest.mark.parametrize(
    ("moment", "until", "since"),
    [
        # 25 October 2026: at 03:00 summer time clocks go back to 02:00, and calls of that hour cannot be told apart.
        ("2026-10-24T23:59:00", "2026-10-25T01:59:00", "2026-10-25T01:59:00"),
        ("2026-10-25T00:30:00", "2026-10-25T02:00:00", "2026-10-25T03:00:00"),
        ("2026-10-25T01:30:00", "2026-10-25T02:00:00", "2026-10-25T03:00:00"),
        ("2026-10-25T02:00:00", "2026-10-25T03:00:00", "2026-10-25T03:00:00"),
        ("2026-03-29T01:00:00", "2026-03-29T03:00:00", "2026-03-29T03:00:00"),
        ("2026-07-01T10:00:00", "2026-07-01T12:00:00", "2026-07-01T12:00:00"),
    ],
)
def test_in_the_hour_that_autumn_repeats_a_call_that_may_be_anothers_is_nobodys(
    moment: str, until: str, since: str
) -> None:
    utc, zone = datetime.fromisoformat(moment).replace(tzinfo=UTC), ZoneInfo("Europe/Madrid")
    assert wall_clock(utc, zone, earliest=True).isoformat() == until
    assert wall_clock(utc, zone, earliest=False).isoformat() == since


def test_a_period_is_half_open_and_tells_all_none_and_some_apart() -> None:
    january, march, may = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 5))
    key = SearchKey(IdentityType.PHONE, "+34688886392", january, march)
    assert key.covers(january, january) is Coverage.INSIDE
    assert key.covers(march, march) is Coverage.OUTSIDE
    assert key.covers(march, may) is Coverage.OUTSIDE
    assert key.covers(january, march) is Coverage.STRADDLES
    assert key.covers(None, None) is Coverage.OUTSIDE
    assert SearchKey(IdentityType.EMAIL, "a@example.org").covers(None, None) is Coverage.INSIDE


# Whose rows are, where a number changed hands: the worked example of ``attribute``, row by row.
REASSIGNED = "+34688886392"
TABLE = Table.model_validate(
    {
        "category": "call",
        "primary_key": ["at"],
        "occurred": {"column": "at"},
        "columns": {"at": {"class": "T"}, "number": {"class": "A", "identity": "phone"}},
    }
)


def of_2025(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "rows", "strays", "mixed"),
    [
        ("01-02", "01-09", {0: 7}, set(), set()),
        ("01-05", "03-02", {}, {0, 1}, {0, 1}),
        ("02-01", "02-20", {}, {0, 1}, set()),
        ("03-05", "03-20", {1: 7}, set(), set()),
    ],
)
@pytest.mark.parametrize("held_twice", [False, True])
def test_rows_count_for_the_holder_of_their_time(
    first: str, last: str, rows: dict[int, int], strays: set[int], mixed: set[int], *, held_twice: bool
) -> None:
    until, since = (
        SearchKey(IdentityType.PHONE, REASSIGNED, None, of_2025("01-10"), table="call"),
        SearchKey(IdentityType.PHONE, REASSIGNED, of_2025("03-01"), table="call"),
    )
    later = (
        [SearchKey(IdentityType.PHONE, REASSIGNED, of_2025("11-01"), table="call")] if held_twice else []
    )  # in which order makes no difference
    statements = Statements("public", "call", TABLE, Relation({}, ()))
    asked = wanted([[until, *later], [*later, since]], statements.slots)
    found = attribute([(REASSIGNED, 7, of_2025(first), of_2025(last))], statements, asked)  # type: ignore[list-item]
    assert (found.rows, found.strays, found.mixed) == (rows, strays, mixed)
