"""What a row of a MariaDB, the real server, names is not told or done for whoever has written it (REQ-N5, REQ-S1)."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.domain.errors import BlastRadius
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import OF_ONE_PERSON, Change, Limit, Operation, ShownRecord
from shared.downstreams.contract import Task
from tests.fixtures.downstream import WorkedSystem, email, task
from tests.fixtures.mariadb_shop import DATASET, Shop

FILED = """
[tables.support]
category = "ticket"
primary_key = ["id"]
[tables.support.columns]
id = { class = "T" }
requester = { class = "A", identity = "email" }
account = { class = "A", identity = "account_id", yields = true }
[tables.use]
category = "call"
primary_key = ["id"]
columns = { id = { class = "T" }, account = { class = "A", identity = "account_id" }, seconds = { class = "M" } }
"""


@pytest.fixture
async def store(shop: Shop, system: WorkedSystem) -> AsyncIterator[WorkedSystem]:
    """The shop with what a stranger has written under C8, which an erasure has left, and what is filed by account."""
    del system  # whoever is in the shop
    await shop.run(
        "CREATE TABLE support (id int PRIMARY KEY, requester varchar(190), account varchar(40),"
        " KEY (requester), KEY (account)) ENGINE = InnoDB",
        "CREATE TABLE `use` (id int PRIMARY KEY, account varchar(40), seconds int, KEY (account)) ENGINE = InnoDB",
        "INSERT INTO support VALUES (1, 'mallory@example.org', 'C8')",
        "INSERT INTO `use` VALUES (1, 'C8', 60), (2, 'C2', 61)",
    )
    store = shop.connected(DATASET + FILED)
    yield store
    await store.close()


def asking(operation: Operation, who: str, *, claimed: bool | None) -> Task:
    account = Identity(IdentityType.ACCOUNT_ID, "C8", source="shop", level="L2", claimed=bool(claimed))
    asked = replace(task(operation, email(f"{who}@example.org"), *([] if claimed is None else [account])))
    change = Change(
        field="seconds", asserted="it was shorter", record=ShownRecord(category="call", fields={"seconds": 60})
    )
    return replace(asked, changes=(change,) if operation is Operation.RECTIFY else ())


async def test_who_has_named_an_account_gets_none_of_its_rows(shop: Shop, store: WorkedSystem) -> None:
    operations = sorted(OF_ONE_PERSON - {Operation.LIFT})
    told = [(who, each, True) for who in ("eve", "mallory") for each in operations]
    for who, operation, claimed in (*told, ("mallory", Operation.LOCATE, None)):
        result = await store.one(asking(operation, who, claimed=claimed))
        assert isinstance(result, BlastRadius), (who, operation, result)
        assert result.exceeded
        assert (result.exceeded.limit, result.exceeded.found) == (Limit.MAX_PEOPLE, 2)
    assert await shop.ask("SELECT (SELECT count(*) FROM support), (SELECT count(*) FROM `use`)") == [(1, 2)]


async def test_a_proof_two_persons_or_the_account_s_own_record_say_whose_they_are(store: WorkedSystem) -> None:
    mallory = asking(Operation.EXPORT, "mallory", claimed=True)
    boris = asking(Operation.EXPORT, "boris", claimed=None)
    located = await store.receipt(replace(boris, operation=Operation.LOCATE))
    for asked, found in (
        (asking(Operation.EXPORT, "mallory", claimed=False), {"ticket": 1, "call": 1}),
        (replace(mallory, confirmed={Limit.MAX_PEOPLE: 2}), {"ticket": 1, "call": 1}),
        (replace(boris, identities=(*boris.identities, *located.identities)), {"account": 1, "order": 2, "call": 1}),
    ):
        assert (await store.receipt(asked)).by_category == found
