"""The connection to one SQL store, and its declared tables as they are today."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.downstreams.sql.building import statements_of
from shared.downstreams.sql.catalog import Place, Relation, describe, refuse_fixed, refuse_long, refuse_unmapped
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.declared import SideTable
from shared.downstreams.sql.declaration.tenancy import Tenancy
from shared.downstreams.sql.failures import translated
from shared.downstreams.sql.preparation import Incarnation, incarnation_of, refuse_unprepared
from shared.downstreams.sql.references import References, references_of
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.sql.statements import Statements

log = logging.getLogger(__name__)

# Indexes find the rows and hashing tells whose they are, whatever the statistics say today: the plan must not depend on
# how many subjects come together. A plan for any number of values is made once per connection.
_PLANNER = {
    "enable_seqscan": "off",
    "enable_nestloop": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "application_name": "dsr",
    "row_security": "on",
    "lock_timeout": "2s",
    # A worker that froze, or whose node is lost, holds up its heir no longer: whatever its session was doing.
    "idle_in_transaction_session_timeout": "4s",
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "4000",
}


@dataclass(frozen=True, slots=True)
class Session:
    """A connection to a store, and its declared tables, checked against the real ones."""

    system: str
    settings: SqlSettings
    connection: PoolConnectionProxy
    tables: tuple[Statements, ...]
    restriction: SideTable | None
    incarnation: Incarnation | None
    """Where it may be changed."""
    references: References = field(default_factory=References)
    """The foreign keys to its tables, where it may be changed."""
    tenant: str | None = None
    """In whose rows alone anybody is looked for; None: in ours."""


class SqlStore:
    """One SQL store that holds personal data as its dataset declares."""

    def __init__(self, system: str, settings: SqlSettings, environment: Mapping[str, str]) -> None:
        self._dsn = environment[settings.dsn_env]
        self.system = system
        self.settings = settings
        self.dataset = Dataset.load(settings.dataset)
        refuse_long(self.dataset, settings.namespace)
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self.tenancy = Tenancy.of(settings, self.dataset)
        self._statements: dict[str | None, tuple[Mapping[Place, Relation], tuple[Statements, ...]]] = {}
        self._known: Incarnation | None = None

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PoolConnectionProxy]:
        """A connection to the store as it is, whatever is declared of it."""
        with translated(self.system):
            pool = await self._connections()
            async with pool.acquire() as connection:
                yield connection

    @asynccontextmanager
    async def session(self, tenant: str | None = None, *, reading: bool = False) -> AsyncIterator[Session]:
        """A connection whose tables were looked at just now; ``reading`` is stricter about unclassified columns.

        Nothing is found with it but rows of that tenant; without one, our own. Numbers that readers see no row of are
        hidden whoever has the row, so for a tenant that is no way to restrict anybody.

        Raises:
            Refused: the tables are not as declared, or the store is not prepared for being changed.
            Unavailable: it is away or busy.
        """
        with translated(self.system):
            pool = await self._connections()
            async with pool.acquire() as connection:
                relations = await describe(connection, self.settings.namespace, self.dataset)
                for name, table in self.dataset.tables.items():
                    place = self.dataset.place(self.settings.namespace, name)
                    refuse_unmapped(table, name, relations[place], reading=reading)
                    if not reading:
                        refuse_fixed(table, name, relations[place])
                tables = self._stated(relations, tenant)
                incarnation = None if reading else await self._incarnation(connection)
                side = self.dataset.restriction if tenant is None else None
                namespace = self.settings.namespace
                keys = References() if reading else await references_of(connection, namespace, self.dataset)
                yield Session(self.system, self.settings, connection, tables, side, incarnation, keys, tenant)

    async def _incarnation(self, connection: PoolConnectionProxy) -> Incarnation:
        """Which store it is today, prepared for being changed."""
        namespace, side = self.settings.namespace, self.dataset.restriction
        places = {self.dataset.place(namespace, name) for name in self.dataset.tables}
        places |= {(namespace, side.table)} if side else set()
        incarnation = await incarnation_of(connection, self.system, places)
        if incarnation != self._known:
            await refuse_unprepared(connection, self.system)
            if self._known:
                log.warning("%s is another store than before: it was restored from a dump, or made anew", self.system)
            self._known = incarnation
        return incarnation

    async def _connections(self) -> asyncpg.Pool:
        """The pool, made at its first use: a store that is away when a service starts delays only its own tasks."""
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self.settings.connections,
                    command_timeout=self.settings.timeout_seconds,
                    timeout=self.settings.timeout_seconds,
                    server_settings=_PLANNER,
                    init=_end_when_we_are_gone,
                    reset=_nothing_to_reset,
                )
            return self._pool

    def _stated(self, relations: Mapping[Place, Relation], tenant: str | None) -> tuple[Statements, ...]:
        """The statements of all tables, made anew where one of them has changed."""
        known = self._statements.get(tenant)
        if known is None or known[0] != relations:
            made = statements_of(self.dataset, self.settings.namespace, relations, self.tenancy, tenant)
            known = self._statements[tenant] = (relations, made)
        return known[1]


async def _end_when_we_are_gone(connection: asyncpg.Connection) -> None:
    """Lets the store end a statement whose worker was killed, or its heir would wait for the locks until it is done."""
    with suppress(asyncpg.PostgresError):  # before version 14 and outside Linux there is no such setting
        await connection.execute("SET client_connection_check_interval = '500ms'")


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    """Every setting of ours ends with its transaction, so a connection goes back as it came."""
