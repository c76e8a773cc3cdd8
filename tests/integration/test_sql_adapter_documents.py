"""Parts of documents (JSON), and texts in which people write about people: found, shown, blanked and cleaned."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.domain.operations import Operation, TaskOutcome
from tests.fixtures.cdr import ANNA as NUMBER
from tests.fixtures.cdr import SqlEngine, ask, at, each, engine, number, with_tables
from tests.fixtures.downstream import email, receipt, task

ANNA, BORIS = email("anna@example.org"), email("boris@example.org")
ERASE = Operation.ERASE
SCHEMA = """
CREATE TABLE event (id int PRIMARY KEY, data jsonb, amount int);
CREATE INDEX ON event ((data #>> '{who,email}'));
CREATE TABLE remark (id int PRIMARY KEY, written timestamptz NOT NULL DEFAULT '2026-03-01', body text);
INSERT INTO event VALUES
    (1, '{"who": {"email": "anna@example.org", "full name": "Anna"}, "plan": "gold"}', 5),
    (2, '{"who": {"email": "boris@example.org"}, "plan": "tin"}', 6), (3, NULL, 7),
    (4, '{"who": "anna@example.org"}', 8);
INSERT INTO remark (id, body) VALUES
    (1, 'Ask Anna@Example.org or joanna@example.org, not anna@example.org.uk'), (2, 'boris@example.org called'),
    (3, 'rings from 0034 688-886-392 and +34688886392, never from 3468888639200'), (4, 'nothing'), (5, NULL);
INSERT INTO remark VALUES (6, '2019-01-01', 'rang from +34688886392, then of somebody else');
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

[tables.remark]
category = "remark"
primary_key = ["id"]
occurred = { column = "written" }
columns = { id = { class = "T" }, written = { class = "T" }, body = { class = "C", scrub = true, blank = "[removed]" } }
"""
TEXTS = "SELECT body FROM remark ORDER BY id"


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
    assert (erased.outcome, erased.by_category) == (TaskOutcome.ERASED, {"event": 1, "remark": 1})
    assert await ask(dsn, "SELECT data::text, amount FROM event ORDER BY id") == [
        ('{"who": {"email": null, "full name": "nobody"}, "plan": "gold"}', 5),
        ('{"who": {"email": "boris@example.org"}, "plan": "tin"}', 6),
        (None, 7),
        ('{"who": "anna@example.org"}', 8),
    ]


async def test_a_text_loses_every_spelling_of_the_subject_at_its_time_and_nothing_of_others(
    events: SqlEngine, dsn: str
) -> None:
    before = await ask(dsn, TEXTS)
    hers = [ANNA, number(NUMBER, at("2025-01-01"))]
    erased, boris = (receipt(one) for one in await events.run(task(ERASE, *hers), *each(ERASE, BORIS)))
    assert (erased.by_category, boris.by_category) == ({"event": 1, "remark": 2}, {"event": 1, "remark": 1})
    assert await ask(dsn, TEXTS) == [
        ("Ask [removed] or joanna@example.org, not anna@example.org.uk",),
        ("[removed] called",),
        ("rings from [removed] and [removed], never from 3468888639200",),
        *before[3:],
    ]


async def test_a_mention_that_stands_there_again_when_looked_for_is_residue(events: SqlEngine, dsn: str) -> None:
    back = "CREATE FUNCTION back() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN new.body := old.body; RETURN new; END$$"
    await ask(dsn, back)
    await ask(dsn, "CREATE TRIGGER back BEFORE UPDATE ON remark FOR EACH ROW EXECUTE FUNCTION back()")
    left = await events.one(task(ERASE, ANNA))
    assert type(left).__name__ == "ResidueFound", left


async def test_a_text_loses_what_the_subjects_own_rows_show_them_to_be_known_by_as_well(
    dsn: str, tmp_path: Path
) -> None:
    second = 'alt = { json = "data", path = ["who", "alt"], class = "A", identity = "email" }'
    (tmp_path / "events.toml").write_text(DATASET.replace("plan = {", f"{second}\nplan = {{"), encoding="utf-8")
    alt = """ '{"alt": "second@example.net"}' """
    await ask(dsn, f"UPDATE event SET data = jsonb_set(data, '{{who}}', data -> 'who' || {alt}) WHERE id = 1")
    await ask(dsn, "UPDATE remark SET body = 'write to Second@example.net or third@example.net' WHERE id = 4")
    async with engine(dsn, tmp_path / "events.toml", {}) as events:
        erased = await events.receipt(task(ERASE, ANNA))
    assert erased.by_category == {"event": 1, "remark": 2}
    assert (await ask(dsn, TEXTS))[3] == ("write to [removed] or third@example.net",)
