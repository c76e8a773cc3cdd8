"""In what order rows go whose tables refer to one another, and where none can go first."""

from pathlib import Path

import asyncmy
import asyncpg
import pytest

from shared.domain.errors import DsrError, Misconfigured, SignInRefused, SystemRefused, Unavailable
from shared.domain.identities import IdentityType
from shared.downstreams.claims import Said
from shared.downstreams.sql.catalog import DatasetOutdated, Relation
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.dialects import schema_for
from shared.downstreams.sql.failures import translated
from shared.downstreams.sql.finding import searching as finding
from shared.downstreams.sql.finding.claimed import said_by
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.mariadb import connection, values
from shared.downstreams.sql.mariadb.connection import Address
from shared.downstreams.sql.mariadb.judging import told_of
from shared.downstreams.sql.mariadb.rows import Found
from shared.downstreams.sql.mariadb.unsupported import refuse_unsupported
from shared.downstreams.sql.references import Reference, arranged, of_one_person
from shared.downstreams.sql.scheme import is_mariadb

TABLE = {"category": "x", "primary_key": ["id"], "columns": {"id": {"class": "A", "identity": "email"}}}
DATASET = Dataset.model_validate({"name": "some", "tables": dict.fromkeys(("a", "b", "c"), TABLE)})


def key(ends: str, action: str = "a", *, deferrable: bool = False, nullable: bool = False) -> Reference:
    """A foreign key, from the first to the second of two tables."""
    child, parent = (*ends,)
    return Reference(ends, ("public", child), child, parent, ("x",), ("id",), action, deferrable, nullable)


@pytest.mark.parametrize(
    ("keys", "order", "deferred", "emptied"),
    [
        ([], "abc", "", ""),
        ([key("cb"), key("ba")], "cba", "", ""),
        ([key("aa")], "abc", "", ""),
        ([key("ab"), key("ba", "n")], "abc", "", ""),
        ([key("ab"), key("ba", deferrable=True, nullable=True)], "abc", "ba", ""),
        ([key("ab"), key("ba", "c", deferrable=True, nullable=True)], "abc", "", "ba"),
        ([key("ab", "r"), key("bc", nullable=True), key("ca", "r")], "cab", "", "bc"),
    ],
)
def test_referring_rows_go_first(keys: list[Reference], order: str, deferred: str, emptied: str) -> None:
    found = arranged(DATASET, tuple(keys))
    assert "".join(found.order) == order
    assert ["".join(k.name for k in some) for some in (found.deferred, found.emptied)] == [deferred, emptied]


def test_a_circle_that_nothing_opens_is_refused_with_what_to_change() -> None:
    with pytest.raises(
        DatasetOutdated, match=r"a to b \(ab\), b to a \(ba\); make one of these foreign keys DEFERRABLE"
    ):
        arranged(DATASET, (key("ab"), key("ba", "c", deferrable=True)))


@pytest.mark.parametrize(
    ("child", "parent", "action", "same"),
    [
        ("account_id", "account_id", "a", True),
        ("account_id", "account_id", "c", True),
        ("account_id", "account_id", "n", False),
        ("email", "account_id", "a", False),
        (None, "account_id", "a", False),
        ("account_id", None, "a", False),
    ],
    ids=["the same", "taken along", "let go", "another kind", "no identity", "of nobody"],
)
def test_referred_rows_are_of_one_person(child: str | None, parent: str | None, action: str, *, same: bool) -> None:
    def table(name: str, found_by: str | None) -> dict[str, object]:
        held = {"class": "A"} | ({"identity": found_by} if found_by else {})
        columns = {"id": {"class": "T"}, name: held, "mail": {"class": "A", "identity": "email"}}
        return {"category": "x", "primary_key": ["id"], "columns": columns}

    tables = Dataset.model_validate(
        {"name": "some", "tables": {"a": table("x", child), "b": table("y", parent)}}
    ).tables
    refers = Reference("ab", ("public", "a"), "a", "b", ("x",), ("y",), action, deferrable=False, nullable=True)
    assert of_one_person(refers, tables) is same


# What a SQL store says is told as what to do: try again later, or correct how we reach it.
@pytest.mark.parametrize(
    ("raised", "told", "says"),
    [
        (asyncpg.InvalidPasswordError("wrong"), SignInRefused, "correct the user or the password"),
        (asyncpg.InvalidAuthorizationSpecificationError("no such role"), SignInRefused, "correct the user"),
        (asyncpg.InvalidCatalogNameError("no such database"), SignInRefused, "no database of that name"),
        (asyncpg.ClientConfigurationError("what?"), SystemRefused, "its connection string cannot be used"),
        (asyncpg.CannotConnectNowError("starting up"), Unavailable, "away or busy"),
        (asyncpg.TooManyConnectionsError("full"), Unavailable, "away or busy"),
        (ConnectionRefusedError(), Unavailable, "away or busy"),
    ],
)
def test_refused_login_needs_review_and_outages_wait(raised: Exception, told: type[DsrError], says: str) -> None:
    with pytest.raises(told, match=says) as refused, translated("orders"):
        raise raised
    assert type(refused.value) is told


# MariaDB behind a dataset: what is read of a row, what a connection string says, and what is refused by name.
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
def test_compared_identity_has_the_same_bytes(tmp_path: Path, column: str, loose: set[str], compared: str) -> None:
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
def test_json_part_differs_from_null_and_missing(path: tuple[str, ...], text: str | None, place: str | None) -> None:
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


# A MariaDB that goes away while a connection to it is made.


async def test_socket_that_closes_while_connecting_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def closed(**_: object) -> None:
        raise RuntimeError("Transport does not expose socket instance")

    monkeypatch.setattr(asyncmy, "connect", closed)
    with pytest.raises(OSError, match="does not expose socket"):
        await connection.opened(connection.Address("127.0.0.1", 1, "u", "d", password="p"), 1)
