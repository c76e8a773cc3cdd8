"""Shares what PostgreSQL and MariaDB have in common: connections, names, and statements with their values."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, TypeVar

from shared.domain.errors import Misconfigured, SystemRefused
from shared.systems.engine.records import Key

if TYPE_CHECKING:
    from shared.systems.sql.catalog import Catalog, ForeignKey, Relation
    from shared.systems.sql.declaration import Column

MARIADB = frozenset({"mariadb", "mysql"})
_POSTGRESQL = frozenset({"postgres", "postgresql"})
"""Schemes of URLs."""

TableName = tuple[str, str]
"""The schema, or the database of a MariaDB, and the name of a table."""
_T = TypeVar("_T")


def is_mariadb(dsn: str) -> bool:
    """Whether it leads to a MariaDB or a MySQL.

    Raises:
        Misconfigured: it leads to no database that we know.
    """
    scheme, separator, rest = dsn.partition("://")
    if not (separator and rest and scheme in MARIADB | _POSTGRESQL):
        raise Misconfigured("holds neither a postgresql:// nor a mariadb:// URL; set it to the store's")
    return scheme in MARIADB


class StoreUnprepared(SystemRefused):
    """A SQL store lacks the tables in which our work is noted together with the work; nothing was changed in it."""

    @classmethod
    def of(cls, system: str) -> Self:
        """Returns the failure of a store without our tables."""
        return cls(
            f"{system}: has no table dsr_platform.progress that this role may write, or no dsr_platform.incarnation"
            " that it may read; let its owner run what `dsr downstreams prepare FILE` prints"
        )


class StoreState(NamedTuple):
    """The state of a store: ``fingerprint`` of its catalogs; ``store``: its ID; ``tables_id``: the ID of its tables.

    Tables restored from a dump or rebuilt are new ones, and the counts in them are lost.
    """

    fingerprint: str
    store: str = ""
    tables_id: str = ""


class Connection(Protocol):
    """One session on the server."""

    async def fetch(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        """Returns the rows of a query."""

    def pages(self, statement: str, values: Sequence[object], size: int) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Yields the rows of a query within a transaction, so many at a time."""

    async def execute(self, statement: str, *values: object) -> int:
        """Returns how many rows a statement has met."""

    def transaction(self, *, reading: bool = False) -> AbstractAsyncContextManager[None]:
        """Commits at its end; ``reading``: sees one moment, and changes nothing."""


class Server(ABC):
    """A database server: its connections, and how its dialect writes what we say to each."""

    batch: ClassVar[int]
    """Values that one statement names."""
    combines: ClassVar[bool]
    """Whether one statement finds rows by an index on each of several columns."""
    checks_each_row: ClassVar[bool]
    """Whether a statement may not delete a row to which another one refers that it deletes as well."""
    hides: ClassVar[bool]
    """Whether it shows a user only tables in which the user may do something."""
    namespace: str
    user: str

    @abstractmethod
    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Returns an exclusive connection whose errors are those of the contract."""

    @abstractmethod
    async def close(self) -> None:
        """Ends all sessions."""

    @abstractmethod
    async def look(self, connection: Connection, places: Collection[TableName], *, reading: bool) -> "StoreState":
        """Returns what the catalogs say of these tables in short, and which store this is, unless it is only read.

        Raises:
            StoreUnprepared: it does not say which store it is, or we may not note there what we do.
        """

    @abstractmethod
    async def catalog(self, connection: Connection, places: Collection[TableName] | None) -> "Catalog":
        """Reads the catalogs: of these tables and whatever refers to them, or of all."""

    @abstractmethod
    def translated(self) -> AbstractContextManager[None]:
        """Raises the errors of the contract instead of the driver's."""

    @abstractmethod
    def assigned(self, statement: "SqlStatement", relation: "Relation", name: str, value: str) -> str:
        """Returns what reads a text as a value of that column, and stores it nowhere."""

    @abstractmethod
    async def role(self, connection: Connection) -> str:
        """Returns whom a grant has to name, quoted."""

    @abstractmethod
    def quoted(self, name: str) -> str:
        """Returns a name as the server reads it, whatever is in it."""

    @abstractmethod
    def mark(self, number: int, type_: str) -> str:
        """Returns the place of a value."""

    @abstractmethod
    def among(self, statement: "SqlStatement", expression: str, values: Sequence[object], type_: str) -> str:
        """Returns that an expression is one of these values."""

    @abstractmethod
    def keyed(self, statement: "SqlStatement", columns: Sequence[tuple[str, str]], keys: Sequence[Key]) -> str:
        """Returns that columns, each with its type, hold one of these keys."""

    @abstractmethod
    def literal(self, value: str) -> str:
        """Returns a declared constant, never data of a request."""

    @abstractmethod
    def outside(self, expression: str, words: Collection[str]) -> str:
        """Returns that a text is none of these words, by an index on it."""

    @abstractmethod
    def text(self, name: str) -> str:
        """Returns a column of the row ``t`` as text."""

    @abstractmethod
    def lower(self, expression: str) -> str:
        """Returns a text in small letters."""

    @abstractmethod
    def differs(self, expression: str, other: str) -> str:
        """Returns that two differ, NULL being like NULL."""

    @abstractmethod
    def compared(self, relation: "Relation", name: str, column: "Column") -> str:
        """Returns what finds a column by its index, compared as its ``match`` says."""

    @abstractmethod
    def typed(self, statement: "SqlStatement", value: str | None, type_: str) -> str:
        """Returns the place of a text that is read as a value of that type."""

    @abstractmethod
    def cut(self, expression: str, unit: str, type_: str) -> str | None:
        """Returns a day or an instant, cut to the unit; None: the column holds neither."""

    @abstractmethod
    def drawn(self, type_: str) -> str | None:
        """Returns a new key of that type; None: none can be drawn."""

    def place(self, place: TableName) -> str:
        """Returns a table by its schema and its name."""
        return f"{self.quoted(place[0])}.{self.quoted(place[1])}"

    def column(self, name: str) -> str:
        """Returns a column of the row ``t``."""
        return f"t.{self.quoted(name)}"

    def shown(self, relation: "Relation | None", names: Sequence[str]) -> str:
        """Returns what reads columns of the row ``t``."""
        del relation
        return ", ".join(map(self.column, names))

    def sorted(self, relation: "Relation", names: Sequence[str]) -> tuple[str, str]:
        """Returns an order by these columns that no index gives, and what to say of the table for that.

        Else an estimate might have all of an index read in that order, to find the few rows that are sought.
        """
        del relation
        return f"ROW({', '.join(names)})", ""

    def defer(self, reference: "ForeignKey") -> str | None:
        """Returns what lets a foreign key be checked at the end of the transaction; None: nothing does."""
        del reference
        return None

    def parts(self, values: Sequence[_T]) -> Iterator[Sequence[_T]]:
        """Yields the same, as many as one statement names at a time."""
        return (values[start : start + self.batch] for start in range(0, len(values), self.batch))


class SqlStatement:
    """A statement while it is written: each value in the order in which it stands."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.values: list[object] = []

    def value(self, value: object, type_: str) -> str:
        """Takes a value; returns its place."""
        self.values.append(value)
        return self._server.mark(len(self.values), type_)

    def among(self, expression: str, values: Sequence[object], type_: str) -> str:
        """Returns that an expression is one of these values."""
        return self._server.among(self, expression, values, type_)

    def keyed(self, columns: Sequence[tuple[str, str]], keys: Sequence[Key]) -> str:
        """Returns that columns, each with its type, hold one of these keys."""
        return self._server.keyed(self, columns, keys)
