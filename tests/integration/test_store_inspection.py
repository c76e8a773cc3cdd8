"""A check of a live store says everything in which it is not as declared, at once, and touches nothing."""

from pathlib import Path

from deploy.local.postgres_databases import as_role
from shared.domain.clock import SystemClock
from shared.downstreams.check import check
from shared.downstreams.registry import Wiring
from shared.downstreams.sql.dialects import schema_for
from shared.storage.postgres import connected
from tests.fixtures.cdr import ask, with_tables
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.policy import nothing_kept
from tests.unit.test_registry import publish

TABLE = '[shop]\nadapter = "sql"\ndsn_env = "STORE"\ndataset = "customers.toml"\nneeds = {needs}\n'


async def faults(folder: Path, dsn: str, needs: str = '["account_id", "email", "phone"]') -> list[str]:
    """What a check says is wrong."""
    (folder / "downstreams.toml").write_text(TABLE.format(needs=needs))
    wiring = Wiring({"STORE": dsn}, SystemClock(), publish, b"", policy=nothing_kept())
    (shop,) = await check(folder / "downstreams.toml", wiring)
    assert shop.looked, shop.faults
    return [fault.says for fault in shop.faults]


async def test_what_is_missing_unclassified_or_forbidden_in_a_store_is_told_at_once_with_the_mend(
    customer_store: CustomerStore, tmp_path: Path
) -> None:
    assert await faults(tmp_path, customer_store.dsn) == []
    await customer_store.run(
        "ALTER TABLE customer ADD COLUMN nickname text, ADD COLUMN shoe_size int, DROP COLUMN born",
        "DROP TABLE contact",
        "CREATE ROLE dsr_shop LOGIN PASSWORD 'shop'",
        "GRANT SELECT ON customer TO dsr_shop",
        "GRANT DELETE ON number_assignment TO dsr_shop",
        "GRANT SELECT (account_id, e164) ON number_assignment TO dsr_shop",
    )
    try:
        told = await faults(tmp_path, as_role(customer_store.dsn, "dsr_shop", "shop"))
    finally:
        await customer_store.run("DROP OWNED BY dsr_shop", "DROP ROLE dsr_shop")
    grant = "this role may not do what is declared: let the owner run GRANT"
    assert told == [
        "public.customer has no column born, which customer.columns declares: correct the dataset",
        "public.customer has columns that the dataset does not classify: nickname, shoe_size; give each a class",
        f'{grant} UPDATE ("email", "marketing", "name", "restricted", "street") ON "public"."customer" TO dsr_shop',
        f'{grant} DELETE ON "public"."customer" TO dsr_shop',
        f'{grant} SELECT ("valid_from", "valid_to") ON "public"."number_assignment" TO dsr_shop',
        "public.contact is declared and does not exist: correct its name, or the namespace of the table",
    ]


async def test_the_grants_that_are_told_can_be_run_as_they_are(empty_database: str, tmp_path: Path) -> None:
    role = f"dsr_{empty_database.rpartition('_')[2]}"
    store = await with_tables(
        empty_database,
        f"""CREATE SCHEMA "the shop"; CREATE TABLE "the shop"."user" ("order" int PRIMARY KEY, "E-Mail" text);
        CREATE ROLE {role} LOGIN PASSWORD 'x';""",
    )
    (tmp_path / "customers.toml").write_text(
        """
        name = "customers"
        [tables.user]
        schema = "the shop"
        category = "account"
        primary_key = ["order"]
        columns = { order = { class = "T" }, E-Mail = { class = "A", identity = "email", rectifies = "email" } }
        """
    )
    theirs = as_role(store, role, "x")
    try:
        async with connected(store) as owner:
            await owner.execute(schema_for(theirs))
            for _ in range(3):  # what is granted lets it see what else is missing
                for said in await faults(tmp_path, theirs, '["email"]'):
                    await owner.execute(said.partition("let the owner run ")[2])
        assert await faults(tmp_path, theirs, '["email"]') == []
    finally:
        await ask(store, f"DROP OWNED BY {role}")
        await ask(store, f"DROP ROLE {role}")
