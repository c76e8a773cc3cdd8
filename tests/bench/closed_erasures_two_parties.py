"""Erasure requests closed per second where customers are located first and two people are in every call record."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.storage.postgres import connected
from tests.bench.closed_erasures import WITHIN_SECONDS, verify
from tests.bench.figures import Row, row
from tests.bench.ground import Ground, must
from tests.fixtures.stack import Stack
from tests.fixtures.stores import CALLS_EACH, Stores, Subject

REQUESTS = 2_000
_SCHEMA = """
ALTER TABLE customer ADD COLUMN since timestamptz NOT NULL DEFAULT '2020-01-01Z', ADD COLUMN until timestamptz;
CREATE INDEX ON customer (email);
"""
_CALLS = """
TRUNCATE call;
CREATE INDEX ON call (callee, started_at);
"""
_CUSTOMERS = """
name = "customers"
[tables.customer]
category = "account"
primary_key = ["account_id"]
at = { valid_from = "since", valid_to = "until" }
[tables.customer.columns]
account_id = { class = "A", identity = "account_id", yields = true }
name = { class = "M" }
email = { class = "A", identity = "email", yields = true }
phone = { class = "A", identity = "phone", yields = true }
city = { class = "M" }
restricted = { class = "T" }
marketing = { class = "M" }
since = { class = "T" }
until = { class = "T" }
"""
_TWO_PARTIES = """
name = "calls"
[tables.call]
category = "call"
primary_key = ["id"]
on_erase = "blank"
at = { happened = "started_at" }
[tables.call.parties.caller]
[tables.call.parties.callee]
[tables.call.columns]
id = { class = "T" }
caller = { class = "A", identity = "phone", party = "caller", others = "show", blank = "" }
callee = { class = "A", identity = "phone", party = "callee", others = "show", blank = "" }
started_at = { class = "M" }
seconds = { class = "M" }
"""
_DECLARED = """
[customers]
adapter = "sql"
needs = ["account_id", "email", "phone"]
yields = ["account_id", "email", "phone"]
dsn_env = "STORE_CUSTOMERS_DSN"
dataset = "customers_with_numbers.toml"

[calls]
adapter = "sql"
needs = ["phone"]
dsn_env = "STORE_CALLS_DSN"
dataset = "calls_of_two.toml"

[tickets]
adapter = "sql"
needs = ["email"]
dsn_env = "STORE_TICKETS_DSN"
dataset = "tickets.toml"
"""


async def measure(ground: Ground) -> list[Row]:
    """Measures ours and the same changes as plain SQL, in turn."""
    async with ground.seeded(REQUESTS) as seeded:
        await _with_two_parties(seeded)
        declared = replace(seeded, downstreams=_declare(seeded.downstreams.parent))

        async def ours() -> float:
            async with ground.copied(declared) as copied:
                async with ground.services(copied) as running:
                    seconds = await _close_all(running)
                await _all_gone(copied)
            return REQUESTS / seconds

        async def plain() -> float:
            async with ground.copied(declared) as copied:
                seconds = await _plain(copied)
                await _all_gone(copied)
            return REQUESTS / seconds

        figures = await ground.interleaved({"ours": ours, "plain SQL": plain}, "requests/s")
    what = "the same blanking and deletes, set-wise, one statement per store, nothing else"
    more = {
        "requests": REQUESTS,
        "calls_of_each": 2 * CALLS_EACH,
        "stages": "locate, erase what hangs on it, erase the customers",
    }
    return [row("closed_erasures_two_parties", figures["ours"], figures["plain SQL"], "requests/s", what, **more)]


async def _with_two_parties(seeded: Stores) -> None:
    async with connected(seeded.dsns["customers"]) as connection:
        await connection.execute(_SCHEMA)
        await connection.execute("VACUUM ANALYZE")
    async with connected(seeded.dsns["calls"]) as connection:
        await connection.execute(_CALLS)
        columns = ["caller", "callee", "started_at", "seconds"]
        await connection.copy_records_to_table("call", records=list(_calls()), columns=columns)
        await connection.execute("VACUUM ANALYZE")


def _calls() -> Sequence[tuple[str, str, datetime, int]]:
    """Returns calls in order of time: each person calls fifty others and is called by fifty."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        (Subject(n).phone, Subject((n * 7 + turn + 1) % REQUESTS).phone, start + timedelta(minutes=600 * turn + n), 60)
        for turn in range(CALLS_EACH)
        for n in range(REQUESTS)
    ]


def _declare(directory: Path) -> Path:
    (directory / "customers_with_numbers.toml").write_text(_CUSTOMERS)
    (directory / "calls_of_two.toml").write_text(_TWO_PARTIES)
    file = directory / "two_parties.toml"
    file.write_text(_DECLARED)
    return file


async def _close_all(running: Stack) -> float:
    started = time.monotonic()
    await running.submit(range(REQUESTS))
    seconds = await running.all_closed(REQUESTS, within=WITHIN_SECONDS) - started
    await verify(running, REQUESTS, tasks_each=4)
    return seconds


async def _all_gone(copied: Stores) -> None:
    must("rows left", await copied.rows(), dict.fromkeys(copied.dsns, 0))


async def _plain(copied: Stores) -> float:
    phones = [Subject(number).phone for number in range(REQUESTS)]
    emails = [Subject(number).email for number in range(REQUESTS)]
    accounts = [Subject(number).account_id for number in range(REQUESTS)]
    statements: dict[str, tuple[tuple[str, list[object]], ...]] = {
        "customers": (("DELETE FROM customer WHERE account_id = ANY($1)", [accounts]),),
        "calls": (
            ("UPDATE call SET caller = '' WHERE caller = ANY($1)", [phones]),
            ("UPDATE call SET callee = '' WHERE callee = ANY($1)", [phones]),
            ("DELETE FROM call WHERE caller = '' AND callee = ''", []),
        ),
        "tickets": (("DELETE FROM ticket WHERE requester = ANY($1)", [emails]),),
    }

    async def work(store: str) -> None:
        async with connected(copied.dsns[store]) as connection:
            for statement, arguments in statements[store]:
                await connection.execute(statement, *arguments)

    started = time.monotonic()
    await asyncio.gather(*(work(store) for store in statements))
    return time.monotonic() - started
