"""The connection to one MariaDB, and its declared tables as they are today."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shared.downstreams.sql.building import statements_of
from shared.downstreams.sql.catalog import Place, refuse_fixed, refuse_unmapped
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.declared import Join
from shared.downstreams.sql.declaration.graph import ends_first
from shared.downstreams.sql.declaration.tenancy import Tenancy
from shared.downstreams.sql.finding.searching import Path, Searched
from shared.downstreams.sql.mariadb.catalog import describe, references_of
from shared.downstreams.sql.mariadb.connection import Address, Connection, Pool, translated
from shared.downstreams.sql.mariadb.preparation import incarnation_of
from shared.downstreams.sql.mariadb.unsupported import refuse_unsupported
from shared.downstreams.sql.preparation import Incarnation
from shared.downstreams.sql.references import References
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.sql.statements import Statements

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """A path of a table, with the joins as they are declared and the tables to which each leads."""

    path: Path
    joins: tuple[Join, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """A connection to a store, and its declared tables, checked against the real ones."""

    system: str
    settings: SqlSettings
    connection: Connection
    database: str
    tables: tuple[Statements, ...]
    routes: Mapping[str, tuple[Route, ...]]
    """By table."""
    found_in_order: tuple[str, ...]
    """Its tables, those to which others lead before these."""
    incarnation: Incarnation | None
    """Where it may be changed."""
    references: References = field(default_factory=References)
    """The foreign keys to its tables, where it may be changed."""
    tenant: str | None = None

    def place(self, table: Searched) -> Place:
        """Where a table stands."""
        return table.table.schema_ or self.database, table.name


class MariaDbStore:
    """One MariaDB that holds personal data as its dataset declares."""

    def __init__(self, system: str, settings: SqlSettings, environment: Mapping[str, str]) -> None:
        self._address = Address.of(environment[settings.dsn_env])
        self.system = system
        self.settings = settings
        self.database = settings.namespace if "namespace" in settings.model_fields_set else self._address.database
        self.dataset = Dataset.load(settings.dataset)
        refuse_unsupported(self.dataset)
        self.tenancy = Tenancy.of(settings, self.dataset)
        self._pool = Pool(self._address, settings.connections, settings.timeout_seconds)
        self._known: Incarnation | None = None

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection to the store as it is, whatever is declared of it."""
        with translated(self.system):
            async with asyncio.timeout(self.settings.timeout_seconds), self._pool.connection() as connection:
                yield connection

    @asynccontextmanager
    async def session(self, tenant: str | None = None, *, reading: bool = False) -> AsyncIterator[Session]:
        """A connection whose tables were looked at just now; ``reading`` is stricter about unclassified columns.

        Raises:
            Refused: the tables are not as declared, or the store is not prepared for being changed.
            Unavailable: it is away or busy.
        """
        with translated(self.system):
            async with self._pool.connection() as connection:
                relations = await describe(connection, self.database, self.dataset)
                for name, table in self.dataset.tables.items():
                    place = self.dataset.place(self.database, name)
                    refuse_unmapped(table, name, relations[place], reading=reading)
                    if not reading:
                        refuse_fixed(table, name, relations[place])
                tables = statements_of(self.dataset, self.database, relations, self.tenancy, tenant)
                incarnation = None if reading else await self._incarnation(connection)
                keys = References() if reading else await references_of(connection, self.database, self.dataset)
                routes = {table.name: tuple(self._routes(table, {each.name for each in tables})) for table in tables}
                yield Session(
                    *(self.system, self.settings, connection, self.database, tables, routes),
                    *(tuple(ends_first(self.dataset.tables)), incarnation, keys, tenant),
                )

    def _routes(self, table: Statements, made: set[str]) -> list[Route]:
        """In the order of its paths: those that lead to a table in which rows of the tenant are told."""
        declared = [joins for _, joins in table.table.paths if joins[-1].table in made]
        return [
            Route(path, joins, tuple(self.dataset.place(self.database, join) for join in joins))
            for path, joins in zip(table.paths, declared, strict=True)
        ]

    async def _incarnation(self, connection: Connection) -> Incarnation:
        """Which store it is today."""
        places = {self.dataset.place(self.database, name) for name in self.dataset.tables}
        incarnation = await incarnation_of(connection, self.system, places)
        if self._known and incarnation != self._known:
            log.warning("%s is another store than before: it was restored from a dump, or made anew", self.system)
        self._known = incarnation
        return incarnation
