"""What is changed in place through a declaration: each change counted, and what has no request told."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.domain.errors import DoneBefore, NotSupported
from shared.domain.operations import Change, Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from tests.contract.http_stands import ADA, Declared, declared, task
from tests.fixtures.engine import SetClock

DECLARATION = """
auth = { kind = "bearer", token_env = "HUBSPOT_TOKEN" }
check = { get = "/me" }
[resource.person]
category = "contact"
find = { get = "/people", query = { email = "{email}" }, by = ["email"], records = "items" }
owner = { email = "email" }
read = { get = "/people/{id}" }
[resource.person.restrict]
steps = [{ patch = "/people/{id}", body = { restricted = true } }]
seen = [{ path = "restricted", equals = true }]
[resource.person.suppress]
steps = [{ patch = "/people/{id}", body = { mail = false } }]
seen = [{ path = "mail", equals = false }]
[resource.person.rectify.name]
path = "name"
steps = [{ patch = "/people/{id}", body = { name = "{asserted}" } }]
[resource.person.rectify.email]
path = "email"
steps = [{ patch = "/people/{id}", body = { email = "{asserted}" } }]
[resource.order]
category = "order"
of = "person"
find = { get = "/people/{person.id}/orders", records = "items" }
owner = { person_id = "person.id" }
"""
Shop = tuple[Declared, dict[str, Any]]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """One person with two orders, and the system that has them."""
    ada: dict[str, Any] = {"id": 7, "email": ADA, "name": "Eda", "note": "n"}
    orders = [{"id": number, "person_id": 7, "to": ["EDITH"]} for number in (1, 2)]

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            ada.update(httpx.Response(200, content=request.content).json())
            return httpx.Response(200, json=ada)
        if request.url.path.endswith("/orders"):
            return httpx.Response(200, json={"items": orders})
        if request.url.path.endswith("/people"):
            return httpx.Response(200, json={"items": [ada] if request.url.params["email"] == ada["email"] else []})
        return httpx.Response(200, json=ada)

    (tmp_path / "shop.toml").write_text(DECLARATION)
    async with declared(tmp_path / "shop.toml", httpx.MockTransport(handle), SetClock()) as engine:
        yield engine, ada


def change(field: str, asserted: str, current: str | None = None) -> Change:
    return Change(field=field, asserted=asserted, current=current)


@pytest.mark.parametrize(
    ("changes", "outcome", "corrected", "now"),
    [
        ([change("name", "Ada"), change("note", "NN")], TaskOutcome.AMENDED, (1, 0), {"name": "Ada", "note": "n"}),
        ([change("name", "Ada", "Wrong")], TaskOutcome.UNCHANGED, (0,), {"name": "Eda"}),
        ([change("name", "Eda", "Wrong")], TaskOutcome.AMENDED, (1,), {"name": "Eda"}),
    ],
)
async def test_each_correction_is_counted_and_whoever_is_found_is_not_called_unknown(
    shop: Shop, changes: list[Change], outcome: TaskOutcome, corrected: tuple[int, ...], now: Mapping[str, str]
) -> None:
    engine, ada = shop
    [done] = await engine.adapter.amend([task(Operation.RECTIFY, ADA, *changes)], engine.save_progress)
    assert isinstance(done, Receipt), done
    assert (done.outcome, done.corrected) == (outcome, corrected)
    assert done.found > 0
    assert now.items() <= ada.items()


@pytest.mark.parametrize(
    ("changes", "says", "done"),
    [
        ([change("city", "Bilbao", "lisboa")], "in person what is to be corrected", None),
        ([change("name", "Ada"), change("city", "Bilbao", "Lisboa")], "in person what is to be corrected", (2, 1, 1)),
        ([change("city", "Bilbao")], "has no way to correct this", None),
    ],
    ids=["said", "beside what is corrected", "unsaid"],
)
async def test_what_a_record_holds_and_no_request_corrects_is_a_persons_part(
    shop: Shop, changes: list[Change], says: str, done: tuple[int, int, int] | None
) -> None:
    engine, ada = shop
    ada["home"] = {"city": "Lisboa"}
    [left] = await engine.adapter.amend([task(Operation.RECTIFY, ADA, *changes)], engine.save_progress)
    assert isinstance(left, NotSupported), left
    assert says in str(left)
    before = left.done_before and (left.done_before.found, left.done_before.changed, left.done_before.remaining)
    assert before == done


async def test_what_another_record_still_holds_of_the_old_value_is_a_persons_part(shop: Shop) -> None:
    engine, ada = shop
    ada["name"] = "Edith"
    [left] = await engine.adapter.amend([task(Operation.RECTIFY, ADA, change("name", "Ada"))], engine.save_progress)
    assert isinstance(left, NotSupported), left
    assert "in order what is to be corrected" in str(left)
    assert left.done_before == DoneBefore(found=3, changed=1, remaining=2)


async def test_what_no_record_holds_is_told_as_looked_for(shop: Shop) -> None:
    engine, _ = shop
    asked = task(Operation.RECTIFY, ADA, change("city", "Bilbao", "Porto"))
    [done] = await engine.adapter.amend([asked], engine.save_progress)
    assert isinstance(done, Receipt)
    assert (done.outcome, done.corrected) == (TaskOutcome.UNCHANGED, (0,))


async def test_who_is_not_found_any_more_by_what_was_corrected_is_not_called_unknown_after_a_crash(shop: Shop) -> None:
    engine, ada = shop
    asked = task(Operation.RECTIFY, ADA, change("email", "ada@new.example"))
    assert isinstance(await engine.once_amended(asked), Receipt)
    assert ada["email"] == "ada@new.example"
    assert isinstance(await engine.once_amended(asked), NotSupported)


async def test_what_has_no_request_for_a_restriction_is_a_persons_part_beside_what_is_done(shop: Shop) -> None:
    engine, ada = shop
    [left] = await engine.adapter.amend([task(Operation.RESTRICT)], engine.save_progress)
    assert isinstance(left, NotSupported), left
    assert "restrict order:" in str(left)
    assert ada["restricted"] is True
    assert left.done_before is not None
    assert (left.done_before.found, left.done_before.changed, left.done_before.remaining) == (3, 1, 2)


async def test_marketing_goes_to_people_and_stops_with_the_one_who_gets_it(shop: Shop) -> None:
    engine, ada = shop
    [done] = await engine.adapter.amend([task(Operation.SUPPRESS)], engine.save_progress)
    assert isinstance(done, Receipt)
    assert (done.changed, ada["mail"]) == (1, False)
