"""An address that was corrected since leads to the same person's rows where these bear their name, else to a person."""

from collections.abc import AsyncIterator

import pytest

from shared.domain.errors import NotSupported
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from tests.fixtures.cdr import SqlEngine, at, engine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, receipt, task

NOW = email("anna.meier@example.org")
FORMER = Identity(IdentityType.EMAIL, "anna.old@example.org", None, at("2026-01-10"), "crm")
NAME = Identity(IdentityType.NAME, "Anna Meier")
THEIRS = "INSERT INTO contact VALUES (7, 'anna.old@example.org', 'Lost', '2025-12-01 09:00+00', ' anna MEIER')"
DOUBTFUL = "INSERT INTO contact VALUES (8, 'anna.old@example.org', 'Odd', '2025-12-01 09:00+00', 'Zoe Bell')"
HELD = "SELECT id FROM contact ORDER BY id"


@pytest.fixture
async def contacts(customer_store: CustomerStore) -> AsyncIterator[SqlEngine]:
    """The store, whose contacts may still be filed under a former address, with the name of whoever wrote."""
    await customer_store.run("ALTER TABLE contact ADD name text", THEIRS)
    text = customer_store.dataset.read_text(encoding="utf-8")
    requester = 'requester = { class = "A", identity = "email"'
    assert requester in text
    declared = f'name = {{ class = "A" }}\n{requester}, former = "name"'
    customer_store.dataset.write_text(text.replace(requester, declared), encoding="utf-8")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as contacts:
        yield contacts


@pytest.mark.parametrize("others", [0, 2])
async def test_what_is_filed_under_a_former_address_with_their_name_is_copied_and_erased_with_the_rest(
    customer_store: CustomerStore, contacts: SqlEngine, others: int
) -> None:
    beside = [task(Operation.EXPORT, email(f"x{n}@example.org")) for n in range(others)]
    copied, *_ = await contacts.run(task(Operation.EXPORT, NOW, FORMER, NAME), *beside)
    titles = [record.data["subject"] for record in receipt(copied).records if record.category == "contact"]
    assert sorted(map(str, titles)) == ["Invoice", "Lost", "No dial tone"]
    beside = [task(Operation.ERASE, email(f"x{n}@example.org")) for n in range(others)]
    erased, *_ = await contacts.run(task(Operation.ERASE, NOW, FORMER, NAME), *beside)
    assert receipt(erased).by_category == {"account": 1, "contact": 3}
    assert await customer_store.ask(HELD) == [(3,)]


@pytest.mark.parametrize("operation", [Operation.EXPORT, Operation.ERASE, Operation.RESTRICT, Operation.SUPPRESS])
async def test_a_row_with_a_former_address_and_another_name_is_a_persons_matter_and_nothing_is_done(
    customer_store: CustomerStore, contacts: SqlEngine, operation: Operation
) -> None:
    await customer_store.run(DOUBTFUL)
    result = await contacts.one(task(operation, NOW, FORMER, NAME))
    assert isinstance(result, NotSupported)
    assert "1 rows of contact" in str(result)
    assert await customer_store.ask(HELD) == [(1,), (2,), (3,), (7,), (8,)]
    assert await customer_store.ask("SELECT restricted, marketing FROM customer WHERE account_id = 'C1'") == [
        (False, True)
    ]


async def test_without_a_name_or_a_declaration_a_former_address_finds_nobody(
    customer_store: CustomerStore, contacts: SqlEngine
) -> None:
    assert isinstance(await contacts.one(task(Operation.ERASE, NOW, FORMER)), NotSupported)
    await customer_store.run("ALTER TABLE contact DROP name")
    text = customer_store.dataset.read_text(encoding="utf-8")
    undeclared = text.replace('name = { class = "A" }\nrequester', "requester").replace(', former = "name"', "")
    customer_store.dataset.write_text(undeclared, encoding="utf-8")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as plain:
        assert (await plain.receipt(task(Operation.ERASE, FORMER, NAME))).found == 0
    assert (7,) in await customer_store.ask(HELD)


async def test_a_row_that_is_found_by_what_they_are_known_by_today_is_no_doubt(
    customer_store: CustomerStore, contacts: SqlEngine
) -> None:
    both = Identity(IdentityType.EMAIL, NOW.value, None, at("2026-01-10"), "crm")
    erased = await contacts.receipt(task(Operation.ERASE, NOW, both))
    assert erased.by_category["contact"] == 2
    assert await customer_store.ask(HELD) == [(3,), (7,)]
