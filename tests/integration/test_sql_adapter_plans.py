"""How PostgreSQL executes the statements of many subjects: by index, however many come together."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.seed.cdr import CdrStore
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import SqlStore
from tests.fixtures.cdr import OURS, call, with_tables

EMPTY = "acc_cdrs_default"
"""The partition for calls of a month that has none yet: how nothing is read does not matter."""


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def statements(table: Statements) -> dict[str, str]:
    return {
        "count": table.count,
        "delete": table.delete,
        "select": table.select(["callid"]),
        **{f"blank {i}": statement for i, statement in enumerate(table.blank)},
    }


@pytest.mark.parametrize("subjects", [1, 10_000])
async def test_no_statement_reads_a_table_from_end_to_end(cdr_store: CdrStore, subjects: int) -> None:
    numbers = [f"+3469{i:07d}" for i in range(subjects)]
    some = [f"+3469{i:07d}" for i in range(2_000)]
    pairs = list(zip(some, reversed(some), strict=True))
    await cdr_store.seed([call(a, b) for a, b in pairs] + [call(a, b, missed=True) for a, b in pairs])
    settings = SqlSettings(dsn_env="DSR_STORE_DSN", dataset="kamailio", ours=(OURS,))
    store = SqlStore("cdr", settings, {"DSR_STORE_DSN": cdr_store.privacy})
    try:
        async with store.session() as session:
            for table in (table for table in session.tables if table.name != "restricted_number"):
                for name, statement in statements(table).items():
                    await session.connection.execute(f"PREPARE examined(text[], text[]) AS {statement}")
                    arguments = ", ".join(f"'{n}'" for n in numbers)
                    explained = await session.connection.fetchval(
                        f"EXPLAIN (FORMAT JSON) EXECUTE examined(ARRAY[{arguments}], ARRAY['sip:1@pbx.example'])"
                    )
                    every = nodes(json.loads(explained)[0]["Plan"])
                    plan = [node for node in every if node.get("Relation Name") != EMPTY]
                    scans = [node["Node Type"] for node in plan if node.get("Relation Name")]
                    assert scans, name
                    assert "Seq Scan" not in scans, (table.name, name)
                    read = [node for node in plan if node["Node Type"] in {"Bitmap Index Scan", "Index Scan"}]
                    assert read, name
                    assert all("ANY" in node.get("Index Cond", "") for node in read), (table.name, name, read)
                    await session.connection.execute("DEALLOCATE examined")
    finally:
        await store.close()


async def test_nobody_looks_through_all_that_was_blanked_for_what_is_to_be_deleted(
    empty_database: str, tmp_path: Path
) -> None:
    """Statistics learn late of what erasures leave behind; until then an index on it would seem the shortest way."""
    await with_tables(empty_database, LINES)
    (tmp_path / "lines.toml").write_text(LINES_DATASET)
    store = SqlStore("lines", SqlSettings(dsn_env="DSN", dataset=str(tmp_path / "lines.toml")), {"DSN": empty_database})
    try:
        async with store.session(reading=True) as session:
            deletes = [statement for statement in session.tables[0].blank if statement.startswith("DELETE")]
            assert len(deletes) == 2
            for statement in deletes:
                await session.connection.execute(f"PREPARE examined(text[]) AS {statement}")
                numbers = ", ".join(f"'+3469{i:07d}'" for i in range(300))
                explain = f"EXPLAIN (FORMAT JSON) EXECUTE examined(ARRAY[{numbers}])"
                every = nodes(json.loads(await session.connection.fetchval(explain))[0]["Plan"])
                read = [node["Index Cond"].partition(" = ")[::2] for node in every if "Index Cond" in node]
                assert [(column in {"(caller", "(callee"}, by[:3]) for column, by in read] == [(True, "ANY")], read
                await session.connection.execute("DEALLOCATE examined")
    finally:
        await store.close()


LINES = """
CREATE TABLE line (id bigint PRIMARY KEY, caller text, callee text) WITH (autovacuum_enabled = off);
INSERT INTO line SELECT n, '+3469' || lpad((n % 400)::text, 7, '0'), '+3479' || lpad((n % 400)::text, 7, '0')
FROM generate_series(1, 20000) n;
CREATE INDEX ON line (caller);
CREATE INDEX ON line (callee);
ANALYZE line;
UPDATE line SET caller = '' WHERE id % 2 = 0;
UPDATE line SET callee = '' WHERE id % 2 = 1;
"""
LINES_DATASET = """
name = "lines"
[tables.line]
category = "call"
primary_key = ["id"]
erase = "blank"
parties = { caller = {}, callee = {} }
[tables.line.columns]
id = { class = "T" }
caller = { class = "A", identity = "phone", party = "caller", blank = "" }
callee = { class = "A", identity = "phone", party = "callee", blank = "" }
"""


async def test_what_may_be_anybodys_is_counted_by_index_with_each_call(cdr_store: CdrStore) -> None:
    await cdr_store.seed([call(f"+3469{i:07d}", f"+3479{i:07d}", missed=i % 2 > 0) for i in range(2_000)])
    settings = SqlSettings(
        dsn_env="DSR_STORE_DSN", dataset="kamailio", ours=(OURS,), tenants={"acme": ("acme.example",)}
    )
    store = SqlStore("cdr", settings, {"DSR_STORE_DSN": cdr_store.privacy})
    try:
        for tenant in (None, "acme"):
            async with store.session(tenant) as session:
                counts = {table.name: count for table in session.tables if (count := table.unattributed)}
                assert set(counts) == {"acc_cdrs", "acc", "missed_calls"}
                for name, count in counts.items():
                    await session.connection.execute(f"PREPARE counted(bigint) AS {count}")
                    explain = "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE counted(100000)"
                    every = nodes(json.loads(await session.connection.fetchval(explain))[0]["Plan"])
                    read = [node for node in every if "Scan" in node["Node Type"] and "Plans" not in node]
                    rows = [sum(v for k, v in node.items() if k == "Actual Rows" or "Removed" in k) for node in read]
                    assert (bool(rows), sum(rows)) == (True, 0), (tenant, name, read)
                    await session.connection.execute("DEALLOCATE counted")
    finally:
        await store.close()
