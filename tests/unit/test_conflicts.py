"""Where a system contradicts the register about whose a number was, a person looks; where one lags, nobody does."""

import base64
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.company import Size, found
from deploy.demo.traces import Seeker, signs
from shared.domain.assignments import AssignmentInDoubt, Line, Register
from shared.domain.assignments_policy import assignments_policy
from shared.domain.conflicts import Disagreement, conflicts_of
from shared.domain.identities import Identity, IdentityType
from tests.unit.test_assignments import ADA, BEN, account, at, day, fingerprint, phone, register

READ, EDGE = 100, timedelta(days=1)
ANOTHERS, NOBODYS = Disagreement.ANOTHER_HOLDER, Disagreement.NOT_IN_REGISTER
Row = tuple[str, int, int | None]


def read_at(moment: int, *rows: Row) -> Register:
    return replace(register(*rows), filled_at=at(moment))


def kinds(known: Register, *identities: Identity) -> list[Disagreement]:
    return [each.kind for each in conflicts_of(known, [account(ADA), *identities], EDGE)]


CASES: dict[str, tuple[Sequence[Row], Sequence[Identity], list[Disagreement]]] = {
    "they agree": ([(ADA, 10, 20)], [phone(10, 20, "cdr")], []),
    "the system knows a part of it": ([(ADA, 10, 30)], [phone(15, 20, "cdr")], []),
    "another held it before": ([(BEN, 0, 20), (ADA, 30, None)], [phone(10, None, "cdr")], [ANOTHERS]),
    "nobody held it before": ([(ADA, 30, None)], [phone(10, None, "cdr")], [NOBODYS]),
    "nobody ever held it": ([], [phone(10, 20, "cdr")], [NOBODYS]),
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
    "the requester says so, and nobody else": ([(BEN, 0, 20)], [phone(10, 15)], []),
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
    rows: Sequence[Row], identities: Sequence[Identity], expected: list[Disagreement]
) -> None:
    assert kinds(read_at(READ, *rows), *identities) == expected


def test_a_line_that_they_share_is_theirs_although_it_vouches_for_nothing() -> None:
    known = read_at(READ, (ADA, 10, 20))
    shared = [replace(row, line=Line.SHARED) for row in known.of(phone())]
    assert kinds(replace(known, assignments={fingerprint(phone()): shared}), phone(10, 20, "cdr")) == []


def test_a_register_that_nobody_has_filled_contradicts_nobody() -> None:
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
def test_what_is_vouched_for_is_the_same_whatever_systems_say_and_each_time_beyond_it_is_a_conflict(
    rows: list[Row], said: list[tuple[str, tuple[int, int | None]]]
) -> None:
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
NUMBER, MAIL = "+493023000001", "ada.lovelace@example.com"
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
def test_what_only_contains_a_sign_is_somebody_else(seeker: Seeker, text: str) -> None:
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
    base64.b64encode(b"xy" + NUMBER.encode()),
    base64.urlsafe_b64encode(b"??>" + NUMBER.encode()),
    b"0x" + MAIL.encode().hex().encode(),
    NUMBER.encode().hex().upper().encode(),
    quote(f"<{NUMBER}>").lower().encode(),
]


@pytest.mark.parametrize(
    ("heap", "who"), [*((heap, {"ada"}) for heap in HEAPS), (b"+493023000002 and grace@example.com", set())]
)
def test_a_person_and_nobody_else_is_found_raw_in_hex_url_encoded_and_in_base64_at_any_offset(
    heap: bytes, who: set[str], tmp_path: Path
) -> None:
    (tmp_path / "heap").write_bytes(heap)
    ada = Seeker({"ada": [NUMBER, MAIL]}, encoded=True)
    ada.in_files(tmp_path)
    assert ada.found.keys() == who
