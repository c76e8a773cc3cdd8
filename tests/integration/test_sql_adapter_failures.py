"""Every named failure of a SQL store: found before anything is done, and nobody else's data touched."""

from typing import cast

import pytest

from shared.domain.errors import (
    BlastRadius,
    ColumnUnmapped,
    ForeignHit,
    Misconfigured,
    Refused,
    ResidueFound,
    TableMissing,
    Unavailable,
)
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import CAN, Result
from shared.downstreams.sql import SqlAdapter
from tests.fixtures.cdr import Notes, connected, opened, receipt, task
from tests.fixtures.customer_store import CustomerStore, customer_store

__all__ = ["customer_store"]
EMAIL = Identity(IdentityType.EMAIL, "anna.meier@example.org")
ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1")
UNTOUCHED = [(3,)]
HOW_MANY = "SELECT count(*) FROM customer"


async def ask(adapter: SqlAdapter, operation: Operation, *identities: Identity) -> Result:
    method = getattr(adapter, CAN[operation][1])
    (result,) = await method([task(*identities, operation=operation)], Notes().save_progress)
    return cast("Result", result)


async def erase(adapter: SqlAdapter, *identities: Identity) -> Result:
    return await ask(adapter, Operation.ERASE, *identities)


async def test_a_table_that_is_gone_is_a_failure_and_not_an_empty_search(customer_store: CustomerStore) -> None:
    await customer_store.run("DROP TABLE contact")
    async with opened(customer_store.dsn, customer_store.dataset) as adapter:
        for operation in (Operation.ERASE, Operation.EXPORT, Operation.LOCATE, Operation.RESTRICT):
            with pytest.raises(TableMissing, match="contact"):
                await ask(adapter, operation, EMAIL)
    assert await customer_store.ask(HOW_MANY) == UNTOUCHED


async def test_a_new_column_that_can_name_somebody_blocks_erasure_until_it_is_classified(
    customer_store: CustomerStore,
) -> None:
    async with opened(customer_store.dsn, customer_store.dataset) as adapter:
        await customer_store.run("ALTER TABLE contact ADD COLUMN callback_number text")
        with pytest.raises(ColumnUnmapped, match="callback_number"):
            await erase(adapter, EMAIL)
        assert await customer_store.ask(HOW_MANY) == UNTOUCHED


async def test_a_new_column_that_cannot_name_anybody_blocks_export_alone(customer_store: CustomerStore) -> None:
    await customer_store.run("ALTER TABLE contact ADD COLUMN urgent boolean")
    async with opened(customer_store.dsn, customer_store.dataset) as adapter:
        with pytest.raises(ColumnUnmapped, match="urgent"):
            await adapter.export([task(EMAIL, operation=Operation.EXPORT)], Notes().save_progress)
        assert receipt(await erase(adapter, EMAIL)).outcome is TaskOutcome.ERASED


async def test_a_declared_column_that_is_not_there_is_a_fault_of_the_configuration(
    customer_store: CustomerStore,
) -> None:
    await customer_store.run("ALTER TABLE contact DROP COLUMN requester")
    async with opened(customer_store.dsn, customer_store.dataset) as adapter:
        with pytest.raises(Misconfigured, match="requester") as failure:
            await erase(adapter, EMAIL)
    assert isinstance(failure.value, Refused)  # so the engine hands it to a person instead of trying again


async def test_a_column_whose_equality_is_loose_never_erases_a_neighbour(customer_store: CustomerStore) -> None:
    await customer_store.run(
        "CREATE EXTENSION citext",
        "ALTER TABLE contact ALTER COLUMN requester TYPE citext",
        "INSERT INTO contact VALUES (4, 'ANNA.meier@example.org', 'Somebody else', '2026-02-03 09:00+00')",
    )
    other = Identity(IdentityType.EMAIL, "boris@example.org")
    async with opened(customer_store.dsn, customer_store.dataset) as adapter:
        refused, done = await adapter.erase([task(EMAIL), task(other)], Notes().save_progress)
    assert isinstance(refused, ForeignHit)
    assert "anna" not in str(refused).lower()
    assert receipt(done).by_category == {"account": 1, "contact": 1}
    assert await customer_store.ask("SELECT id FROM contact ORDER BY id") == [(1,), (2,), (4,)]


async def test_more_people_than_one_request_may_touch_stop_it_before_anything_is_done(
    customer_store: CustomerStore,
) -> None:
    await customer_store.run("UPDATE customer SET email = 'Anna.Meier@example.org' WHERE account_id = 'C2'")
    async with opened(customer_store.dsn, customer_store.dataset) as adapter:
        for operation in (Operation.ERASE, Operation.EXPORT, Operation.LOCATE, Operation.SUPPRESS):
            assert isinstance(await ask(adapter, operation, EMAIL), BlastRadius)
    assert await customer_store.ask(HOW_MANY) == UNTOUCHED
    assert await customer_store.ask("SELECT DISTINCT marketing FROM customer") == [(True,)]


async def test_more_rows_than_one_request_may_touch_stop_that_request_alone(customer_store: CustomerStore) -> None:
    boris = Identity(IdentityType.EMAIL, "boris@example.org")
    async with opened(customer_store.dsn, customer_store.dataset, max_rows=2) as adapter:
        refused, done = await adapter.erase([task(EMAIL), task(boris)], Notes().save_progress)
        alone = await erase(adapter, EMAIL)
    assert isinstance(refused, BlastRadius)
    assert isinstance(alone, BlastRadius)
    assert receipt(done).found == 2
    assert await customer_store.ask("SELECT account_id FROM customer ORDER BY 1") == [("C1",), ("C2",)]


async def test_a_store_that_says_yes_and_keeps_the_row_is_found_out(customer_store: CustomerStore) -> None:
    await customer_store.run(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER keep BEFORE DELETE ON contact FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    async with opened(customer_store.dsn, customer_store.dataset) as adapter:
        assert isinstance(await erase(adapter, EMAIL), ResidueFound)


@pytest.mark.parametrize(("arrivals", "caught"), [(3, True), (100, False)])
async def test_rows_that_keep_arriving_are_chased_a_few_times_and_then_told(
    customer_store: CustomerStore, arrivals: int, *, caught: bool
) -> None:
    await customer_store.run(
        f"""CREATE FUNCTION arrive() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO contact SELECT max(id) + 1, old.requester, 'one more', now() FROM (SELECT max(id) AS id
            FROM contact UNION ALL SELECT old.id) known HAVING max(id) < {3 + arrivals}; RETURN NULL; END $$""",
        "CREATE TRIGGER arrive AFTER DELETE ON contact FOR EACH ROW WHEN (old.id >= 2) EXECUTE FUNCTION arrive()",
    )
    async with opened(customer_store.dsn, customer_store.dataset) as adapter:
        result = await erase(adapter, EMAIL)
    if caught:
        done = receipt(result)
        assert (done.found, done.changed, done.remaining) == (3 + arrivals, 3 + arrivals, 0)
    else:
        assert isinstance(result, ResidueFound)


async def test_a_row_that_somebody_holds_is_waited_for_briefly_and_then_tried_again_later(
    customer_store: CustomerStore,
) -> None:
    async with (
        opened(customer_store.dsn, customer_store.dataset, lock_seconds=0.2) as adapter,
        connected(customer_store.dsn) as other,
        other.transaction(),
    ):
        await other.execute("UPDATE customer SET street = street WHERE account_id = 'C1'")
        with pytest.raises(Unavailable):
            await erase(adapter, EMAIL)


async def test_a_store_that_is_away_is_tried_again_later(customer_store: CustomerStore) -> None:
    away = "postgresql://nobody@127.0.0.1:1/none"
    async with opened(away, customer_store.dataset) as adapter:
        with pytest.raises(Unavailable):
            await erase(adapter, EMAIL)


async def test_a_store_without_its_connection_string_says_which_variable_to_set(customer_store: CustomerStore) -> None:
    with pytest.raises(Misconfigured, match="DSR_STORE_DSN"):
        async with opened("", customer_store.dataset):
            pytest.fail("it opened")


async def test_an_identity_that_is_an_attack_is_a_value_like_any_other(customer_store: CustomerStore) -> None:
    attack = Identity(IdentityType.EMAIL, "x'); DELETE FROM customer; --@example.org")
    async with opened(customer_store.dsn, customer_store.dataset) as adapter:
        assert receipt(await erase(adapter, attack)).outcome is TaskOutcome.NO_MATCH
    assert await customer_store.ask(HOW_MANY) == UNTOUCHED


async def test_names_of_tables_and_columns_are_quoted_whatever_is_in_them(customer_store: CustomerStore) -> None:
    await customer_store.run('ALTER TABLE contact RENAME TO "con""tact; --"')
    await customer_store.run('ALTER TABLE "con""tact; --" RENAME COLUMN subject TO "sub ject"')
    text = customer_store.dataset.read_text(encoding="utf-8")
    text = text.replace("tables.contact", "tables.'con\"tact; --'").replace("subject =", "'sub ject' =")
    customer_store.dataset.write_text(text, encoding="utf-8")
    async with opened(customer_store.dsn, customer_store.dataset) as adapter:
        assert receipt(await erase(adapter, EMAIL, ACCOUNT)).by_category == {"account": 1, "number": 2, "contact": 2}
