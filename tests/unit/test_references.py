"""Deletes rows in the order of foreign keys, and reports cycles."""

from collections.abc import Mapping
from pathlib import Path

import asyncmy
import asyncpg
import pytest

from shared.domain.errors import DsrError, Misconfigured, SignInRefused, SystemRefused, Unavailable
from shared.domain.identities import IdentityType
from shared.systems.engine.account_claims import RowIdentity
from shared.systems.engine.ownership import OwnedRecord, party_identities
from shared.systems.engine.records import Record
from shared.systems.sql import mariadb, values
from shared.systems.sql.catalog import DatasetOutdated, ForeignKey, deletion_order, is_within_one_person
from shared.systems.sql.dataset import Dataset
from shared.systems.sql.mariadb import Address
from shared.systems.sql.notes import schema_for
from shared.systems.sql.postgresql import translated
from shared.systems.sql.server import is_mariadb
from shared.systems.sql.tables import StoreTable
from tests.fixtures.shapes import tables_of

TABLE = {"category": "x", "primary_key": ["id"], "columns": {"id": {"class": "A", "identity": "email"}}}
DATASET = Dataset.model_validate({"name": "some", "tables": dict.fromkeys(("a", "b", "c"), TABLE)})


def key(ends: str, action: str = "a", *, deferrable: bool = False, nullable: bool = False) -> ForeignKey:
    """A foreign key, from the first to the second of two tables."""
    child, parent = (*ends,)
    return ForeignKey(ends, ("public", child), ("public", parent), ("x",), ("id",), action, deferrable, nullable)


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
def test_referring_rows_go_first(keys: list[ForeignKey], order: str, deferred: str, emptied: str) -> None:
    found = deletion_order(DATASET, "public", keys)
    assert "".join(found.order) == order
    assert ["".join(k.name for k in some) for some in (found.deferred, found.emptied)] == [deferred, emptied]


def test_a_circle_that_nothing_opens_is_refused_with_what_to_change() -> None:
    with pytest.raises(
        DatasetOutdated, match=r"a to b \(ab\), b to a \(ba\); make one of these foreign keys DEFERRABLE"
    ):
        deletion_order(DATASET, "public", (key("ab"), key("ba", "c", deferrable=True)))


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
    ids=["the same", "taken along", "let go", "another kind", "no identity", "unowned"],
)
def test_referred_rows_are_of_one_person(child: str | None, parent: str | None, action: str, *, same: bool) -> None:
    def table(name: str, found_by: str | None) -> dict[str, object]:
        held = {"class": "A"} | ({"identity": found_by} if found_by else {})
        columns = {"id": {"class": "T"}, name: held, "mail": {"class": "A", "identity": "email"}}
        return {"category": "x", "primary_key": ["id"], "columns": columns}

    tables = Dataset.model_validate(
        {"name": "some", "tables": {"a": table("x", child), "b": table("y", parent)}}
    ).tables
    names = {("public", name): name for name in "ab"}
    refers = ForeignKey("ab", ("public", "a"), ("public", "b"), ("x",), ("y",), action)
    assert is_within_one_person(refers, names, tables) is same


# Errors of a SQL store become a retry, or a remedy for our connection.
@pytest.mark.parametrize(
    ("raised", "failure", "says"),
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
def test_refused_login_needs_review_and_outages_wait(raised: Exception, failure: type[DsrError], says: str) -> None:
    with pytest.raises(failure, match=says) as refused, translated("orders"):
        raise raised
    assert type(refused.value) is failure


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
"""
ROW = {
    "id": 1,
    "email": "Anna@Example.org",
    "code": b"C1",
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
    ],
)
def test_compared_identity_has_the_same_bytes(tmp_path: Path, column: str, loose: set[str], compared: str) -> None:
    table = tables_of(dataset(tmp_path, TEXT), dict.fromkeys(loose, "citext"))["customer"]
    assert values.compared(table.table, table.relation, column, ROW) == compared
    assert values.compared(table.table, table.relation, column, dict.fromkeys(ROW)) is None


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


def test_another_database_is_not_counted() -> None:
    with pytest.raises(Misconfigured, match="mariadb:// URL"):
        is_mariadb("sqlite:///shop.db")


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
belongs_to = [{ table = "requester", on = { rid = "rid" } }]
columns = { id = { class = "M" }, rid = { class = "T" } }
"""


def test_a_row_says_whom_it_is_about_as_what_leads_to_it_does(tmp_path: Path) -> None:
    tables = tables_of(dataset(tmp_path, DESK))
    row = {"rid": "1", "mail": "Ben@Example.com", "account": "A-5", "name": "Ben", "tel": "+491"}
    asks = OwnedRecord(recorded(tables["requester"], row), frozenset({None}))
    wrote = OwnedRecord(recorded(tables["thread"], {"id": "7", "rid": "1"}), frozenset({None}), ((0, asks),))
    mail = RowIdentity(IdentityType.EMAIL, "ben@example.com")
    account = RowIdentity(IdentityType.ACCOUNT_ID, "A-5")
    others = {RowIdentity(IdentityType.NAME, "Ben"), RowIdentity(IdentityType.PHONE, "+491")}
    assert [{*each} for each in party_identities(asks)] == [{mail, account} | others]
    assert [{*each} for each in party_identities(wrote)] == [
        {mail, account} | others - {RowIdentity(IdentityType.NAME, "Ben")}
    ]


def recorded(table: StoreTable, row: Mapping[str, object]) -> Record:
    """A row of a table as a record."""
    return table.record(row, (), data=False)


# A MariaDB that goes away while a connection to it is made.


async def test_socket_that_closes_while_connecting_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def closed(**_: object) -> None:
        raise RuntimeError("Transport does not expose socket instance")

    monkeypatch.setattr(asyncmy, "connect", closed)
    with pytest.raises(OSError, match="does not expose socket"):
        await mariadb.opened(Address("127.0.0.1", 1, "u", "d", password="p"), 1)
