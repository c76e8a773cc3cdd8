"""Parts of documents (JSON) are found, shown, corrected and blanked as columns."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.domain.operations import Operation, TaskOutcome
from tests.fixtures.cdr import SqlEngine, ask, engine, with_tables
from tests.fixtures.downstream import email, task

ANNA, BORIS = email("anna@example.org"), email("boris@example.org")
ERASE = Operation.ERASE
SCHEMA = """
CREATE TABLE event (id int PRIMARY KEY, data jsonb, amount int);
CREATE INDEX ON event ((data #>> '{who,email}'));
INSERT INTO event VALUES
    (1, '{"who": {"email": "anna@example.org", "full name": "Anna"}, "plan": "gold"}', 5),
    (2, '{"who": {"email": "boris@example.org"}, "plan": "tin"}', 6), (3, NULL, 7),
    (4, '{"who": "anna@example.org"}', 8);
"""
DATASET = """
name = "events"
[tables.event]
category = "event"
primary_key = ["id"]
erase = "blank"
[tables.event.columns]
id = { class = "T" }
data = { class = "T" }
amount = { class = "M" }
email = { json = "data", path = ["who", "email"], class = "A", identity = "email", rectifies = "email" }
name = { json = "data", path = ["who", "full name"], class = "A", blank = "nobody", rectifies = "name" }
plan = { json = "data", class = "M" }
"""


@pytest.fixture
async def dsn(empty_database: str) -> str:
    """The database of some events."""
    return await with_tables(empty_database, SCHEMA)


@pytest.fixture
async def events(dsn: str, tmp_path: Path) -> AsyncIterator[SqlEngine]:
    """Its adapter."""
    (tmp_path / "events.toml").write_text(DATASET, encoding="utf-8")
    async with engine(dsn, tmp_path / "events.toml", {}) as events:
        yield events


async def test_a_part_of_a_document_is_searched_shown_corrected_and_blanked_where_it_exists(
    events: SqlEngine, dsn: str
) -> None:
    (shown,) = (await events.receipt(task(Operation.EXPORT, ANNA))).records
    assert shown.data == {"amount": 5, "email": "anna@example.org", "name": "Anna", "plan": "gold"}
    changes = [("name", "Anna", "Anne")]
    assert (await events.receipt(task(Operation.RECTIFY, ANNA, changes=changes))).changed == 1
    assert (await events.receipt(task(Operation.RECTIFY, BORIS, changes=[("name", None, "Boris")]))).changed == 0
    erased = await events.receipt(task(ERASE, ANNA))
    assert (erased.outcome, erased.by_category) == (TaskOutcome.ERASED, {"event": 1})
    assert await ask(dsn, "SELECT data::text, amount FROM event ORDER BY id") == [
        ('{"who": {"email": null, "full name": "nobody"}, "plan": "gold"}', 5),
        ('{"who": {"email": "boris@example.org"}, "plan": "tin"}', 6),
        (None, 7),
        ('{"who": "anna@example.org"}', 8),
    ]
