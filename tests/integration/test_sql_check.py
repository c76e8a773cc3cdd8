"""A green check of a SQL store means that each operation works: generated schemas and declarations, planted faults."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from deploy.local import postgres_databases as databases
from shared.domain.errors import DsrError, Misconfigured
from shared.domain.operations import Operation
from shared.systems.sql.dataset import Dataset
from tests.fixtures.cdr import ask, engine, missing, with_tables
from tests.fixtures.downstream import email, task

ANNA = email("anna@example.org")
ROWS = {
    "text": "'a'",
    "varchar(3)": "'a'",
    "int": "7",
    "numeric(4, 1)": "7",
    "boolean": "true",
    "date": "'2026-01-01'",
    "timestamptz": "'2026-01-01'",
    "jsonb": "'{}'",
    "json": "'{}'",
    "uuid": "gen_random_uuid()",
}
KEYS = {
    "int": "1",
    "bigint": "1",
    "text": "'c1'",
    "varchar(9)": "'c1'",
    "uuid": f"'{'0' * 31}1'",
    "date": "'2026-01-01'",
}
CORRECTED = {"text": "b", "varchar(3)": "b", "int": "7", "numeric(4, 1)": "7.0"}
BLANKS = (None, "", "0", "false", "2026-01-01", "nobody", "{}")


@dataclass(frozen=True)
class Estate:
    """Customers, their notes by a join, and messages between two parties."""

    key: str
    type: str
    null: bool
    blank: str | None
    personal: str
    rectifies: bool
    flag: tuple[str, str] | None
    erase: str
    foreign: str | None
    loose: bool
    parties: bool

    @property
    def schema(self) -> str:
        """The tables, with rows of Anna."""
        row, key = ROWS[self.type], KEYS[self.key]
        null, loose = "" if self.null else "NOT NULL", "" if self.loose else "NOT NULL"
        foreign = "" if self.foreign is None else f"REFERENCES customer ON DELETE {self.foreign}"
        flag = self.flag[0] if self.flag else "text"
        return f"""
        CREATE TABLE customer (id {self.key} PRIMARY KEY, email text, fact {self.type} {null}, stop {flag});
        CREATE TABLE note (id int PRIMARY KEY, customer {self.key} {loose} {foreign}, fact {self.type} {null});
        CREATE TABLE message (id int PRIMARY KEY, a text, b text, fact {self.type} {null}, stop {flag});
        INSERT INTO customer VALUES ({key}, 'anna@example.org', {row});
        INSERT INTO note VALUES (1, {key}, {row});
        INSERT INTO message VALUES (1, 'anna@example.org', 'boris@example.org', {row});
        """

    @property
    def dataset(self) -> str:
        """The declaration of these tables."""
        blank = "" if self.blank is None else f', blank = "{self.blank}"'
        fact = f'class = "{self.personal}"{blank}' + (', rectifies = "name"' if self.rectifies else "")
        flag = f"restrict = {{ stop = {self.flag[1]} }}" if self.flag else ""
        erase = f'on_erase = "{self.erase}"'
        party = ', party = "a"' if self.parties else ""
        parties = 'on_erase = "blank"\nparties = { a = {}, b = {} }' if self.parties else ""
        return f"""
        name = "estate"
        [tables.customer]
        category = "account"
        primary_key = ["id"]
        {flag}
        [tables.customer.columns]
        id = {{ class = "T" }}
        email = {{ class = "A", identity = "email" }}
        fact = {{ {fact} }}
        stop = {{ class = "T" }}
        [tables.note]
        category = "contact"
        primary_key = ["id"]
        {erase}
        belongs_to = [{{ table = "customer", on = {{ customer = "id" }} }}]
        columns = {{ id = {{ class = "T" }}, customer = {{ class = "A" }}, fact = {{ {fact} }} }}
        [tables.message]
        category = "letter"
        primary_key = ["id"]
        {parties}
        {flag}
        [tables.message.columns]
        id = {{ class = "T" }}
        a = {{ class = "A", identity = "email"{', party = "a"' if self.parties else ""} }}
        b = {{ class = "A"{', identity = "email", party = "b"' if self.parties else ""} }}
        fact = {{ {fact}{party} }}
        stop = {{ class = "T" }}
        """


ESTATES = st.builds(
    Estate,
    key=st.sampled_from([*KEYS]),
    type=st.sampled_from([*ROWS]),
    null=st.booleans(),
    blank=st.sampled_from(BLANKS),
    personal=st.sampled_from("AMC"),
    rectifies=st.booleans(),
    flag=st.sampled_from([None, ("boolean", "true"), ("text", '"yes"'), ("varchar(2)", '"yes"'), ("int", '"yes"')]),
    erase=st.sampled_from(["delete", "blank"]),
    foreign=st.sampled_from([None, "NO ACTION", "CASCADE", "SET NULL"]),
    loose=st.booleans(),
    parties=st.booleans(),
)


async def tried(dsn: str, folder: Path, estate: Estate) -> tuple[list[str], list[str]]:
    """Returns what the check finds missing, and which operations fail for Anna."""
    await ask(dsn, "DROP TABLE IF EXISTS note, message, customer")
    for statement in estate.schema.split(";\n"):
        await ask(dsn, statement)
    (folder / "estate.toml").write_text(estate.dataset, encoding="utf-8")
    try:
        Dataset.load(str(folder / "estate.toml"))
    except Misconfigured:
        reject()
    async with engine(dsn, folder / "estate.toml", {}) as store:
        try:
            wrong = await missing(store)
        except DsrError as refused:
            wrong = [str(refused)]
        if wrong:
            return wrong, []
        corrections = [("name", None, CORRECTED.get(estate.type, ""))]
        asked = [task(Operation.LOCATE, ANNA), task(Operation.EXPORT, ANNA)]
        if estate.flag:
            asked += [task(Operation.RESTRICT, ANNA, ground="accuracy_contested")]
        able = not store.adapter.can.missing_declarations["uncorrected"]
        if able and estate.rectifies and estate.type in CORRECTED:
            asked.append(task(Operation.RECTIFY, ANNA, changes=corrections))
        asked.append(task(Operation.ERASE, ANNA))
        results = [(each.operation, await store.one(each)) for each in asked]
        return [], [f"{operation}: {result}" for operation, result in results if isinstance(result, DsrError)]


@settings(max_examples=40, phases=[Phase.explicit, Phase.generate], deadline=None, suppress_health_check=[*HealthCheck])
@given(estate=ESTATES)
def test_green_check_means_that_each_operation_works(empty_database: str, tmp_path: Path, estate: Estate) -> None:
    async def run() -> tuple[list[str], list[str]]:
        if not await ask(empty_database, "SELECT FROM pg_namespace WHERE nspname = 'dsr_platform'"):
            await with_tables(empty_database, "")
        return await tried(empty_database, tmp_path, estate)

    assert not asyncio.run(run())[1]


SOUND = Estate(
    key="int",
    type="text",
    null=True,
    blank=None,
    personal="A",
    rectifies=True,
    flag=("boolean", "true"),
    erase="blank",
    foreign=None,
    loose=True,
    parties=False,
)


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        ("", None),
        ("REVOKE UPDATE (stop) ON customer FROM {0}", 'GRANT UPDATE ("stop") ON "public"."customer" TO {0}'),
        ("REVOKE SELECT ON note FROM {0}", 'GRANT SELECT ("customer", "fact", "id") ON "public"."note" TO {0}'),
        ("REVOKE DELETE ON message FROM {0}", 'GRANT DELETE ON "public"."message" TO {0}'),
        ("ALTER TABLE note ALTER fact SET NOT NULL", "public.note keeps rows without fact, which may not be NULL"),
        ("ALTER TABLE customer ALTER stop TYPE int USING 1", "cannot hold 'true' in stop"),
        ("ALTER TABLE note DROP COLUMN fact", "public.note has no column fact"),
    ],
)
async def test_planted_fault_is_named_and_nothing_is_changed(
    empty_database: str, tmp_path: Path, planted: str, says: str | None
) -> None:
    dsn, role = await with_tables(empty_database, SOUND.schema), f"checked_{empty_database.rpartition('_')[2]}"
    (tmp_path / "estate.toml").write_text(SOUND.dataset, encoding="utf-8")
    await ask(dsn, f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    columns = "UPDATE (fact, stop) ON customer", "UPDATE ON note", "UPDATE ON message"
    rights = [*columns, "SELECT, DELETE ON customer, note, message", "USAGE ON SCHEMA dsr_platform"]
    for right in [*rights, "ALL ON ALL TABLES IN SCHEMA dsr_platform"]:
        await ask(dsn, f"GRANT {right} TO {role}")
    if planted:
        await ask(dsn, planted.format(role))
    try:
        async with engine(databases.as_role(dsn, role, "x"), tmp_path / "estate.toml", {}) as store:
            found = await missing(store)
    finally:
        await ask(dsn, f"DROP OWNED BY {role}")
        await ask(dsn, f"DROP ROLE {role}")
    assert (found == []) is (says is None), found
    assert says is None or says.format(role) in "; ".join(found)
    assert await ask(dsn, "SELECT count(*) FROM message WHERE a = 'anna@example.org'") == [(1,)]
