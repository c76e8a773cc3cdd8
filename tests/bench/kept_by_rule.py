"""Erasure of calls of which a rule keeps a half, reduced and restricted, next to the same erasure without rules.

A kept row is written once more. Calls lie in the order in which they happened, as in a company's records.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from pydantic import JsonValue

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import Policy
from shared.storage.postgres import connected
from shared.systems.contract import Receipt, Task
from shared.systems.sql.adapter import SqlAdapter
from shared.systems.sql.settings import SqlSettings
from tests.bench.figures import Row, row
from tests.bench.ground import Ground, must
from tests.fixtures.policy import nothing_kept, signed_policy
from tests.fixtures.stores import SINCE, Stores, Subject

PEOPLE, CALLS_EACH, AT_A_TIME = 1_200, 50, 300
AT = datetime(2026, 11, 27, 12, tzinfo=UTC)
_MINUTES = 60 * 24 * 60
"""Minutes of the two months over which each person's calls are spread."""
_DSN = "BENCH_CALLS_DSN"
_SCHEMA = """
CREATE TABLE kept_call (
    id bigserial PRIMARY KEY, caller text, callee text, started_at timestamptz, seconds int, device text
);
CREATE INDEX ON kept_call (caller);
CREATE INDEX ON kept_call (callee);
CREATE TABLE restricted_number (
    request_id uuid, number text, valid_from timestamptz, valid_to timestamptz, kept boolean NOT NULL DEFAULT false,
    PRIMARY KEY (request_id, number, valid_from)
);
CREATE INDEX ON restricted_number (number);
"""
_DATASET = """
name = "kept_calls"
restrict = "restricted_number"
[tables.kept_call]
category = "call"
primary_key = ["id"]
on_erase = "blank"
at = { happened = "started_at", call_start = "started_at" }
[tables.kept_call.keep]
bill_of = "caller"
[tables.kept_call.keep.fields]
caller_name = []
caller_address = []
caller_number = ["caller"]
called_number = ["callee"]
call_date = ["started_at"]
call_time = ["started_at"]
call_length = ["seconds"]
[tables.kept_call.parties.caller]
[tables.kept_call.parties.callee]
[tables.kept_call.columns]
id = { class = "T" }
caller = { class = "A", identity = "phone", party = "caller", blank = "" }
callee = { class = "A", identity = "phone", party = "callee", blank = "" }
started_at = { class = "M" }
seconds = { class = "M" }
device = { class = "M", party = "caller", blank = "" }
"""


Call = tuple[str, str, datetime, int, str]


async def measure(ground: Ground) -> list[Row]:
    """Measures both arms in turn, each on a copy of its own."""
    async with ground.seeded(PEOPLE, calls_each=0) as seeded:
        dataset = seeded.downstreams.with_name("kept_calls.toml")
        dataset.write_text(_DATASET)
        async with connected(seeded.dsns["calls"]) as connection:
            await connection.execute(_SCHEMA)
            columns = ["caller", "callee", "started_at", "seconds", "device"]
            await connection.copy_records_to_table("kept_call", records=_calls(), columns=columns)
            await connection.execute("VACUUM ANALYZE")

        async def arm(policy: Policy, kept: int) -> float:
            async with ground.copied(seeded) as copied:
                return PEOPLE / await _erase(copied, dataset, policy, kept)

        arms = {
            "kept": lambda: arm(signed_policy(), PEOPLE * CALLS_EACH),  # each kept call is two people's
            "nothing kept": lambda: arm(nothing_kept(), 0),
        }
        figures = await ground.interleaved(arms, "requests/s")
    what = "the same erasure of the same copy, of which no rule keeps anything"
    more = {"people": PEOPLE, "calls_of_each": 2 * CALLS_EACH, "share_of_rows_kept": 0.5}
    return [row("kept_by_rule", figures["kept"], figures["nothing kept"], "requests/s", what, **more)]


def _calls() -> list[Call]:
    """Each person calls fifty others and is called by fifty; every other call is older than the rule's period."""
    days = (AT - timedelta(days=900), AT - timedelta(days=200))
    calls = [
        (
            Subject(n).phone,
            Subject((n + 37 * t + 1) % PEOPLE).phone,
            days[t % 2] + timedelta(minutes=(7_919 * n + 104_729 * t) % _MINUTES),
            60,
            "phone",
        )
        for t in range(CALLS_EACH)
        for n in range(PEOPLE)
    ]
    return sorted(calls, key=lambda call: call[2])


async def _erase(copied: Stores, dataset: Path, policy: Policy, kept: int) -> float:
    async def save_progress(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        del progress

    settings = SqlSettings(dsn_env=_DSN, dataset=str(dataset))
    adapter = SqlAdapter("calls", settings, environment={_DSN: copied.dsns["calls"]}, policy=policy)
    numbers = (Identity(IdentityType.PHONE, Subject(n).phone, SINCE, None) for n in range(PEOPLE))
    tasks = [Task(uuid4(), uuid4(), uuid4(), "calls", Operation.ERASE, (number,), at=AT) for number in numbers]
    try:
        started = time.monotonic()
        results = [
            result
            for first in range(0, PEOPLE, AT_A_TIME)
            for result in await adapter.erase(tasks[first : first + AT_A_TIME], save_progress)
        ]
        seconds = time.monotonic() - started
    finally:
        await adapter.close()
    receipts = [result for result in results if isinstance(result, Receipt)]
    must("kept", sum(each.count for receipt in receipts for each in receipt.kept or ()), kept)
    return seconds
