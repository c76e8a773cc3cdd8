"""Three SQL stores of a company, with a customer row, 50 calls and 5 tickets of each subject, and how they are declared."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from deploy.local import postgres_databases as databases
from deploy.local.platform import Platform

CALLS_EACH = 50
TICKETS_EACH = 5
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
STORES = ("customers", "calls", "tickets")

SCHEMA = {
    "customers": """
        CREATE TABLE customer (
            account_id text PRIMARY KEY, name text NOT NULL, email text NOT NULL, phone text NOT NULL, city text NOT NULL
        )""",
    "calls": """
        CREATE TABLE call (
            id bigserial PRIMARY KEY, caller text NOT NULL, callee text NOT NULL, started_at timestamptz NOT NULL,
            seconds int NOT NULL
        );
        CREATE INDEX ON call (caller, started_at)""",
    "tickets": """
        CREATE TABLE ticket (
            id bigserial PRIMARY KEY, requester text NOT NULL, title text NOT NULL, body text NOT NULL
        );
        CREATE INDEX ON ticket (requester)""",
}

DATASETS = {
    "customers": """
        name = "customers"
        [tables.customer]
        category = "account"
        primary_key = ["account_id"]
        [tables.customer.columns]
        account_id = { class = "A", identity = "account_id" }
        name = { class = "M" }
        email = { class = "M" }
        phone = { class = "M" }
        city = { class = "M" }
        """,
    "calls": """
        name = "calls"
        [tables.call]
        category = "call"
        primary_key = ["id"]
        occurred = { column = "started_at" }
        [tables.call.columns]
        id = { class = "T" }
        caller = { class = "A", identity = "phone" }
        callee = { class = "B" }
        started_at = { class = "M" }
        seconds = { class = "M" }
        """,
    "tickets": """
        name = "tickets"
        [tables.ticket]
        category = "ticket"
        primary_key = ["id"]
        [tables.ticket.columns]
        id = { class = "T" }
        requester = { class = "A", identity = "email" }
        title = { class = "C" }
        body = { class = "C" }
        """,
}

NEEDS = {"customers": "account_id", "calls": "phone", "tickets": "email"}


@dataclass(frozen=True)
class Subject:
    """One of the bench's people."""

    number: int

    @property
    def account_id(self) -> str:
        return f"C{self.number:07d}"

    @property
    def email(self) -> str:
        return f"subject{self.number}@example.com"

    @property
    def phone(self) -> str:
        return f"+4930{23000000 + self.number}"

    def submission(self) -> dict[str, object]:
        """An erasure request of theirs."""
        phone = {"number": self.phone, "since": SINCE.isoformat()}
        return {
            "right": "erasure",
            "subject": {"email": self.email, "phones": [phone], "account_id": self.account_id},
            "assurance": {"level": "L2", "method": "signed_in_mfa"},
        }


@dataclass(frozen=True)
class Stores:
    """The three stores of one run: their databases, and the file that declares them to the services."""

    dsns: dict[str, str]
    downstreams: Path

    @property
    def env(self) -> dict[str, str]:
        """The secrets that the downstreams file names."""
        return {f"BENCH_{store.upper()}_DSN": dsn for store, dsn in self.dsns.items()}

    async def rows(self) -> dict[str, int]:
        """How many rows are in each store."""
        return {store: await _fetchval(dsn, f"SELECT count(*) FROM {store[:-1]}") for store, dsn in self.dsns.items()}


async def seed(platform: Platform, name: str, subjects: int, *, calls_each: int = CALLS_EACH) -> dict[str, str]:
    """Makes one database per store with that many subjects, to be copied for each run; returns their names."""
    names = {}
    for store in STORES:
        names[store] = f"{name}_{store}"
        dsn = await databases.create(platform.postgres_dsn, names[store])
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(SCHEMA[store])
            await _fill(connection, store, [Subject(number) for number in range(subjects)], calls_each)
            await connection.execute("VACUUM ANALYZE")
        finally:
            await connection.close()
    return names


async def copy(platform: Platform, templates: dict[str, str], name: str, directory: Path) -> Stores:
    """Fresh copies of seeded stores, declared to the services in a file below ``directory``."""
    dsns = {
        store: await databases.create(platform.postgres_dsn, f"{name}_{store}", template)
        for store, template in templates.items()
    }
    directory.mkdir(parents=True, exist_ok=True)
    tables = []
    for store in STORES:
        (directory / f"{store}.toml").write_text(DATASETS[store])
        tables.append(
            f'[{store}]\nadapter = "sql"\nneeds = ["{NEEDS[store]}"]\n'
            f'dsn_env = "BENCH_{store.upper()}_DSN"\ndataset = "{directory / store}.toml"\n'
        )
    downstreams = directory / "downstreams.toml"
    downstreams.write_text("\n".join(tables) + EXTRA)
    return Stores(dsns, downstreams)


EXTRA = ""


async def drop(platform: Platform, stores: Stores) -> None:
    """Removes the databases of a run."""
    for dsn in stores.dsns.values():
        await databases.drop(platform.postgres_dsn, dsn.rsplit("/", 1)[1].split("?")[0])


async def _fill(connection: asyncpg.Connection, store: str, subjects: list[Subject], calls_each: int) -> None:
    match store:
        case "customers":
            rows = [(s.account_id, f"Subject {s.number}", s.email, s.phone, "Berlin") for s in subjects]
            await connection.copy_records_to_table("customer", records=rows)
        case "calls":
            await connection.copy_records_to_table(
                "call", columns=["caller", "callee", "started_at", "seconds"], records=_calls(subjects, calls_each)
            )
        case _:
            tickets = [
                (s.email, f"Question {n}", "The line was noisy when I called yesterday. " * 4)
                for n in range(TICKETS_EACH)
                for s in subjects
            ]
            await connection.copy_records_to_table("ticket", columns=["requester", "title", "body"], records=tickets)


def _calls(subjects: list[Subject], calls_each: int) -> "list[tuple[str, str, datetime, int]]":
    """In the order of time, so that one subject's calls lie on different pages, as they do in life."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        (s.phone, f"+4989{40000000 + (s.number * 7 + n) % 90000}", start + timedelta(minutes=n * 600 + s.number % 600), 60 + n)
        for n in range(calls_each)
        for s in subjects
    ]


async def _fetchval(dsn: str, query: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()
