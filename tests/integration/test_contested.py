"""A rectification whose accuracy is contested restricts the data until they are corrected (Art. 18(1)(a))."""

from typing import Any

import pytest

from services.amendment import handlers
from shared.domain.events import RequestVerified
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from tests.fixtures.engine import OpenHarness, ScriptedSystem
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, Intake

CITY: dict[str, Any] = {"right": "rectification", "changes": [{"field": "address.city", "asserted": "Potsdam"}]}


async def test_every_system_restricts_before_any_corrects(open_harness: OpenHarness) -> None:
    crm, calls = ScriptedSystem("crm"), ScriptedSystem("calls")
    amendment = await open_harness(crm, calls, service=ServiceName.AMENDMENT)
    amendment.concludes = dict.fromkeys(
        Operation, lambda completed, tx: handlers.finish(amendment.fulfilments, completed, tx)
    )
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "subject": await amendment.subject()}
    plain, contested = a(RequestVerified, **said), a(RequestVerified, **said, scope="accuracy_contested")
    async with amendment.unit_of_work.begin() as tx:
        await handlers.begin(amendment.fulfilments, [plain, contested], tx)
    assert set(await amendment.states(plain.request_id)) == {"crm:rectify", "calls:rectify"}
    await amendment.worker("crm", Operation.RESTRICT).work()
    assert set(await amendment.states(contested.request_id)) == {"crm:restrict", "calls:restrict"}
    await amendment.worker("calls", Operation.RESTRICT).work()
    states = await amendment.states(contested.request_id)
    assert {step for step, state in states.items() if state == "ready"} == {"crm:rectify", "calls:rectify"}
    assert await amendment.pool.fetchval("SELECT request_id FROM restriction") == contested.request_id
    assert await amendment.outbox() == []  # nothing is answered yet
    for system in ("crm", "calls"):
        await amendment.worker(system, Operation.RECTIFY).work()
    assert "dsr.fulfilment.completed.v1" in await amendment.outbox()


async def test_when_it_is_corrected_the_person_is_told_and_the_restriction_is_lifted(intake: Intake) -> None:
    path, plain = await intake.submit(**CITY, contested=True), await intake.submit(**CITY)
    for each in (path, plain):
        await intake.complete(each, right=Right.RECTIFICATION, operation=Operation.RECTIFY)
    kinds = [letter["kind"] for letter in await intake.letters(path)]
    assert kinds[-2:] == ["completion", "lifting"]
    lifted = [event for event in await intake.published() if event["type"] == "dsr.request.lift_decided.v1"]
    assert [f"/v1/requests/{event['request_id']}" for event in lifted] == [path]


async def test_what_is_withdrawn_is_lifted_as_well_and_who_withdraws_it_is_told_so_before(intake: Intake) -> None:
    path = await intake.submit(**CITY, contested=True)
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    assert (await intake.types())[-3:] == ["withdrawn", "lift_decided", "closed"]
    entries, letter = await intake.evidence(path), (await intake.letters(path))[-1]
    written, decided, _ = entries[-3:]
    assert (letter["kind"], written["detail"]["kind"]) == ("withdrawal", "withdrawal")
    assert "we lift that restriction now" in letter["body"]
    assert decided["detail"] == {"informed_at": written["at"]}


@pytest.mark.parametrize("right", ["access", "erasure"])
async def test_nothing_else_is_contested(intake: Intake, right: str) -> None:
    said = {"right": right, "subject": {"email": "ada@example.org"}, "contested": True, **PROOF}
    assert (await intake.channel.post("/v1/requests", json=said)).status_code == 422
