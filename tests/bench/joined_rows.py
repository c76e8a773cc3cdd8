"""Three hundred subjects whose orders and lines are reached through foreign keys, next to the plain statements."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
from pydantic import JsonValue

from deploy.local import postgres_databases as databases
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.storage.postgres import connected
from shared.systems.contract import Receipt, Task
from shared.systems.sql.adapter import SqlAdapter
from shared.systems.sql.notes import schema_for
from shared.systems.sql.settings import SqlSettings
from tests.bench.figures import Row, row
from tests.bench.ground import Ground, must
from tests.fixtures.policy import nothing_kept

CUSTOMERS, SUBJECTS = 6_000, 300
ORDERS, LINES = 3, 4
"""Orders of each customer, and lines of each order."""
_DSN = "BENCH_SHOP_DSN"
_SCHEMA = f"""
CREATE TABLE customer (id int PRIMARY KEY, email text NOT NULL UNIQUE);
CREATE TABLE purchase (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customer);
CREATE TABLE purchase_line (id int PRIMARY KEY, purchase_id int NOT NULL REFERENCES purchase, goods text);
INSERT INTO customer SELECT n, 'c' || n || '@example.org' FROM generate_series(0, {CUSTOMERS - 1}) n;
INSERT INTO purchase SELECT n, n % {CUSTOMERS} FROM generate_series(0, {CUSTOMERS * ORDERS - 1}) n;
INSERT INTO purchase_line
    SELECT n, n % {CUSTOMERS * ORDERS}, 'a cable' FROM generate_series(0, {CUSTOMERS * ORDERS * LINES - 1}) n;
CREATE INDEX ON purchase (customer_id);
CREATE INDEX ON purchase_line (purchase_id);
"""
_DATASET = """
name = "shop"
[tables.customer]
category = "account"
primary_key = ["id"]
columns = { id = { class = "T" }, email = { class = "A", identity = "email" } }
[tables.purchase]
category = "order"
primary_key = ["id"]
belongs_to = [{ table = "customer", on = { customer_id = "id" } }]
columns = { id = { class = "T" }, customer_id = { class = "T" } }
[tables.purchase_line]
category = "order"
primary_key = ["id"]
belongs_to = [{ table = "purchase", on = { purchase_id = "id" } }]
columns = { id = { class = "T" }, purchase_id = { class = "T" }, goods = { class = "M" } }
"""
_ORDERS_OF = "SELECT p.id FROM purchase p JOIN customer c ON c.id = p.customer_id WHERE c.email = ANY($1)"
_PLAIN = (
    f"DELETE FROM purchase_line WHERE purchase_id IN ({_ORDERS_OF})",
    "DELETE FROM purchase WHERE customer_id IN (SELECT id FROM customer WHERE email = ANY($1))",
    "DELETE FROM customer WHERE email = ANY($1)",
)
_ROWS = 1 + ORDERS + ORDERS * LINES
_WHO = [f"c{number * (CUSTOMERS // SUBJECTS)}@example.org" for number in range(SUBJECTS)]


async def measure(ground: Ground) -> list[Row]:
    """The adapter and the plain statements in turn, each on a database of its own, over a warm connection."""
    dataset = ground.directory / "joined.toml"
    dataset.write_text(_DATASET)

    async def ours() -> float:
        async with _shop(ground) as dsn:
            return SUBJECTS / await _by_adapter(dsn, dataset)

    async def plain() -> float:
        async with _shop(ground) as dsn, connected(dsn) as connection:
            await _erase(connection, ["unknown@example.org"])
            started = time.monotonic()
            await _erase(connection, _WHO)
            return SUBJECTS / (time.monotonic() - started)

    figures = await ground.interleaved({"ours": ours, "plain SQL": plain}, "erasures/s")
    what = f"{len(_PLAIN)} plain DELETEs for all {SUBJECTS} on the same tables, committed together, no look afterwards"
    more = {"subjects": SUBJECTS, "rows_each": _ROWS, "table_rows": CUSTOMERS * _ROWS}
    return [row("joined_rows", figures["ours"], figures["plain SQL"], "erasures/s", what, **more)]


@asynccontextmanager
async def _shop(ground: Ground) -> AsyncIterator[str]:
    async with ground.database() as dsn:
        async with connected(dsn) as connection:
            await connection.execute(_SCHEMA)
            await connection.execute(schema_for(dsn))
            await connection.execute("VACUUM ANALYZE")
        yield dsn
        left = await databases.fetch(dsn, "SELECT count(*) FROM purchase_line")
        must("lines left", left[0][0], (CUSTOMERS - SUBJECTS) * ORDERS * LINES)


async def _erase(connection: asyncpg.Connection, emails: list[str]) -> None:
    async with connection.transaction():
        for statement in _PLAIN:
            await connection.execute(statement, emails)


async def _by_adapter(dsn: str, dataset: Path) -> float:
    """Seconds of the erase tasks as the worker calls them: found, counted, noted, gone, and looked for again."""

    async def save_progress(_progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        """The store remembers what matters here."""

    def task(address: str) -> Task:
        return Task(*(uuid4(), uuid4(), uuid4(), "shop", Operation.ERASE, (Identity(IdentityType.EMAIL, address),)))

    settings = SqlSettings(dsn_env=_DSN, dataset=str(dataset))
    adapter = SqlAdapter("shop", settings, environment={_DSN: dsn}, policy=nothing_kept())
    try:
        await adapter.erase([task("unknown@example.org")], save_progress)
        started = time.monotonic()
        results = await adapter.erase([task(each) for each in _WHO], save_progress)
        seconds = time.monotonic() - started
    finally:
        await adapter.close()
    must("rows erased", {each.found if isinstance(each, Receipt) else str(each) for each in results}, {_ROWS})
    return seconds
