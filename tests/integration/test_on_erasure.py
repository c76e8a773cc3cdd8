"""What the policy does with a category on the day of an erasure is what becomes of its rows, and nothing else."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.sql.keeping.by_policy import RuleUndeclared
from tests.fixtures.cdr import ask, engine, with_tables
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.policy import doing

ANNA, BORIS = email("anna@example.org"), email("boris@example.org")
E = datetime(2026, 10, 1, 12, tzinfo=UTC)
SCHEMA = """
CREATE TABLE visit (id bigint PRIMARY KEY, at date, email text, page text, browser text, kept boolean);
INSERT INTO visit VALUES (1, '2026-08-15', 'anna@example.org', '/price', 'rare', false),
    (2, '2026-09-15', 'anna@example.org', '/help', 'rare', false),
    (3, '2026-09-15', 'boris@example.org', '/help', 'rare', false);
CREATE INDEX ON visit (email);
"""
DATASET = """
name = "site"
[tables.visit]
category = "analytics"
primary_key = ["id"]
occurred = { column = "at" }
anchors = { event_time = { column = "at" } }
keeps = { fields = { page = ["page"], day = ["at"] } }
kept = { column = "kept", value = true }
[tables.visit.anonymise]
blank = ["email"]
redraw = ["id"]
coarsen = { at = "month" }
rare = ["browser"]
same = ["page", "kept"]
person = "email"
[tables.visit.columns]
id = { class = "T" }
at = { class = "M" }
email = { class = "A", identity = "email" }
page = { class = "M" }
browser = { class = "M" }
kept = { class = "T" }
"""
THEIRS = "SELECT at::text, email, page, browser, kept FROM visit ORDER BY at, page, email NULLS FIRST"
BORISS = ("2026-09-15", "boris@example.org", "/help", "rare", False)


@pytest.mark.parametrize(
    ("does", "ruled", "outcome", "left"),
    [
        ("delete", False, TaskOutcome.ERASED, []),
        ("anonymise", False, TaskOutcome.ERASED, [("2026-08-01", None, "/price", None, False)]),
        ("keep", True, TaskOutcome.RETAINED, [("2026-09-15", "anna@example.org", "/help", "rare", False)]),
        ("restrict", True, TaskOutcome.RETAINED, [("2026-09-15", "anna@example.org", "/help", None, True)]),
    ],
)
async def test_a_category_is_deleted_anonymised_kept_or_restricted_as_the_policy_says(
    empty_database: str,
    tmp_path: Path,
    does: str,
    outcome: TaskOutcome,
    left: list[tuple[object, ...]],
    *,
    ruled: bool,
) -> None:
    if does == "anonymise":
        left = [*left, ("2026-09-01", None, "/help", None, False)]
    policy = doing(tmp_path, does, ruled=ruled)
    (tmp_path / "site.toml").write_text(DATASET, encoding="utf-8")
    await with_tables(empty_database, SCHEMA)
    async with engine(empty_database, tmp_path / "site.toml", {}, policy) as site:
        assert not site.adapter.against_policy
        assert not await site.adapter.inspect()
        asked = [replace(task(Operation.ERASE, each), at=E) for each in (ANNA, email("nobody@example.org"))]
        plan = await site.receipt(replace(task(Operation.PLAN, ANNA), at=E))
        done = [receipt(each) for each in await site.run(*asked)]
        assert (done[0].outcome, done[0].found, done[1].outcome) == (outcome, 2, TaskOutcome.NO_MATCH)
        assert (plan.found, plan.kept, plan.until) == (2, done[0].kept, done[0].until)
        assert done[0].anonymised == (("analytics",) if does == "anonymise" else None)
        assert done[0].until == (date(2026, 10, 15) if ruled else None)
        assert await ask(empty_database, THEIRS) == sorted([*left, BORISS], key=lambda row: (row[0], row[1] or ""))
        again = await site.receipt(replace(task(Operation.ERASE, ANNA), at=E))
        assert again.remaining == (1 if ruled else 0)


async def test_what_the_dataset_does_not_say_how_to_do_is_not_done_and_nothing_is_deleted_instead(
    empty_database: str, tmp_path: Path
) -> None:
    policy = doing(tmp_path, "anonymise")
    start, end = DATASET.index("[tables.visit.anonymise]"), DATASET.index("[tables.visit.columns]")
    (tmp_path / "site.toml").write_text(DATASET[:start] + DATASET[end:], encoding="utf-8")
    await with_tables(empty_database, SCHEMA)
    async with engine(empty_database, tmp_path / "site.toml", {}, policy) as site:
        assert "declare anonymise" in "".join(site.adapter.against_policy)
        assert site.adapter.may_refuse
        for operation in (Operation.PLAN, Operation.ERASE):
            with pytest.raises(RuleUndeclared, match="declare anonymise"):
                await site.one(replace(task(operation, ANNA), at=E))
    assert await ask(empty_database, "SELECT count(*) FROM visit") == [(3,)]
