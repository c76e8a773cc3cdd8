"""The company's call records: a PostgreSQL database as Kamailio writes it, partitioned by month."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from deploy.demo.company import Call
from deploy.local import postgres_databases as databases
from shared.storage.postgres import connected
from shared.systems.sql.notes import schema_for

ROLES = ("cdr_switch", "cdr_reader", "cdr_privacy", "cdr_legal")
_SQL = Path(__file__).parent / "cdr"
_AT_A_TIME = 20_000
_DOMAIN = "voice.example.com"
_WORLD = "001"
"""All trunks of the company deliver the country code (UN M49)."""
_CDR = (
    *("start_time", "end_time", "duration", "caller", "callee", "callid", "src_ip", "user_agent", "pai", "privacy"),
    *("caller_domain", "callee_domain", "region"),
)
_TRANSACTION = (
    *("method", "from_tag", "to_tag", "callid", "sip_code", "sip_reason", "time", "src_user", "src_domain", "src_ip"),
    *("dst_ouser", "dst_odomain", "dst_user", "dst_domain", "src_pai", "privacy"),
    "region",
)

Timed = tuple[Call, datetime, datetime]
"""A call with its start and end as Kamailio writes them: UTC without zone."""


@dataclass(frozen=True, slots=True)
class CdrStore:
    """The database: ``admin`` owns it, ``switch`` writes, ``reader`` is analytics, ``privacy`` is our adapter.

    ``legal`` reads what is restricted, with a reason.
    """

    admin: str
    switch: str
    reader: str
    privacy: str
    legal: str

    async def seed(self, calls: Iterable[Call]) -> int:
        """Fill the empty store with these calls, in order of their start; how many there are now."""
        async with connected(self.admin) as connection:
            await connection.execute("TRUNCATE acc_cdrs, acc, missed_calls, restricted_number RESTART IDENTITY")
            count, source = 0, iter(calls)
            while chunk := list(islice(source, _AT_A_TIME)):
                count += len(chunk)
                rows = [(call, _naive(call.start), _naive(call.end)) for call in chunk]
                await connection.execute("SELECT add_months_of_calls($1, $2)", rows[0][1], rows[-1][1])
                await _copy(connection, "acc_cdrs", _CDR, _cdrs(rows))
                await _accounting(connection, rows)
            await connection.execute("VACUUM (ANALYZE) acc_cdrs, acc, missed_calls, restricted_number")
        return count


async def create(dsn_admin: str, name: str = "cdr") -> CdrStore:
    """Make the database with its tables, roles and policies, once; ``dsn_admin`` may create databases and roles."""
    admin = await databases.create(dsn_admin, name)
    async with connected(admin) as connection:
        await connection.execute((_SQL / "roles.sql").read_text(encoding="utf-8"))
        password = urlsplit(dsn_admin).password
        if password is not None:
            for role in ROLES:
                secret = await connection.fetchval("SELECT quote_literal($1::text)", password)
                await connection.execute(f"ALTER ROLE {role} PASSWORD {secret}")
        if await connection.fetchval("SELECT to_regclass('public.restricted_number')") is None:
            async with connection.transaction():
                for file in ("schema.sql", "readers.sql", "legal.sql", "indexes.sql"):
                    await connection.execute((_SQL / file).read_text(encoding="utf-8"))
        switch, reader, privacy, legal = (databases.as_role(admin, role, password) for role in ROLES)
        await connection.execute(schema_for(privacy))
    return CdrStore(admin, switch, reader, privacy, legal)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


async def _copy(connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Iterable[Any]) -> None:
    await connection.copy_records_to_table(table, records=rows, columns=columns)


async def _accounting(connection: asyncpg.Connection, calls: Sequence[Timed]) -> None:
    """Writes Kamailio's transaction log: an answered INVITE to ``acc``, an unanswered one to ``missed_calls``."""
    answered = [_transaction(call, start, "200", "OK") for call, start, _ in calls if call.answered_at is not None]
    missed = [_transaction(call, start, "487", "Terminated") for call, start, _ in calls if call.answered_at is None]
    await _copy(connection, "acc", _TRANSACTION, answered)
    await _copy(connection, "missed_calls", _TRANSACTION, missed)


def _cdrs(calls: Sequence[Timed]) -> Iterator[tuple[Any, ...]]:
    for call, start, end in calls:
        if call.answered_at is not None:
            yield (
                *(start, end, (call.end - call.answered_at).total_seconds(), call.caller, call.callee, call.callid),
                *(call.src_ip, call.user_agent, call.pai, "id" if call.withheld else "", _DOMAIN, _DOMAIN, _WORLD),
            )


def _transaction(call: Call, start: datetime, code: str, reason: str) -> tuple[Any, ...]:
    tag = call.callid[:8]
    return (
        *("INVITE", f"f{tag}", f"t{tag}", call.callid, code, reason, start, call.caller, _DOMAIN, call.src_ip),
        *(call.callee, _DOMAIN, call.callee, _DOMAIN, call.pai, "id" if call.withheld else "", _WORLD),
    )
