"""Migrations only ever add, so that the version that still runs can live with the schema of the next."""

import re
from collections.abc import Iterator

import pytest

from deploy.local.paths import ROOT

FILES = sorted([*ROOT.glob("shared/sql/*/*.sql"), *ROOT.glob("services/*/sql/[0-9]*.sql")])
CONTRACTS = "-- Contract: "
"""Begins a migration that takes away what no version in use reads any more, and says which was the last."""
TAKES_AWAY = (
    r"\bDROP\s+(TABLE|COLUMN|SCHEMA|TYPE|VIEW|FUNCTION|TRIGGER)\b",
    r"\bTRUNCATE\s+(TABLE\s+)?\w+\s*;",
    r"\bRENAME\b",
    r"\bALTER\s+(COLUMN\s+)?\"?\w+\"?\s+(SET\s+DATA\s+)?TYPE\b",
    r"\bSET\s+NOT\s+NULL\b",
    r"\bADD\s+(CONSTRAINT\s+\w+\s+)?(CHECK|UNIQUE|FOREIGN|PRIMARY)\b(?!.*\bNOT\s+VALID\b)",
)


def faults(sql: str) -> Iterator[str]:
    """Each statement that the version before could not live with."""
    without_comments = re.sub(r"--[^\n]*", "", sql)
    without_bodies = re.sub(r"\$\$.*?\$\$", "", without_comments, flags=re.DOTALL)
    for statement in without_bodies.split(";"):
        said = " ".join(statement.split())
        if any(re.search(pattern, f"{said};", re.IGNORECASE) for pattern in TAKES_AWAY):
            yield said
        if re.match(r"ALTER TABLE", said, re.IGNORECASE):
            for column in re.split(r"\bADD\s+COLUMN\b", said, flags=re.IGNORECASE)[1:]:
                if re.search(r"\bNOT\s+NULL\b", column, re.IGNORECASE) and not re.search(
                    r"\b(DEFAULT|GENERATED)\b", column, re.IGNORECASE
                ):
                    yield said


def test_no_two_migrations_of_a_folder_have_the_same_number() -> None:
    numbers = [(path.parent, path.name.split("_")[0]) for path in FILES]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_migration_adds_or_says_that_nobody_reads_what_it_takes_away(path: object) -> None:
    sql = (ROOT / str(path)).read_text()
    if not sql.startswith(CONTRACTS):
        assert list(faults(sql)) == []


TAKING = [
    "ALTER TABLE clock DROP COLUMN zones;",
    "DROP TABLE question",
    "ALTER TABLE clock RENAME COLUMN due_on TO due",
    "ALTER TABLE clock RENAME TO clocks",
    "ALTER TABLE clock ALTER COLUMN due_on TYPE timestamptz",
    "ALTER TABLE clock ALTER COLUMN outcome SET NOT NULL",
    "ALTER TABLE clock ADD COLUMN a text, ADD COLUMN b text NOT NULL",
    "ALTER TABLE clock ADD CONSTRAINT known CHECK (\"right\" <> '')",
    "TRUNCATE clock",
]
ADDING = [
    "ALTER TABLE clock ADD COLUMN b text NOT NULL DEFAULT ''",
    "CREATE TABLE new (b text NOT NULL CHECK (b <> ''), PRIMARY KEY (b))",
    "CREATE INDEX new ON clock (due_on) WHERE responded_at IS NULL",
    "CREATE TRIGGER t BEFORE UPDATE OR DELETE OR TRUNCATE ON entry FOR EACH STATEMENT EXECUTE FUNCTION f()",
    "-- DROP TABLE was considered\nCREATE TABLE new (a int)",
]


@pytest.mark.parametrize("sql", TAKING + ADDING)
def test_what_the_version_before_could_not_live_with_is_found_and_what_only_adds_is_fine(sql: str) -> None:
    assert bool(list(faults(sql))) is (sql in TAKING)
