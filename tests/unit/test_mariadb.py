"""MariaDB behind a dataset: what is read of a row, what a connection string says, and what is refused by name."""

from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.downstreams.claims import Said
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.dialects import schema_for
from shared.downstreams.sql.finding import searching as finding
from shared.downstreams.sql.finding.claimed import said_by
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.connection import Address
from shared.downstreams.sql.mariadb.judging import told_of
from shared.downstreams.sql.mariadb.rows import Found
from shared.downstreams.sql.mariadb.unsupported import refuse_unsupported
from shared.downstreams.sql.scheme import is_mariadb

TEXT = """
name = "shop"
[tables.customer]
category = "account"
primary_key = ["id"]
[tables.customer.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
code = { class = "A", identity = "account_id" }
phone = { class = "A", identity = "phone", match = "digits" }
sip = { class = "A", identity = "sip_uri", domain = "host" }
host = { class = "M" }
blanks = { class = "A", identity = "email", match = "trimmed" }
"""
ROW = {
    "id": 1,
    "email": "Anna@Example.org",
    "code": b"C1",
    "phone": "+34 688-886",
    "sip": "anna",
    "host": "Voice.Example",
    "blanks": " Anna@x ",
}


def dataset(tmp_path: Path, text: str) -> Dataset:
    (tmp_path / "shop.toml").write_text(text)
    return Dataset.load(str(tmp_path / "shop.toml"))


@pytest.mark.parametrize(
    ("column", "loose", "compared"),
    [
        ("email", {"email"}, "anna@example.org"),
        ("email", set(), "Anna@Example.org"),
        ("code", {"code"}, "C1"),
        ("phone", set(), "+34688886"),
        ("sip", set(), "sip:anna@voice.example"),
        ("blanks", set(), "anna@x"),
    ],
)
def test_what_is_compared_with_an_identity_is_the_same_bytes_whatever_the_collation(
    tmp_path: Path, column: str, loose: set[str], compared: str
) -> None:
    relation = Relation(dict.fromkeys(ROW, "text"), frozenset(loose))
    table = Searched("shop", "customer", dataset(tmp_path, TEXT).tables["customer"], relation)
    assert values.compared(table, column, ROW) == compared
    assert values.compared(table, column, dict.fromkeys(ROW)) is None


@pytest.mark.parametrize(
    ("path", "text", "place"),
    [
        (("who", "nick"), "an", '$."who"."nick"'),
        (("list", "1"), "b", '$."list"[1]'),
        (("list", "-1"), "b", '$."list"[1]'),
        (("1",), "2.5", '$."1"'),
        (("null",), None, '$."null"'),
        (("who", "none"), None, None),
        (("who", "nick", "x"), None, None),
        (('a"b',), "true", '$."a\\"b"'),
    ],
)
def test_a_part_of_a_document_is_told_from_one_that_is_null_and_from_one_that_is_not_there(
    path: tuple[str, ...], text: str | None, place: str | None
) -> None:
    document = '{"who": {"nick": "an"}, "list": ["a", "b"], "1": 2.5, "null": null, "a\\"b": true}'
    assert (values.part(document, path), values.place(document, path)) == (text, place)


def test_a_document_that_is_none_has_no_parts() -> None:
    assert values.part("not json", ("who",)) is None
    assert values.place(None, ("who",)) is None


def test_a_connection_string_says_who_and_where() -> None:
    address = Address.of("mariadb://u%40x:p%2Fw@db.example:3307/shop?ssl=true")
    assert (address.host, address.port, address.user, address.database) == ("db.example", 3307, "u@x", "shop")
    assert (address.password, address.tls is not None) == ("p/w", True)
    assert "p/w" not in repr(address)
    assert is_mariadb("mysql://a@b/c")
    assert "GRANT REFERENCES ON *.* TO 'o''x'@'%'" in schema_for("mysql://o%27x@b/c")


@pytest.mark.parametrize("wrong", ["mariadb://db/shop", "mariadb://u@db", "mariadb://u@db:x/s", "mysql://u@db/s?tls=1"])
def test_a_connection_string_that_does_not_is_refused(wrong: str) -> None:
    with pytest.raises(Misconfigured, match="connection string"):
        Address.of(wrong)


def test_another_database_is_none_of_ours() -> None:
    with pytest.raises(Misconfigured, match="mariadb:// URL"):
        is_mariadb("sqlite:///shop.db")


def test_everything_that_is_not_carried_out_is_refused_by_name_at_once(tmp_path: Path) -> None:
    text = TEXT.replace(
        'primary_key = ["id"]\n',
        'primary_key = ["id"]\n'
        'marketing = { table = "list", on = { customer = "id" } }\n'
        'anchors = { event_time = { column = "at" } }\n'
        'stated = true\noccurred = { column = "at" }\n',
    ).replace('host = { class = "M" }', 'host = { class = "M" }\nat = { class = "M" }')
    side = '[restriction]\ntable = "r"\nnumber = "n"\nvalid_from = "f"\nvalid_to = "t"\nrequest = "q"\n'
    with pytest.raises(Misconfigured) as refused:
        refuse_unsupported(dataset(tmp_path, text + side))
    said = [fault.says.partition(", which")[0] for fault in refused.value.faults]
    assert said == [
        "the dataset has a [restriction] beside the data",
        "table customer has stated",
        "table customer has marketing by rows of another table",
    ]


DESK = """
name = "desk"
[tables.requester]
category = "requester"
primary_key = ["rid"]
[tables.requester.columns]
rid = { class = "T" }
mail = { class = "A", identity = "email", match = "lower", yields = true }
account = { class = "A", identity = "account_id", yields = true }
name = { class = "A", identity = "name" }
tel = { class = "A", rectifies = "phone" }
[tables.thread]
category = "ticket"
primary_key = ["id"]
via = [{ table = "requester", on = { rid = "rid" } }]
columns = { id = { class = "M" }, rid = { class = "T" } }
"""


def test_a_row_says_whom_it_is_about_as_what_leads_to_it_does_in_both_kinds_of_store(tmp_path: Path) -> None:
    tables = dataset(tmp_path, DESK).tables
    relation = Relation(dict.fromkeys(("rid", "mail", "account", "name", "tel", "id"), "text"), frozenset())
    requester = Searched("desk", "requester", tables["requester"], relation)
    way = finding.Path(requester, ())
    thread = Searched("desk", "thread", tables["thread"], relation, paths=(way,))
    asks = Found({"rid": "1", "mail": "Ben@Example.com", "account": "A-5", "name": "Ben", "tel": "+491"}, {None})
    wrote = Found({"id": "7", "rid": "1"}, {None}, {0: [asks]})
    mail = Said(IdentityType.EMAIL, "ben@example.com")
    account = Said(IdentityType.ACCOUNT_ID, "A-5")
    beside = {Said(IdentityType.NAME, "Ben"), Said(IdentityType.PHONE, "+491")}
    assert [{*each} for each in told_of(requester, asks)] == [{mail, account} | beside]
    assert [{*each} for each in told_of(thread, wrote)] == [{mail, account} | beside - {Said(IdentityType.NAME, "Ben")}]
    assert said_by(thread, ["ben@example.com", "A-5"], [None]) == [(mail, account)]
    assert said_by(requester, ["ben@example.com", "A-5"], [None, "callee"]) == [(mail, account), ()]
