"""Outages of a system, the broker or a service: nothing is lost, and nothing is done twice."""

import asyncio

from tests.acceptance.client import RIGHTS, Case
from tests.acceptance.pairs import Pair, fulfilled, rows, untouched
from tests.acceptance.platforms import Platform
from tests.acceptance.scenario import FRAGILE, scenario
from tests.acceptance.systems import NOTHING
from tests.fixtures.live import answering, eventually

ONCE = {"request.received", "package.built", "letter.written", "request.closed", "key.shredded"}


async def once(platform: Platform, case: Case) -> None:
    """Looks whether no step of a request was taken twice, and no letter written twice."""
    said = await case.seen_by(platform.officer).steps()
    steps = [step for step in said if step[0] in ONCE]
    assert len(steps) == len(set(steps)), sorted(steps)


@scenario(on=FRAGILE, rows=rows("system away"))
async def test_system_away(platform: Platform, pair: Pair) -> None:
    """The request stays open while others go on; once the system is back, all is done once."""
    person, other = platform.new_person(), platform.new_person()
    system = platform.systems[pair.kind]
    await system.hold(person)
    before = await system.held(person)
    async with platform.without(pair.kind):
        case = await platform.ask(person, pair.right)
        withdrawn = await platform.ask(other, "access", proved=False)

        async def waits() -> bool:
            steps = {step[:2] for step in await case.steps()}
            asked_on_the_bus = pair.kind == "billing" and ("task.concluded", "shop") in steps
            return ("task.postponed", pair.kind) in steps or asked_on_the_bus

        await eventually(waits, within=240)
        await withdrawn.act("withdraw")
        assert (await withdrawn.closed())["outcome"] == "withdrawn"
        assert (await case.view())["state"] == "in_progress"
        await untouched(platform, pair, person, before)
    await fulfilled(platform, pair, person, before, case)
    await once(platform, case)


@scenario(on=FRAGILE)
async def test_store_that_lost_a_table_fails_and_a_person_lets_it_be_tried_again(platform: Platform) -> None:
    """Distinguishes "not searched" from "nothing found"."""
    person = platform.new_person()
    await platform.shop.hold(person)
    await platform.shop.rows("ALTER TABLE call_record RENAME TO elsewhere")
    try:
        case = await platform.ask(person, "erasure")
        view = await case.until("awaiting_decision")
        failures = {(task["system"], task["failure"]) for task in view["tasks"] if "failure" in task}
        assert failures == {("shop", "table_missing")}
    finally:
        await platform.shop.rows("ALTER TABLE elsewhere RENAME TO call_record")
    await case.seen_by(platform.officer).act("decision", decision="retry")
    assert (await case.closed())["outcome"] == "fulfilled"
    assert await platform.shop.held(person) == NOTHING


@scenario(on=FRAGILE)
async def test_services_killed_in_the_middle_go_on_where_they_were(platform: Platform) -> None:
    """Work in progress is done once, and so is work that arrives meanwhile."""
    people = [platform.new_person() for _ in (*RIGHTS, *RIGHTS)]
    for person in people:
        await platform.shop.hold(person)
    cases = [await platform.ask(person, right) for person, right in zip(people, RIGHTS, strict=False)]
    async with platform.killed("erasure", "export", "amendment", "deadline"):
        cases += [
            await platform.ask(person, right) for person, right in zip(people[len(RIGHTS) :], RIGHTS, strict=True)
        ]
    for case in cases:
        assert (await case.closed())["outcome"] == "fulfilled"
        await once(platform, case)


@scenario(on=FRAGILE)
async def test_requests_that_come_while_the_broker_is_dead_are_answered_once(platform: Platform) -> None:
    """Submissions wait in our database until the broker is back; services that need it are alive and not ready."""
    people = [platform.new_person() for _ in (*RIGHTS, *RIGHTS)]
    for person in people:
        await platform.shop.hold(person)
    cases = [await platform.ask(person, right) for person, right in zip(people, RIGHTS, strict=False)]
    await asyncio.to_thread(platform.kafka.kill)
    try:
        cases += [
            await platform.ask(person, right) for person, right in zip(people[len(RIGHTS) :], RIGHTS, strict=True)
        ]
        await answering([f"{url}/readyz" for name, url in platform.urls.items() if name != "intake"], 503)
        await answering([f"{url}/healthz" for url in platform.urls.values()], 200)
        await answering([f"{platform.urls['intake']}/readyz"], 200)
    finally:
        await asyncio.to_thread(platform.kafka.start)
    await answering([f"{url}/readyz" for url in platform.urls.values()], 200)
    for case in cases:
        assert (await case.closed())["outcome"] == "fulfilled"
        await once(platform, case)
