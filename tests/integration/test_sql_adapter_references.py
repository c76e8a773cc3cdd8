"""Foreign keys of a store: in what order rows go, what would go with them, and what nobody has declared."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local import postgres_databases as databases
from shared.domain.errors import ForeignHit
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.sql.catalog import DatasetOutdated
from tests.fixtures.cdr import SqlEngine, ask, each, engine, with_tables
from tests.fixtures.downstream import email, receipt, task

ANNA = email("anna@example.org")
ERASE = Operation.ERASE
SCHEMA = """
CREATE TABLE account (id int PRIMARY KEY, email text, main_contact int);
CREATE TABLE contact (id int PRIMARY KEY, account_id int NOT NULL, name text);
CREATE TABLE letter (id int PRIMARY KEY, account_id int REFERENCES account ON DELETE CASCADE, sender text,
    answers int);
INSERT INTO account VALUES (1, 'anna@example.org', 11), (2, 'boris@example.org', 12);
INSERT INTO contact VALUES (11, 1, 'Anna'), (12, 2, 'Boris'), (13, 1, 'Ann');
INSERT INTO letter VALUES (1, 1, 'anna@example.org'), (2, 2, 'boris@example.org');
"""
FORTH = "ALTER TABLE contact ADD CONSTRAINT forth FOREIGN KEY (account_id) REFERENCES account "
BACK = "ALTER TABLE account ADD CONSTRAINT back FOREIGN KEY (main_contact) REFERENCES contact "
DATASET = """
name = "accounts"
[tables.account]
category = "account"
primary_key = ["id"]
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, main_contact = { class = "T" } }
[tables.contact]
category = "contact"
primary_key = ["id"]
via = [{ table = "account", on = { account_id = "id" } }]
columns = { id = { class = "T" }, account_id = { class = "T" }, name = { class = "A" } }
[tables.letter]
category = "letter"
primary_key = ["id"]
[tables.letter.columns]
id = { class = "T" }
account_id = { class = "T" }
answers = { class = "T" }
sender = { class = "A", identity = "email" }
"""
LEFT = "SELECT 'a' || id FROM account UNION SELECT 'c' || id FROM contact UNION SELECT 'l' || id FROM letter ORDER BY 1"


@pytest.fixture
async def dsn(empty_database: str) -> str:
    """The database of some accounts."""
    return await with_tables(empty_database, SCHEMA)


@pytest.fixture
async def accounts(dsn: str, tmp_path: Path) -> AsyncIterator[SqlEngine]:
    """Its adapter."""
    (tmp_path / "accounts.toml").write_text(DATASET, encoding="utf-8")
    async with engine(dsn, tmp_path / "accounts.toml", {}) as accounts:
        yield accounts


@pytest.mark.parametrize("back", ["", "DEFERRABLE", None], ids=["a column emptied", "deferred", "no circle"])
async def test_rows_go_in_the_order_of_their_foreign_keys_and_each_is_counted(
    accounts: SqlEngine, dsn: str, back: str | None
) -> None:
    for statement in [FORTH, *([] if back is None else [BACK + back])]:
        await ask(dsn, statement)
    done = receipt((await accounts.run(*each(ERASE, ANNA, email("nobody@example.org"))))[0])
    assert (done.outcome, done.by_category) == (TaskOutcome.ERASED, {"account": 1, "contact": 2, "letter": 1})
    assert [row[0] for row in await ask(dsn, LEFT)] == ["a2", "c12", "l2"]


async def test_a_letter_of_somebody_else_that_hangs_on_the_subjects_account_is_not_deleted_with_it(
    accounts: SqlEngine, dsn: str
) -> None:
    await ask(dsn, "UPDATE letter SET account_id = 1 WHERE id = 2")
    before = await ask(dsn, LEFT)
    refused = await accounts.one(task(ERASE, ANNA))
    assert isinstance(refused, ForeignHit)
    assert "1 rows of letter refer to rows of the subject in account" in str(refused)
    assert await ask(dsn, LEFT) == before


@pytest.mark.parametrize("action", ["CASCADE", "NO ACTION"])
async def test_what_hangs_on_a_row_in_the_same_table_goes_only_if_it_is_the_subjects(
    accounts: SqlEngine, dsn: str, action: str
) -> None:
    await ask(dsn, f"ALTER TABLE letter ADD FOREIGN KEY (answers) REFERENCES letter ON DELETE {action}")
    await ask(dsn, "INSERT INTO letter VALUES (3, NULL, 'anna@example.org', 1), (4, NULL, 'boris@example.org', 3)")
    before = await ask(dsn, LEFT)
    refused = await accounts.one(task(ERASE, ANNA))
    assert isinstance(refused, ForeignHit)
    assert "1 rows of letter refer to rows of the subject in letter" in str(refused)
    assert await ask(dsn, LEFT) == before
    await ask(dsn, "UPDATE letter SET answers = NULL WHERE id = 4")
    assert (await accounts.receipt(task(ERASE, ANNA))).by_category == {"account": 1, "contact": 2, "letter": 2}


async def test_what_the_database_empties_in_rows_of_others_is_counted_and_nothing_is_put_there_instead(
    accounts: SqlEngine, dsn: str
) -> None:
    await ask(dsn, "ALTER TABLE letter DROP CONSTRAINT letter_account_id_fkey, ALTER account_id SET DEFAULT 2")
    foreign = "ALTER TABLE letter ADD CONSTRAINT of_account FOREIGN KEY (account_id) REFERENCES account ON DELETE SET "
    await ask(dsn, f"{foreign}DEFAULT")
    await ask(dsn, "UPDATE letter SET account_id = 1")
    refused = await accounts.one(task(ERASE, ANNA))
    assert isinstance(refused, ForeignHit), "Boris' letter would become one of account 2"
    await ask(dsn, "ALTER TABLE letter DROP CONSTRAINT of_account")
    await ask(dsn, f"{foreign}NULL")
    erased, nobody = await accounts.run(*each(ERASE, ANNA, email("nobody@example.org")))
    assert receipt(erased).by_category == {"account": 1, "contact": 2, "letter": 2}, "her own, and his that is emptied"
    assert receipt(nobody).outcome is TaskOutcome.NO_MATCH
    assert await ask(dsn, "SELECT id, account_id FROM letter") == [(2, None)]


async def test_the_check_names_what_would_be_refused_or_hidden_at_work(dsn: str, tmp_path: Path) -> None:
    name = f"checked_{dsn.rpartition('/')[2].rpartition('_')[2]}"
    parties = DATASET.replace(
        'category = "letter"', 'category = "letter"\nerase = "blank"\nparties = { a = {}, b = {} }'
    )
    parties = parties.replace('identity = "email" }', 'identity = "email", party = "a" }').replace(
        'email = { class = "A", identity = "email", party = "a" }', 'email = { class = "A", identity = "email" }'
    )
    parties = parties.replace('answers = { class = "T" }', 'answers = { class = "A", party = "b" }')
    (tmp_path / "accounts.toml").write_text(parties, encoding="utf-8")
    await ask(dsn, f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    for statement in (
        f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO {name}",
        f"GRANT DELETE ON account, contact TO {name}",
        "ALTER TABLE account ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY half ON account TO {name} USING (id % 2 = 0)",
        "ALTER TABLE contact ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY whole ON contact TO {name} USING (true)",
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
    ):
        await ask(dsn, statement)
    async with engine(databases.as_role(dsn, name, "x"), tmp_path / "accounts.toml", {}) as checked:
        said = "; ".join(await checked.adapter.inspect())
    await ask(dsn, f"DROP OWNED BY {name}")
    await ask(dsn, f"DROP ROLE {name}")
    assert said.count(f'GRANT USAGE ON SCHEMA "public" TO {name}') == 3
    assert f'GRANT DELETE ON "public"."letter" TO {name}' in said, "who is alone in a row that is blanked goes with it"
    assert "row security may hide rows of public.account" in said
    assert "public.contact from this role" not in said


async def test_a_table_that_refers_to_a_declared_one_and_is_not_declared_is_named_before_anything_is_done(
    accounts: SqlEngine, dsn: str
) -> None:
    await ask(dsn, "CREATE TABLE rating (id int PRIMARY KEY, account_id int REFERENCES account ON DELETE SET NULL)")
    await ask(dsn, "CREATE TABLE visit (id int PRIMARY KEY, account_id int REFERENCES account ON DELETE CASCADE)")
    before = await ask(dsn, LEFT)
    with pytest.raises(DatasetOutdated, match=r"rating \(to account, rating_account_id_fkey\), visit"):
        await accounts.adapter.inspect()
    with pytest.raises(DatasetOutdated, match="declare each, with via"):
        await accounts.one(task(ERASE, ANNA))
    assert await ask(dsn, LEFT) == before
    assert (await accounts.receipt(task(Operation.EXPORT, ANNA))).found == 4
