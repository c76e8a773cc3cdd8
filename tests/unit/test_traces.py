"""The demonstration finds people wherever they are written, in any spelling, and never takes one for another."""

import base64
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from deploy.demo.company import Size, found
from deploy.demo.traces import Seeker, signs

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
