"""What seeding added to a system's database is kept, and comes back only where it fits."""

from pathlib import Path

import asyncpg
import pytest

from deploy.demo.seed import kept, rows
from deploy.local import postgres_databases as databases

_SCHEMA = """
CREATE TABLE person (id serial PRIMARY KEY, name text NOT NULL, short text GENERATED ALWAYS AS (left(name, 1)) STORED);
CREATE TABLE contact (id serial PRIMARY KEY, person int NOT NULL REFERENCES person, value text);
CREATE TABLE ir_session (id serial PRIMARY KEY, key text);
INSERT INTO person (name) VALUES ('Administrator');
"""


async def _fresh(dsn: str, name: str) -> str:
    fresh = await databases.create(dsn, name)
    await _execute(fresh, _SCHEMA)
    return fresh


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _fetch(dsn: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_rows_that_were_added_come_back_and_the_next_id_follows(empty_database: str, tmp_path: Path) -> None:
    other = f"{empty_database.rpartition('/')[2]}_other"
    await _execute(empty_database, _SCHEMA)
    before = await rows.last_ids(empty_database)
    await _execute(
        empty_database,
        "INSERT INTO person (name) VALUES ('Lucía'), ('Zoë'); INSERT INTO ir_session (key) VALUES ('secret');"
        "INSERT INTO contact (person, value) VALUES (2, 'lucia@example.com'), (3, NULL)",
    )
    await rows.keep(empty_database, tmp_path / "kept", before)
    try:
        fresh = await _fresh(empty_database, other)
        assert await rows.put_back(fresh, tmp_path / "kept")
        for query in ("SELECT * FROM person ORDER BY id", "SELECT * FROM contact ORDER BY id"):
            assert await _fetch(fresh, query) == await _fetch(empty_database, query)
        assert await _fetch(fresh, "SELECT * FROM ir_session") == []
        assert await _fetch(fresh, "INSERT INTO person (name) VALUES ('next') RETURNING id") == [(4,)]
    finally:
        await databases.drop(empty_database, other)


async def test_nothing_is_put_into_a_database_that_has_come_further(empty_database: str, tmp_path: Path) -> None:
    await _execute(empty_database, _SCHEMA)
    await rows.keep(empty_database, tmp_path / "kept", {})
    await _execute(empty_database, "INSERT INTO person (name) VALUES ('Somebody')")
    assert not await rows.put_back(empty_database, tmp_path / "kept")
    assert not await rows.put_back(empty_database, tmp_path / "never kept")
    assert await _fetch(empty_database, "SELECT count(*) FROM person") == [(2,)]


def test_a_folder_that_was_cut_short_does_not_count(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    with pytest.raises(InterruptedError), kept.whole(place):
        raise InterruptedError
    assert not place.exists()
    with kept.whole(place) as folder:
        (folder / "all").write_text("of it")
    assert [path.name for path in place.iterdir()] == ["all"]
