"""A number is searched only in periods that the register confirms for the requester, whatever is stated."""

import base64
import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.company import Size, found
from deploy.demo.traces import Seeker, signs
from services.commands.assignments import rows_of
from shared.domain.assignments import (
    AssignedNumber,
    Assignment,
    AssignmentInDoubt,
    ConflictKind,
    Line,
    Register,
    conflicts_of,
)
from shared.domain.errors import Misconfigured
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.policy_files import assignments_policy
from shared.systems.engine.ownership import OwnershipResolver, subject_search, wall_clock
from shared.systems.sql.declaration import Table
from tests.fixtures.downstream import task
from tests.fixtures.shapes import table_of

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


def test_a_doubt_in_the_time_that_their_own_dates_leave_out_is_not_hidden() -> None:
    assert register((ADA, 10, 20), (BEN, 18, None)).narrowed([account(ADA), phone(10, 15)])


THEN_BENS = (ADA, 10, 20), (BEN, 30, None)


@pytest.mark.parametrize(
    ("known", "rows", "doubt"),
    [
        ([account(ADA), phone()], [(ADA, 0, 20), (BEN, 10, None)], "names another holder"),
        ([phone(12)], THEN_BENS, "which holder"),
        ([account(ADA, "requester"), phone(12)], THEN_BENS, "which holder"),
        ([account(ADA, "billing"), phone(12)], THEN_BENS, "which holder"),
        ([phone(proved=35)], THEN_BENS, "names another holder"),
        ([account(ADA), phone(proved=15)], THEN_BENS, "names another holder"),
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
    with pytest.raises(AssignmentInDoubt, match="names another holder"):
        known.vouched([account(BEN), phone(proved=3)])


def test_shared_line_is_its_subscribers_while_no_other_held_it() -> None:
    of = fingerprint(phone())
    lines = [Assignment(of, holder("crm", ADA), at(0), at(9), Line.SHARED), Assignment(of, holder("crm", BEN), at(6))]
    known = Register("crm", {of: lines}, fingerprint, holder)
    assert [(i.valid_from, i.valid_to) for i in known.subscribed([account(ADA), phone(3)])] == [(at(3), at(6))]
    assert known.subscribed([account(BEN), phone()]) == known.subscribed([phone(proved=0)]) == ()
    assert Register().subscribed([account(ADA), phone()]) == ()


def test_an_overlap_outside_what_is_asked_is_no_doubt() -> None:
    known = register((ADA, 0, 20), (BEN, 10, None)).vouched([account(ADA), phone(0, 10)])
    assert periods(known) == [(day(0), day(10))]


def test_empty_register_vouches_only_for_proved_numbers() -> None:
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
def test_every_searched_moment_is_confirmed_for_this_person_only(
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
        # 25 October 2026: at 03:00 summer time clocks go back to 02:00, so calls of that hour are ambiguous.
        ("2026-10-24T23:59:00", "2026-10-25T01:59:00", "2026-10-25T01:59:00"),
        ("2026-10-25T00:30:00", "2026-10-25T02:00:00", "2026-10-25T03:00:00"),
        ("2026-10-25T01:30:00", "2026-10-25T02:00:00", "2026-10-25T03:00:00"),
        ("2026-10-25T02:00:00", "2026-10-25T03:00:00", "2026-10-25T03:00:00"),
        ("2026-03-29T01:00:00", "2026-03-29T03:00:00", "2026-03-29T03:00:00"),
        ("2026-07-01T10:00:00", "2026-07-01T12:00:00", "2026-07-01T12:00:00"),
    ],
)
def test_call_in_the_repeated_autumn_hour_is_nobodys(moment: str, until: str, since: str) -> None:
    utc, zone = datetime.fromisoformat(moment).replace(tzinfo=UTC), ZoneInfo("Europe/Madrid")
    assert wall_clock(utc, zone, earliest=True).isoformat() == until
    assert wall_clock(utc, zone, earliest=False).isoformat() == since


# Whose rows are, where a number changed hands.
REASSIGNED = "+34688886392"
TABLE = Table.model_validate(
    {
        "category": "call",
        "primary_key": ["at"],
        "at": {"happened": "at"},
        "columns": {"at": {"class": "T"}, "number": {"class": "A", "identity": "phone"}},
    }
)


def of_2025(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "whose"),
    [("01-02", [0]), ("01-09", [0]), ("01-10", []), ("02-20", []), ("03-01", [1]), ("03-20", [1]), (None, [])],
)
@pytest.mark.parametrize("held_twice", [False, True])
def test_rows_count_for_the_holder_of_their_time(at: str | None, whose: list[int], *, held_twice: bool) -> None:
    table = table_of("call", TABLE, {"at": "timestamp with time zone"})
    later = [Identity(IdentityType.PHONE, REASSIGNED, of_2025("11-01"))] if held_twice else []
    before = Identity(IdentityType.PHONE, REASSIGNED, of_2025("01-01"), of_2025("01-10"))
    since = Identity(IdentityType.PHONE, REASSIGNED, of_2025("03-01"))
    tasks = [task(Operation.EXPORT, before, *later), task(Operation.EXPORT, *later, since)]  # in either order
    attributor = OwnershipResolver([subject_search(each, [table.shape]) for each in tasks], [table.shape])
    row = {"at": at and of_2025(at), "number": REASSIGNED}
    attributor.add([table.record(row, (), data=False)])
    assert [position for position, each in enumerate(attributor.found) if each.records] == whose


# If a system contradicts the register about the owner of a number, a person decides; a mere delay is ignored.
READ, EDGE = 100, timedelta(days=1)
ANOTHERS, NOBODYS = ConflictKind.ANOTHER_HOLDER, ConflictKind.NOT_IN_REGISTER
Row = tuple[str, int, int | None]


def read_at(moment: int, *rows: Row) -> Register:
    return replace(register(*rows), filled_at=at(moment))


def kinds(known: Register, *identities: Identity) -> list[ConflictKind]:
    return [each.kind for each in conflicts_of(known, [account(ADA), *identities], EDGE)]


CASES: dict[str, tuple[Sequence[Row], Sequence[Identity], list[ConflictKind]]] = {
    "they agree": ([(ADA, 10, 20)], [phone(10, 20, "cdr")], []),
    "the system knows a part of it": ([(ADA, 10, 30)], [phone(15, 20, "cdr")], []),
    "another held it before": ([(BEN, 0, 20), (ADA, 30, None)], [phone(10, None, "cdr")], [ANOTHERS]),
    "unassigned before": ([(ADA, 30, None)], [phone(10, None, "cdr")], [NOBODYS]),
    "never assigned": ([], [phone(10, 20, "cdr")], [NOBODYS]),
    "both are a day apart": ([(BEN, 0, 10), (ADA, 11, None)], [phone(10, None, "cdr")], []),
    "both are more than a day apart": ([(BEN, 0, 10), (ADA, 12, None)], [phone(10, None, "cdr")], [NOBODYS]),
    "it was assigned since the source was read": ([(BEN, 0, 90)], [phone(READ, None, "crm")], []),
    "another still held it when it was read": ([(BEN, 0, None)], [phone(READ, None, "crm")], []),
    "the source itself says otherwise than when it was read": ([(BEN, 0, None)], [phone(50, None, "crm")], [ANOTHERS]),
    "what is asked for is not in dispute": (
        [(BEN, 0, 20), (ADA, 30, None)],
        [phone(10, None, "cdr"), phone(40, 50)],
        [],
    ),
    "only the requester says so": ([(BEN, 0, 20)], [phone(10, 15)], []),
    "a contact without a time": ([(BEN, 0, None)], [phone(None, None, "crm")], []),
    "it was proved since": ([(ADA, 30, None)], [phone(10, None, "cdr"), phone(proved=10)], []),
    "one of two systems is wrong": (
        [(BEN, 0, 20), (ADA, 30, None)],
        [phone(30, None, "crm"), phone(10, None, "cdr")],
        [ANOTHERS],
    ),
}


@pytest.mark.parametrize(("rows", "identities", "expected"), CASES.values(), ids=CASES.keys())
def test_what_contradicts_the_register(
    rows: Sequence[Row], identities: Sequence[Identity], expected: list[ConflictKind]
) -> None:
    assert kinds(read_at(READ, *rows), *identities) == expected


def test_a_line_that_they_share_is_theirs_although_it_vouches_for_nothing() -> None:
    known = read_at(READ, (ADA, 10, 20))
    shared = [replace(row, line=Line.SHARED) for row in known.of(phone())]
    assert kinds(replace(known, assignments={fingerprint(phone()): shared}), phone(10, 20, "cdr")) == []


def test_empty_register_contradicts_no_system() -> None:
    assert kinds(register(namespace=""), phone(10, 20, "cdr")) == []


def test_what_a_person_has_settled_is_no_conflict_any_more() -> None:
    known = read_at(READ, (BEN, 0, 20))
    [conflict] = conflicts_of(known, [account(ADA), phone(10, 20, "cdr")], EDGE)
    claim = (conflict.number, conflict.system, conflict.valid_from, conflict.valid_to)
    assert kinds(replace(known, settled={claim}), phone(10, 20, "cdr"), phone(11, 20, "cdr")) == [ANOTHERS]


def test_the_policy_that_ships_takes_a_day_for_the_same_change_of_holder() -> None:
    assert assignments_policy().differences.edge == EDGE


_day = st.integers(0, 60)
_period = st.tuples(_day, st.none() | _day).filter(lambda p: p[1] is None or p[0] < p[1])
_rows = st.lists(st.tuples(st.sampled_from([ADA, BEN]), _period).map(lambda r: (r[0], *r[1])), max_size=4)


@given(rows=_rows, said=st.lists(st.tuples(st.sampled_from(["crm", "cdr"]), _period), max_size=3))
def test_systems_change_nothing_vouched_for(rows: list[Row], said: list[tuple[str, tuple[int, int | None]]]) -> None:
    known = read_at(READ, *rows)
    stated = [phone(since, until, source) for source, (since, until) in said]
    conflicts = {(c.system, c.valid_from, c.valid_to) for c in conflicts_of(known, [account(ADA), *stated], EDGE)}
    try:
        vouched = known.vouched([account(ADA), *stated, phone()])
    except AssignmentInDoubt:
        return
    assert vouched == known.vouched([account(ADA), phone()])
    periods = [(i.valid_from, i.valid_to) for i in vouched if i.type is IdentityType.PHONE]
    for source, (since, until) in said:
        last = READ if until is None else until
        days = [n for n in range(since, last) if not any(s <= at(n) and (u is None or at(n) < u) for s, u in periods)]  # type: ignore[operator]
        in_a_row = any(n + 1 in days for n in days)  # more than a day
        assert ((source, at(since), day(until)) in conflicts) == in_a_row


# The demonstration finds people wherever they are written, in any spelling, and never takes one for another.
NUMBER_CONFLICTS, MAIL = "+493023000001", "ada.lovelace@example.com"
LUCIA = {"lucía ferrer vidal", "lucia.ferrer@example.com", "34688886392", "346 888 863 92", "c100101", "198.18.0.101"}


@pytest.fixture
def seeker() -> Seeker:
    return Seeker({"lucia": LUCIA, "ana": {"silva@example.com"}})


@pytest.mark.parametrize(
    "text",
    [
        "LUCÍA FERRER VIDAL",
        "mail to Lucia.FERRER@Example.com, please",
        "+34688886392",
        "0034688886392",
        "00034688886392",
        "34688886392",
        "call +346 888 863 92 back",
        "phone-log-34688886392.txt",
        "ed84761d6a1eae5d@198.18.0.101",
        "contract C100101.",
    ],
)
def test_a_person_is_found_in_every_spelling(seeker: Seeker, text: str) -> None:
    assert seeker.who(text) == {"lucia"}


@pytest.mark.parametrize(
    "text",
    ["ana.silva@example.com", "+346888863921", "C1001011", "198.18.0.1011", "c100101@example.com", "Lucía Ferrer"],
)
def test_text_that_only_contains_a_sign_is_another_person(seeker: Seeker, text: str) -> None:
    assert seeker.who(text) == set()


def test_lines_are_found_in_bytes_whatever_their_case(seeker: Seeker) -> None:
    text = "1\tLUCÍA FERRER VIDAL\n2\tnobody\n3\tlucía ferrer vidal\n4\tLucia.Ferrer@example.com".encode()
    assert [line[0] for line in seeker.of_interest(text, b"\n")] == ["1", "3", "4"]


def test_a_database_file_is_searched_by_table(seeker: Seeker, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.execute("CREATE TABLE journal (params text)")
        connection.execute("INSERT INTO journal VALUES ('{''phone'': ''+34688886392''}'), ('nothing')")
        connection.commit()
    seeker.in_sqlite(tmp_path / "db")
    assert seeker.found == {"lucia": {"journal": 1}}


def test_a_file_is_searched_by_its_name_too(seeker: Seeker, tmp_path: Path) -> None:
    (tmp_path / "log-34688886392.txt").write_text("nothing")
    (tmp_path / "other.txt").write_text("nothing")
    seeker.in_files(tmp_path)
    assert seeker.found == {"lucia": {"log-34688886392.txt": 1}}


def test_what_two_people_share_is_a_sign_of_neither() -> None:
    company = found(Size(customers=900, calls=1_000, tickets=100))
    pieter, emma = (
        next(
            customer for customer in company.customers if customer.name == name and customer.emails[0].startswith(mail)
        )
        for name, mail in (("Pieter de Vries", "pieter.devries@"), ("Emma Jansen", "emma.jansen@post.example.org"))
    )
    (shared,) = {phone.number for phone in pieter.phones} & {phone.number for phone in emma.phones}
    assert shared[1:] not in signs(pieter, company.customers) | signs(emma, company.customers)
    assert "31207940381" in signs(pieter, company.customers)


HEAPS = [
    b"before +493023000001 after",
    b"mail=ADA.Lovelace@Example.com",
    b"in-ada.lovelace@example.com-ed",
    quote(MAIL, safe="").encode(),
    b"n=%2B493023000001&x=1",
    base64.b64encode(MAIL.encode()),
    base64.b64encode(b"x" + MAIL.encode() + b"tail"),
    base64.b64encode(b"xy" + NUMBER_CONFLICTS.encode()),
    base64.urlsafe_b64encode(b"??>" + NUMBER_CONFLICTS.encode()),
    b"0x" + MAIL.encode().hex().encode(),
    NUMBER_CONFLICTS.encode().hex().upper().encode(),
    quote(f"<{NUMBER_CONFLICTS}>").lower().encode(),
]


@pytest.mark.parametrize(
    ("heap", "who"), [*((heap, {"ada"}) for heap in HEAPS), (b"+493023000002 and grace@example.com", set())]
)
def test_subject_is_found_raw_in_hex_url_encoded_and_base64(heap: bytes, who: set[str], tmp_path: Path) -> None:
    (tmp_path / "heap").write_bytes(heap)
    ada = Seeker({"ada": [NUMBER_CONFLICTS, MAIL]}, encoded=True)
    ada.in_files(tmp_path)
    assert ada.found.keys() == who
