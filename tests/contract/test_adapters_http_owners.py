"""Whose a record is where it tells itself what it must agree with: a register yields the account in the same answer."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.domain.errors import ForeignHit, Refused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.downstreams.contract import Receipt, Result
from tests.contract.http_stands import ADA, declared, task
from tests.contract.one_resource import people
from tests.fixtures.engine import SetClock

DECLARATION = """
auth = { kind = "bearer", token_env = "HUBSPOT_TOKEN" }
check = { get = "/me" }
[resource.person]
category = "contact"
find = [
    { get = "/people", query = { email = "{email}" }, by = ["email"], records = "people" },
    { get = "/people", query = { account = "{account_id}" }, by = ["account_id"], records = "people" },
]
owner = { OWNER }
yields = { account = "account_id" }
fields = { id = "T", email = "A", account = "A" }
"""
BOTH, ACCOUNT_ALONE = 'email = "email", account = "account_id"', 'account = "account_id"'
ACCOUNT = IdentityType.ACCOUNT_ID
MINE = {"id": 7, "email": ADA, "account": "A-1"}
EVE = {"id": 8, "email": "eve@example.com", "account": "A-1"}
ADDRESS = Identity(IdentityType.EMAIL, ADA)


async def located(
    directory: Path, *known: Identity, register: list[Mapping[str, Any]], owner: str = BOTH, fuzzy: bool = False
) -> Result:
    """What a register tells of somebody who is known by these; ``fuzzy``: its search brings everybody."""
    (directory / "register.toml").write_text(DECLARATION.replace("OWNER", owner))

    def handle(request: httpx.Request) -> httpx.Response:
        asked = dict(request.url.params)
        return people(*(each for each in register if fuzzy or asked.items() <= each.items()))

    async with declared(directory / "register.toml", httpx.MockTransport(handle), SetClock()) as engine:
        asking = replace(task(Operation.LOCATE), identities=known)
        return (await engine.adapter.locate([asking], engine.save_progress))[0]


@pytest.mark.parametrize("claimed", [False, True])
async def test_an_account_that_ones_own_record_tells_makes_it_nobody_elses(tmp_path: Path, *, claimed: bool) -> None:
    beside = [Identity(ACCOUNT, "A-9", source="desk", claimed=True)] if claimed else []
    found = await located(tmp_path, ADDRESS, *beside, register=[MINE])
    assert isinstance(found, Receipt), found
    assert (found.found, {(each.type, each.value) for each in found.identities}) == (1, {(ACCOUNT, "A-1")})


@pytest.mark.parametrize(
    ("known", "register", "more"),
    [
        ((ADDRESS, Identity(ACCOUNT, "A-2")), [MINE], {}),
        ((ADDRESS,), [MINE, EVE], {"fuzzy": True}),
        ((ADDRESS,), [MINE, EVE], {}),
        ((ADDRESS,), [MINE], {"owner": ACCOUNT_ALONE}),
        ((ADDRESS,), [{**MINE, "account": None}], {}),
        ((replace(ADDRESS, shared=True),), [MINE], {}),
    ],
    ids=["another account", "another address", "one account of two", "nothing agrees", "no account", "others have it"],
)
async def test_a_record_that_contradicts_or_that_nothing_shows_to_be_theirs_is_not_taken(
    tmp_path: Path, known: tuple[Identity, ...], register: list[Mapping[str, Any]], more: dict[str, Any]
) -> None:
    found = await located(tmp_path, *known, register=register, **more)
    assert isinstance(found, Refused)
    assert isinstance(found, ForeignHit)
    assert "eve" not in str(found)
