"""What a MariaDB, the real server, leaves as it is in an erasure, category by category, and what goes all the same."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.errors import GroundUnknown, RuleUnsigned
from shared.domain.operations import Limit, Operation, TaskOutcome
from shared.domain.policy import read_policy
from shared.downstreams.contract import Task
from tests.fixtures.downstream import WorkedSystem, email, task
from tests.fixtures.mariadb_shop import DATASET, LONGEST, Shop
from tests.fixtures.policy import signed_policy

# No period keeps anything of it: that would be a person's.
LEAVING = DATASET.replace('category = "call"', 'category = "message"')
PURCHASE = 'category = "order"\nprimary_key = ["id"]'
TELLING = LEAVING.replace(PURCHASE, PURCHASE.replace("order", "contact")).replace("open_order", "active_contract")
TABLES = ("customer", "line", "purchase", LONGEST)
AT = datetime(2026, 3, 1, tzinfo=UTC)


def asking(operation: Operation = Operation.ERASE, **said: Any) -> Task:
    return replace(task(operation, email("anna@example.org")), system="shop", at=AT, **said)


async def there(shop: Shop) -> dict[str, int]:
    """How many rows of hers each table has."""
    mine = {"customer": "account_id", "line": "account_id", "purchase": "buyer"}
    counts = {n: (await shop.ask(f"SELECT count(*) FROM {n} WHERE {c} = 'C1'"))[0][0] for n, c in mine.items()}
    lines = f"SELECT count(*) FROM `{LONGEST}` WHERE purchase_id IN (1, 2)"
    return counts | {LONGEST: (await shop.ask(lines))[0][0]}


ALL = dict(zip(TABLES, (1, 1, 2, 3), strict=True))


@pytest.mark.parametrize(
    ("dataset", "said", "stays", "rule"),
    [
        (LEAVING, {"states": {"contract_active": False}}, (), None),
        (LEAVING, {"states": {"contract_active": True}}, ("customer", "line"), "active_contract"),
        (LEAVING, {"held": frozenset({"order"})}, ("customer", "purchase", LONGEST), "legal_hold"),
        (LEAVING, {"held": frozenset({"account"})}, ("customer",), "legal_hold"),
        (TELLING, {}, ("customer", "line", "purchase"), "active_contract"),
    ],
    ids=["it is over", "another tells", "a hold, and what leads there", "a hold", "a row tells it"],
)
@pytest.mark.usefixtures("system")
async def test_what_is_kept_stays_with_what_leads_to_it_and_the_rest_goes(
    shop: Shop, dataset: str, said: dict[str, Any], stays: tuple[str, ...], rule: str | None
) -> None:
    if dataset is TELLING:
        await shop.run("UPDATE purchase SET state = 'open', replaces = NULL WHERE id = 1")
    store = shop.connected(dataset, policy=signed_policy())
    planned = await store.receipt(asking(Operation.PLAN, **said))
    erasing = asking(**said)
    erased = await store.receipt(erasing)
    left = {name: rows if name in stays else 0 for name, rows in ALL.items()}
    if dataset is TELLING:
        left["purchase"] = 1  # the other is over by its own row
    assert await there(shop) == left
    assert (erased.outcome, erased.found, erased.changed, erased.remaining) == (
        TaskOutcome.RETAINED if stays else TaskOutcome.ERASED,
        7,
        7 - sum(left.values()),
        sum(left.values()),
    )
    assert (planned.kept, planned.remaining) == (erased.kept, erased.remaining)
    assert {each.rule for each in erased.kept or ()} == ({rule} if rule else set())
    assert await store.receipt(store.again(erasing)) == erased
    await store.close()


@pytest.mark.usefixtures("system")
async def test_what_is_not_decided_lets_nothing_go_and_two_persons_let_go_what_nobody_has_signed(shop: Shop) -> None:
    store = shop.connected(LEAVING, policy=read_policy())
    for operation in (Operation.PLAN, Operation.ERASE):
        unknown = await store.one(asking(operation, states={"contract_active": None}))
        assert isinstance(unknown, GroundUnknown), unknown
        unsigned = await store.one(asking(operation, states={"contract_active": True}))
        assert isinstance(unsigned, RuleUnsigned), unsigned
        assert "2 rows (account: 1, number: 1) are what active_contract is about" in str(unsigned)
    assert await there(shop) == ALL
    confirmed = {Limit.UNSIGNED_ROWS: 2}
    erased = await store.receipt(asking(states={"contract_active": True}, confirmed=confirmed))
    assert (erased.outcome, erased.found) == (TaskOutcome.ERASED, 7)
    await store.close()


@pytest.mark.usefixtures("system")
async def test_a_row_that_refers_to_another_keeps_it_where_no_path_is_declared(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE deal (id int PRIMARY KEY, email varchar(190), buyer varchar(40) NOT NULL,"
        " FOREIGN KEY (buyer) REFERENCES customer (account_id)) ENGINE = InnoDB",
        "INSERT INTO deal VALUES (1, 'anna@example.org', 'C1')",
    )
    deal = (
        '[tables.deal]\ncategory = "subscription"\nprimary_key = ["id"]\n[tables.deal.columns]\nid = { class = "T" }\n'
        'email = { class = "A", identity = "email" }\nbuyer = { class = "T" }\n'
    )
    store: WorkedSystem = shop.connected(LEAVING + deal, policy=signed_policy())
    erased = await store.receipt(asking(held=frozenset({"subscription"})))
    assert [(each.category, each.count) for each in erased.kept or ()] == [("account", 1), ("subscription", 1)]
    assert await there(shop) == {"customer": 1, "line": 0, "purchase": 0, LONGEST: 0}
    await store.close()
