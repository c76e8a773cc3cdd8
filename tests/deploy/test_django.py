"""A foreign schema is connected by a drafted dataset: Django's tables and django-allauth's."""

import re
import tomllib
from pathlib import Path
from typing import Any

from shared.domain.operations import Operation, TaskOutcome
from shared.storage.postgres import connected
from shared.systems.sql.dataset import Dataset
from shared.systems.sql.drafting import DatasetDraft, DecidedDataset, drift, toml_value
from shared.systems.sql.notes import schema_for
from shared.systems.sql.postgresql import Postgres
from tests.fixtures import django
from tests.fixtures.cdr import ask, engine
from tests.fixtures.downstream import email, task

IMPERSONAL = ("auth_group", "auth_group_permissions", "auth_permission", "django_content_type", "django_migrations")
CLASSES = {"key": "T", "object_id": "T", "object_repr": "C"}
"""Decisions on columns that a draft leaves open."""
ROWS = """
SELECT 'user', first_name FROM auth_user UNION ALL SELECT 'address', email FROM account_emailaddress
UNION ALL SELECT 'confirmation', key FROM account_emailconfirmation
UNION ALL SELECT 'group', u.first_name FROM auth_user_groups g JOIN auth_user u ON u.id = g.user_id
UNION ALL SELECT 'log', object_repr || ': ' || change_message FROM django_admin_log
"""
BORIS = {
    ("user", "boris"),
    ("address", "boris.private@example.net"),
    ("confirmation", "key of boris"),
    ("group", "boris"),
}
ANNA, THEIRS = email("anna@example.org"), email("boris@example.org")


def decided(drafted: str) -> str:
    """Returns the draft with the decisions of a person who knows Django."""
    dataset: dict[str, Any] = tomllib.loads(drafted)
    dataset["tables"] = {name: table for name, table in dataset["tables"].items() if name not in IMPERSONAL}
    for table in dataset["tables"].values():
        table["category"] = "account"
        for name, column in table["columns"].items():
            column["class"] = column["class"].removesuffix("?") or CLASSES[name]
    dataset["tables"]["account_emailaddress"]["belongs_to"] = [{"table": "auth_user", "on": {"user_id": "id"}}]
    return "\n".join(f"{name} = {toml_value(each)}" for name, each in dataset.items())


async def test_a_subject_of_django_is_found_exported_and_erased_by_a_drafted_dataset(
    empty_database: str, tmp_path: Path
) -> None:
    django.migrate(empty_database, tmp_path)
    async with connected(empty_database) as connection:
        await connection.execute(schema_for(empty_database))
    server = Postgres("django", empty_database)
    async with server.connection() as reading:
        catalog = await server.catalog(reading, None)
    await server.close()
    drafted = "\n".join(DatasetDraft(catalog, "public", (), DecidedDataset()).lines())
    assert "anna" not in drafted
    assert re.search(
        r"it also refers to people, by belongs_to = \[{ table = .auth_user., on = { user_id = .id. } }]", drafted
    )
    file = tmp_path / "django.toml"
    file.write_text(decided(drafted))
    dataset = Dataset.load(str(file))
    assert not drift(dataset, catalog, "public", IMPERSONAL)
    assert {name: table.belongs_to[0].table for name, table in dataset.tables.items() if table.belongs_to} == {
        "account_emailaddress": "auth_user",
        "account_emailconfirmation": "account_emailaddress",
        "auth_user_groups": "auth_user",
        "auth_user_user_permissions": "auth_user",
        "django_admin_log": "auth_user",
    }
    async with engine(empty_database, file, {}) as store:
        copy = await store.receipt(task(Operation.EXPORT, ANNA))
        said = str([record.data for record in copy.records])
        assert "anna.private@example.net" in said
        assert "changed by anna" in said
        assert "boris" not in said
        erased = await store.receipt(task(Operation.ERASE, ANNA))
        assert erased.outcome is TaskOutcome.ERASED
        assert {*await ask(empty_database, ROWS)} == BORIS | {("log", "anna@example.org: changed by boris")}
        assert (await store.receipt(task(Operation.ERASE, ANNA))).outcome is TaskOutcome.NO_MATCH
        assert (await store.receipt(task(Operation.EXPORT, THEIRS))).records
