"""Scenario 2: no erasure before the copy that the same person asked for, nor against a restriction (G1, Art. 18)."""

import json
from functools import partial
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.erasure import precedence
from services.intake.jobs.resuming import begin_postponed
from shared.domain import events
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.fulfilment import handlers as fulfilling
from shared.storage.keyring import Keyring
from shared.systems.contract import Receipt
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.intake import PROOF, Intake, id_of, running

MIA: dict[str, object] = {"email": "mia@example.org", "account_id": "C-7", "country": "DE"}
OTHER_ADDRESS = "mia.h@example.org"
CITY = {"changes": [{"field": "address.city", "asserted": "Potsdam"}]}
COPIED, AWAY = (
    TaskReport(task_id=uuid7(), system=system, operation=Operation.EXPORT, outcome=outcome, failure=failure)
    for system, outcome, failure in (("crm", TaskOutcome.EXPORTED, None), ("cdr", None, "away"))
)


class Erasing:
    """The erasure service on intake's database; both consume each other's events."""

    def __init__(self, intake: Intake, harness: Harness) -> None:
        self.intake, self.harness = intake, harness
        self._positions = {"intake": -1, "erasure": -1}

    async def run(self) -> None:
        """Lets both hear of each other, and every worker work, until nothing is left to be done."""
        await begin_postponed(self.intake.unit_of_work)
        while await self._deliver() or await self._work():
            pass

    async def erased(self, path: str) -> bool:
        """Whether a system was asked to erase anything for that request."""
        asked = [task for system in self.harness.systems.values() for task in system.asked]
        return any(str(task.request_id) == id_of(path) and task.operation == Operation.ERASE for task in asked)

    async def _work(self) -> int:
        steps = (("crm", Operation.LOCATE), ("shop", Operation.ERASE), ("crm", Operation.ERASE))
        return sum([await self.harness.worker(*step).work() for step in steps])

    async def _deliver(self) -> int:
        said = [
            *await self._said("intake", self.intake.unit_of_work.pool),
            *await self._said("erasure", self.harness.pool),
        ]
        fulfilments = self.harness.fulfilments
        handlers: dict[type[events.Event], Any] = {
            events.RequestVerified: partial(fulfilling.begin, Operation.ERASE, fulfilments),
            events.RetryRequested: partial(fulfilling.retry, fulfilments),
        }
        for event in said:
            if isinstance(event, events.FulfilmentPostponed):
                await self.intake.consume(event)
            elif (handle := handlers.get(type(event))) and getattr(event, "right", None) == Right.ERASURE:
                async with self.harness.unit_of_work.begin() as tx:
                    await handle([event], tx)
        return len(said)

    async def _said(self, name: str, pool: Any) -> list[events.Event]:
        query = "SELECT position, value FROM outbox WHERE position > $1 AND topic <> 'dsr.status' ORDER BY position"
        rows = await pool.fetch(query, self._positions[name])
        self._positions[name] = max([self._positions[name], *(row["position"] for row in rows)])
        return [events.EVENT_TYPES[json.loads(row["value"])["type"]].model_validate_json(row["value"]) for row in rows]


@pytest.fixture
async def erasing(intake: Intake, open_harness: OpenHarness) -> Erasing:
    """A CRM that knows Mia by another address, too, and a store that hangs on it."""

    def located(task: Any) -> Receipt:
        mia = any(each.value == MIA["email"] for each in task.identities)
        found = (Identity(IdentityType.EMAIL, OTHER_ADDRESS, source="crm"),) if mia else ()
        return Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=found)

    yields = frozenset({IdentityType.ACCOUNT_ID})
    crm = ScriptedSystem("crm", yields=yields, answers={Operation.LOCATE: each(located)})
    harness = await open_harness(crm, ScriptedSystem("shop"))
    harness.fulfilments.must_wait = precedence.postponed
    return Erasing(intake, harness)


async def message(intake: Intake, *rights: str, **said: object) -> list[str]:
    """One message that asks for several rights."""
    asked = {"rights": rights, "language": "en", "subject": MIA, **PROOF, **said}
    answer = (await intake.channel.post("/v1/requests", json=asked)).raise_for_status()
    return [f"/v1/requests/{each['request_id']}" for each in answer.json()["requests"]]


async def said_of(intake: Intake, path: str) -> list[str]:
    return [event["type"].split(".")[2] for event in await intake.published() if event["request_id"] == id_of(path)]


@pytest.mark.parametrize("rights", [("access", "erasure"), ("erasure", "access"), ("portability", "erasure")])
@pytest.mark.parametrize("proved", [True, False])
async def test_erasure_begins_when_what_the_person_asked_to_see_is_answered(
    intake: Intake,
    erasing: Erasing,
    rights: tuple[str, str],
    proved: bool,  # noqa: FBT001  # as the table says
) -> None:
    of = dict(zip(rights, await message(intake, *rights, **({} if proved else {"assurance": None})), strict=True))
    erasure = of.pop("erasure")
    (copy,) = of.values()
    if not proved:  # the copy of the same message still waits for proof
        (await intake.channel.post(f"{erasure}/actions/verify", json=PROOF)).raise_for_status()
    for _ in range(2):
        await erasing.run()
    shown = await intake.view(erasure)
    assert (shown["state"], shown["awaits"]) == ("in_progress", [id_of(copy)])
    assert "We answer that first" in shown["answer"]
    assert "withdraw your request for a copy" in shown["answer"]
    assert not await erasing.erased(erasure)

    if not proved:
        (await intake.channel.post(f"{copy}/actions/verify", json=PROOF)).raise_for_status()
    await intake.complete(copy)
    await erasing.run()
    received = [] if proved else ["received"]
    assert await said_of(intake, erasure) == [*received, "verified", "retry_requested"]
    assert (await intake.view(erasure))["awaits"] == []
    assert await intake.details(erasure, "erasure.begun") == [{"cause": "answered"}]
    assert await erasing.erased(erasure)


@pytest.mark.parametrize("ends", ["withdraw", "give_up", "fail"])
async def test_it_stops_waiting_after_any_end_also_across_a_restart(
    intake: Intake, erasing: Erasing, database: str, clock: SetClock, keys: Keyring, ends: str
) -> None:
    access = await intake.submit(subject={"email": OTHER_ADDRESS})
    erasure = await intake.submit(right="erasure", subject=MIA)
    await erasing.run()
    assert (await intake.view(erasure))["awaits"] == [id_of(access)], "by an address that only a search has shown"
    match ends:
        case "withdraw":
            (await intake.channel.post(f"{access}/actions/withdraw")).raise_for_status()
        case "give_up":
            await intake.give_up(access, "clarification")
            await intake.complete(access)
        case "fail":
            await intake.complete(access, outcome=Outcome.PARTIALLY_FULFILLED)
    async with running(database, clock, keys) as another:
        await begin_postponed(another.unit_of_work)
    await erasing.run()
    assert await erasing.erased(erasure)


@pytest.mark.parametrize(
    "other",
    [
        {"email": "mia@example.org", "account_id": "C-8"},  # a shared address, another account
        {"email": "mia@example.org", "unproved": True},
        {"email": "noa@example.org", "phones": [{"number": "+493023125001"}]},
    ],
)
async def test_erasure_does_not_wait_for_strangers(intake: Intake, erasing: Erasing, other: dict[str, Any]) -> None:
    proof = {"assurance": None} if other.pop("unproved", False) else PROOF
    await intake.submit(subject=other, **proof)
    mine = MIA | {"phones": [{"number": "+493023125001"}]}
    erasure = await intake.submit(right="erasure", subject=mine)
    await erasing.run()
    assert await erasing.erased(erasure)


async def test_a_part_of_a_copy_that_is_still_owed_is_waited_for(intake: Intake, erasing: Erasing) -> None:
    access = await intake.submit(subject=MIA)
    await intake.decide(access)
    await intake.report(access, COPIED, AWAY)
    erasure = await intake.submit(right="erasure", subject=MIA)
    await erasing.run()
    assert (await intake.view(erasure))["awaits"] == [id_of(access)]
    await intake.complete(access, tasks=(AWAY.model_copy(update={"failure": None, "outcome": "exported"}),))
    await erasing.run()
    assert await erasing.erased(erasure)


@pytest.mark.parametrize("ends", ["lift", "given up", "withdraw"])
async def test_it_goes_on_by_itself_once_the_restriction_is_no_more(
    intake: Intake, erasing: Erasing, ends: str
) -> None:
    restriction = await intake.submit(right="restriction", ground="unlawful", subject=MIA)
    erasure = await intake.submit(right="erasure", subject=MIA)
    await erasing.run()
    assert (await intake.view(erasure))["awaits"] == [id_of(restriction)]
    if ends != "withdraw":
        await intake.complete(restriction, operation=Operation.RESTRICT)
        by, how = (intake.officer, "lift") if ends == "lift" else (intake.channel, "withdraw")
        (await by.post(f"{restriction}/actions/{how}")).raise_for_status()
        assert [letter["kind"] for letter in await intake.letters(restriction)] == ["answer", "update"]
        await intake.complete(restriction, operation=Operation.LIFT)
    else:
        (await intake.channel.post(f"{restriction}/actions/withdraw")).raise_for_status()
    await erasing.run()
    assert await erasing.erased(erasure)


@pytest.mark.parametrize(
    ("right", "said"), [("access", {}), ("restriction", {"ground": "unlawful"}), ("rectification", CITY)]
)
async def test_what_comes_while_an_erasure_is_at_work_waits_for_nothing(
    intake: Intake, erasing: Erasing, right: str, said: dict[str, Any]
) -> None:
    erasure = await intake.submit(right="erasure", subject=MIA)
    await erasing.run()
    assert await erasing.erased(erasure)
    later = await intake.submit(right=right, subject=MIA, **said)
    assert (await said_of(intake, later), (await intake.view(later))["awaits"]) == (["verified"], [])
