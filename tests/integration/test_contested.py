"""A rectification whose accuracy is contested restricts the data until they are corrected (Art. 18(1)(a))."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers
from shared.domain.events import FulfilmentBlocked, RequestVerified
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from tests.fixtures.engine import OpenHarness, ScriptedSystem
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, Intake, id_of

CITY: dict[str, Any] = {"right": "rectification", "changes": [{"field": "address.city", "asserted": "Potsdam"}]}


RESTRICTED = TaskReport(
    task_id=uuid7(), system="crm", operation=Operation.RESTRICT, outcome=TaskOutcome.AMENDED, found=1, changed=1
)


async def restrict(intake: Intake, path: str) -> None:
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "operation": Operation.RESTRICT, "tasks": (RESTRICTED,)}
    await intake.complete(path, **said)


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
    assert await amendment.outbox() == ["dsr.fulfilment.completed.v1"]  # of the restriction: nothing is answered yet
    for system in ("crm", "calls"):
        await amendment.worker(system, Operation.RECTIFY).work()
    assert (await amendment.outbox()).count("dsr.fulfilment.completed.v1") == 3


async def test_when_it_is_corrected_the_person_is_told_and_the_restriction_is_lifted(intake: Intake) -> None:
    path, plain = await intake.submit(**CITY, contested=True), await intake.submit(**CITY)
    await restrict(intake, path)
    assert (await intake.view(path))["state"] == "in_progress"
    for each in (path, plain):
        await intake.complete(each, right=Right.RECTIFICATION, operation=Operation.RECTIFY)
    completion, lifting = (await intake.letters(path))[-2:]
    assert (completion["kind"], lifting["kind"]) == ("completion", "lifting")
    assert "That restriction is lifted from" in completion["body"]
    assert "your request to restrict" not in lifting["body"]
    lifted = [event for event in await intake.published() if event["type"] == "dsr.request.lift_decided.v1"]
    assert [f"/v1/requests/{event['request_id']}" for event in lifted] == [path]


async def test_what_is_withdrawn_is_lifted_as_well_and_who_withdraws_it_is_told_so_before(intake: Intake) -> None:
    path = await intake.submit(**CITY, contested=True)
    await restrict(intake, path)
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    assert (await intake.types())[-3:] == ["withdrawn", "lift_decided", "closed"]
    entries, letter = await intake.evidence(path), (await intake.letters(path))[-1]
    written, decided, _ = entries[-3:]
    assert (letter["kind"], written["detail"]["kind"]) == ("withdrawal", "withdrawal")
    assert decided["detail"] == {"informed_at": written["at"]}
    for said in ("1 of 1 records restricted", "That restriction is lifted from", "on another request of yours, stays"):
        assert said in " ".join(letter["body"].split())


async def test_what_may_have_been_restricted_when_it_is_withdrawn_is_told_to_be_lifted(intake: Intake) -> None:
    path = await intake.submit(**CITY, contested=True)
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    assert (await intake.types())[-3:] == ["withdrawn", "lift_decided", "closed"]
    assert "Where your data were restricted for it" in (await intake.letters(path))[-1]["body"]


async def test_what_is_refused_is_lifted_and_the_letter_says_so_before_any_system_is_asked(intake: Intake) -> None:
    path = await intake.submit(**CITY, contested=True)
    await restrict(intake, path)
    known = {"task_id": uuid7(), "system": "crm", "operation": "rectify", "outcome": None}
    failed = TaskReport.model_validate(known | {"failure": "system_refused"})
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "operation": Operation.RECTIFY}
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(failed,), **said))
    view = await intake.view(path)
    assert [(task["system"], task["operation"]) for task in view["tasks"]] == [("crm", "restrict"), ("crm", "rectify")]
    assert "your data is restricted (Art. 18(1)(a) GDPR)" in view["answer"]
    await intake.decide(path, "refuse", reason="ACCURATE", article="16")
    await intake.report(path, failed, **said)
    letter, shown = (await intake.letters(path))[-1], await intake.view(path)
    assert (letter["kind"], shown["outcome"]) == ("refusal", "refused")
    for words in (letter["body"], shown["answer"]):
        assert "That restriction is lifted from" in words
        assert "Nothing was changed" not in words
    assert (await intake.types())[-2:] == ["lift_decided", "closed"]
    actions = await intake.actions(path)
    assert actions.index("restriction.lift_decided") > actions.index("letter.written")


async def test_the_letter_of_a_lift_names_what_else_restricts_the_same_person(intake: Intake) -> None:
    same = {"subject": {"email": "ada@example.org", "country": "DE"}}
    other = await intake.submit(right="restriction", ground="unlawful", **same)
    said: dict[str, Any] = {"right": Right.RESTRICTION, "operation": Operation.RESTRICT, "tasks": (RESTRICTED,)}
    await intake.complete(other, **said)
    path = await intake.submit(**CITY, contested=True, **same)
    await restrict(intake, path)
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    body = " ".join((await intake.letters(path))[-1]["body"].split())
    assert f"Your data stay restricted for your request of 02 March 2026 (reference {id_of(other)})." in body
    (await intake.officer.post(f"{other}/lift")).raise_for_status()
    assert "stay restricted" not in (await intake.letters(other))[-1]["body"]


@pytest.mark.parametrize("right", ["access", "erasure"])
async def test_nothing_else_is_contested(intake: Intake, right: str) -> None:
    said = {"right": right, "subject": {"email": "ada@example.org"}, "contested": True, **PROOF}
    assert (await intake.channel.post("/v1/requests", json=said)).status_code == 422
