"""Systems that are declared differently, new or gone: no erasure is called done without a system that counts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deploy.local.process import ChildFailedError
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import FRAGILE, scenario
from tests.acceptance.systems import NOTHING
from tests.fixtures.live import eventually

ANNEX = """
[annex]
adapter = "sql"
needs = ["email"]
accounts = "one"
dsn_env = "SHOP_DSN"
dataset = "annex.toml"
"""
VISITS = """
name = "annex"
[tables.visit]
category = "account"
primary_key = ["id"]
person = "email"
[tables.visit.columns]
id = { class = "T" }
email = { class = "A", identity = "email", explain = "your e-mail address" }
"""


@asynccontextmanager
async def declared(platform: Platform, name: str, text: str) -> AsyncIterator[None]:
    """Runs the services with another version of a declaration until the block ends."""
    file = platform.services.directory / name
    before = file.read_text()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)


@scenario(on=FRAGILE)
async def test_store_with_a_changed_dataset_is_asked_nothing_until_an_operator_has_looked(platform: Platform) -> None:
    """Waiting requests continue automatically; a request answered in part has the rest done."""
    dataset = (platform.services.directory / "shop.toml").read_text()
    changed = dataset.replace('noted = { class = "M", explain = "what the switch noted" }', 'noted = { class = "T" }')
    assert changed != dataset
    person, other = platform.new_person(), platform.new_person()
    await platform.shop.hold(person)
    await platform.shop.hold(other)
    async with declared(platform, "shop.toml", changed):
        await platform.restart("erasure")
        assert "shop  quarantined (changed) since" in await platform.command("downstreams", "list")
        case, waits = await platform.ask(person, "erasure"), await platform.ask(other, "erasure")
        await case.until("awaiting_decision")
        await waits.until("awaiting_decision")
        assert (await platform.shop.held(person)).rows == 1
        await case.answered_in_part(platform.officer, platform.colleague)
        view = await case.closed()
        failures = {task["system"]: task["failure"] for task in view["tasks"] if "failure" in task}
        assert (view["outcome"], failures) == ("partially_fulfilled", {"shop": "system_quarantined"})
        assert "shop" in view["answer"]
        assert await platform.command("downstreams", "on", "shop") == "shop is on\n"
        assert (await waits.closed())["outcome"] == "fulfilled"
        assert await platform.shop.held(other) == NOTHING

        async def gone() -> bool:
            return await platform.shop.held(person) == NOTHING

        await eventually(gone, within=180)
    await platform.restart("erasure")
    await platform.command("downstreams", "on", "shop")


@scenario(on=FRAGILE)
async def test_new_system_is_only_asked_until_it_is_on_and_retired_when_it_goes(platform: Platform) -> None:
    """A name that was in use is not forgotten: the service does not start without it."""
    person, other = platform.new_person(), platform.new_person()
    await platform.shop.rows("CREATE TABLE IF NOT EXISTS visit (id serial PRIMARY KEY, email text)")
    await platform.shop.rows("CREATE INDEX ON visit (email)")
    await platform.shop.rows("GRANT SELECT, UPDATE, DELETE ON visit TO net_fragile")
    for each in (person, other):
        await platform.shop.rows("INSERT INTO visit (email) VALUES ($1)", each.email)
    (platform.services.directory / "annex.toml").write_text(VISITS)
    downstreams = (platform.services.directory / "downstreams.toml").read_text()

    async def visits(who: str) -> int:
        return len(await platform.shop.rows("SELECT FROM visit WHERE email = $1", who))

    async with declared(platform, "downstreams.toml", downstreams + ANNEX):
        await platform.restart("erasure")
        case = await platform.ask(person, "erasure")
        assert "annex" not in {task["system"] for task in (await case.closed())["tasks"]}
        assert await visits(person.email) == 1

        async def found() -> bool:
            return (
                "annex  observe" in (said := await platform.command("downstreams", "list")) and "of 1 request" in said
            )

        await eventually(found, within=180)
        assert f"{case.request_id}  located 1" in await platform.command("downstreams", "on", "annex")
        view = await (await platform.ask(other, "erasure")).closed()
        assert "annex" in {task["system"] for task in view["tasks"]}
        assert await visits(other.email) == 0
    with pytest.raises(ChildFailedError, match=r"annex: in use until now.*`dsr downstreams retire annex`"):
        await platform.restart("erasure")
    assert await platform.command("downstreams", "retire", "annex") == "annex is retired\n"
    await platform.restart("erasure")
