"""A rectification whose accuracy is contested restricts the data until they are corrected (Art. 18(1)(a))."""

from collections.abc import Sequence
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers
from shared.domain.errors import Refused
from shared.domain.events import (
    FulfilmentBlocked,
    LiftDecided,
    RequestVerified,
    RestrictionNeeded,
    RetryDecided,
)
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Checkpoint, Result, Task
from shared.fulfilment import handlers as fulfilling
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem
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
    (completion,) = await intake.letters(path)  # where the request ends, one letter says both
    assert completion["kind"] == "completion"
    assert "decided to lift that restriction" in completion["body"]
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
    for said in ("1 of 1 record restricted", "decided to lift that restriction", "on another request of yours, stays"):
        assert said in " ".join(letter["body"].split())


async def test_what_may_have_been_restricted_when_it_is_withdrawn_is_told_to_be_lifted(intake: Intake) -> None:
    path = await intake.submit(**CITY, contested=True)
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    assert (await intake.types())[-3:] == ["withdrawn", "lift_decided", "closed"]
    assert "Where your data are restricted for it" in (await intake.letters(path))[-1]["body"]


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
        assert "decided to lift that restriction" in words
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
    assert f"Your data stay restricted for your request of 2 March 2026 (reference {id_of(other)})." in body
    (await intake.officer.post(f"{other}/lift")).raise_for_status()
    assert "stay restricted" not in (await intake.letters(other))[-1]["body"]


@pytest.mark.parametrize("right", ["access", "erasure"])
async def test_nothing_else_is_contested(intake: Intake, right: str) -> None:
    said = {"right": right, "subject": {"email": "ada@example.org"}, "contested": True, **PROOF}
    assert (await intake.channel.post("/v1/requests", json=said)).status_code == 422


def corrected(system: str, **said: Any) -> TaskReport:
    return TaskReport(task_id=uuid7(), system=system, operation=Operation.RECTIFY, **{"outcome": None} | said)


async def stuck(intake: Intake, **failed: Any) -> str:
    """A rectification that one system has done and another cannot do at once."""
    path = await intake.submit(**CITY)
    done = corrected("crm", outcome=TaskOutcome.AMENDED, found=1, changed=1)
    event = {
        "right": Right.RECTIFICATION,
        "operation": Operation.RECTIFY,
        "tasks": (done, corrected("switch", **failed)),
    }
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), **event))
    return path


@pytest.mark.parametrize("failure", ["not_supported", "refused", "residue_found"])
async def test_a_value_that_a_system_cannot_change_at_once_is_restricted_by_itself_and_the_person_reads_so(
    intake: Intake, failure: str
) -> None:
    path = await stuck(intake, failure=failure)
    assert (await intake.types())[-1] == "restriction_needed"
    view = await intake.view(path)
    assert view["state"] == "awaiting_decision"
    assert "cannot correct your data at once. Until that is settled we restrict your data (Art." in view["answer"]
    assert await intake.details(path, "restriction.needed") == [{"systems": ["switch"]}]


async def test_it_is_restricted_once_and_lifted_when_it_is_corrected_after_all(intake: Intake) -> None:
    path = await stuck(intake, failure="refused")
    said: dict[str, Any] = {"right": Right.RECTIFICATION}
    await intake.complete(path, **said, operation=Operation.RESTRICT)
    assert (await intake.view(path))["state"] == "awaiting_decision"  # nothing is answered by that
    (await intake.officer.post(f"{path}/decision", json={"decision": "retry"})).raise_for_status()
    again = {"operation": Operation.RECTIFY, "tasks": (corrected("switch", failure="refused"),)}
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), **said, **again))
    assert (await intake.types()).count("restriction_needed") == 1
    await intake.complete(path, **said, operation=Operation.RECTIFY)
    assert (await intake.view(path))["outcome"] == "fulfilled"
    assert [letter["kind"] for letter in await intake.letters(path)] == ["completion"]
    assert "decided on" in (await intake.letters(path))[-1]["body"]


async def test_what_is_answered_in_part_stays_restricted_says_so_and_is_lifted_by_a_person(intake: Intake) -> None:
    path = await stuck(intake, failure="refused")
    await intake.decide(path, reason="SYSTEM_FAILED")
    tasks = (corrected("crm", outcome=TaskOutcome.AMENDED, found=1, changed=1), corrected("switch", failure="refused"))
    await intake.report(path, *tasks, right=Right.RECTIFICATION, operation=Operation.RECTIFY)
    (letter,) = await intake.letters(path)
    assert letter["kind"] == "partial"
    words = " ".join(letter["body"].split())
    assert "What is restricted for your request (Art. 18(1)(a) GDPR) stays restricted" in words
    (await intake.officer.post(f"{path}/lift")).raise_for_status()
    await intake.complete(path, right=Right.RECTIFICATION, operation=Operation.LIFT)
    assert "stays restricted" not in (await intake.view(path))["answer"]


async def test_what_must_be_restricted_by_hand_is_shown_beside_what_must_be_corrected_by_hand(intake: Intake) -> None:
    path = await stuck(intake, failure="not_supported")
    todo = corrected("switch", failure="not_supported").model_copy(update={"operation": Operation.RESTRICT})
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "operation": Operation.RESTRICT, "tasks": (todo,)}
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), **said))
    tasks = (await intake.view(path))["tasks"]
    waiting = {(task["system"], task["operation"]) for task in tasks if task.get("failure") == "not_supported"}
    assert waiting == {("switch", "rectify"), ("switch", "restrict")}
    for _ in waiting:
        body = {"system": "switch", "found": 1, "changed": 1}
        (await intake.officer.post(f"{path}/task-result", json=body)).raise_for_status()
    assert not [task for task in (await intake.view(path))["tasks"] if task.get("failure")]


IN_FORCE = "SELECT request_id FROM restriction WHERE lifted_at IS NULL"


async def refusing(tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
    del save_progress
    return [Refused("it cannot change that")] * len(tasks)


async def amending(open_harness: OpenHarness, *systems: ScriptedSystem) -> Harness:
    amendment = await open_harness(*systems, service=ServiceName.AMENDMENT)
    amendment.concludes = dict.fromkeys(
        Operation, lambda completed, tx: handlers.finish(amendment.fulfilments, completed, tx)
    )
    return amendment


async def test_the_restriction_comes_before_what_is_still_to_be_corrected_and_ends_with_the_lift(
    open_harness: OpenHarness,
) -> None:
    crm, switch = ScriptedSystem("crm"), ScriptedSystem("switch")
    amendment = await amending(open_harness, crm, switch)
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "subject": await amendment.subject()}
    event = a(RequestVerified, **said)
    switch.answers[Operation.RECTIFY] = refusing
    async with amendment.unit_of_work.begin() as tx:
        await handlers.begin(amendment.fulfilments, [event], tx)
    for system in ("crm", "switch"):
        await amendment.worker(system, Operation.RECTIFY).work()
    assert await amendment.outbox() == ["dsr.fulfilment.blocked.v1"]
    needed = a(RestrictionNeeded, event)
    async with amendment.unit_of_work.begin() as tx:
        await handlers.restrict_meanwhile(amendment.fulfilments, [needed], tx)
    for system in ("crm", "switch"):
        await amendment.worker(system, Operation.RESTRICT).work()
    assert (
        await amendment.pool.fetchval("SELECT request_id FROM restriction WHERE lifted_at IS NULL") == event.request_id
    )
    turns = "SELECT operation FROM fulfilment WHERE request_id = $1 ORDER BY opened_at"
    order = [row[0] for row in await amendment.pool.fetch(turns, event.request_id)]
    assert order == ["restrict", "rectify"]  # a store lets the later of two stand
    async with amendment.unit_of_work.begin() as tx:
        switch.answers.clear()
        await fulfilling.retry(amendment.fulfilments, [a(RetryDecided, event)], tx)
    await amendment.worker("switch", Operation.RECTIFY).work()
    assert (await amendment.outbox())[-1] == "dsr.fulfilment.completed.v1"
    async with amendment.unit_of_work.begin() as tx:
        await handlers.lift(amendment.fulfilments, [a(LiftDecided, event)], tx)
    for system in ("crm", "switch"):
        await amendment.worker(system, Operation.LIFT).work()
    assert await amendment.pool.fetchval(IN_FORCE) is None


async def test_a_restriction_that_is_not_done_is_called_off_by_the_lift(open_harness: OpenHarness) -> None:
    amendment = await amending(open_harness, ScriptedSystem("crm"))
    event = a(RestrictionNeeded, right=Right.RECTIFICATION, subject=await amendment.subject())
    async with amendment.unit_of_work.begin() as tx:
        await handlers.restrict_meanwhile(amendment.fulfilments, [event], tx)
    async with amendment.unit_of_work.begin() as tx:
        await handlers.lift(amendment.fulfilments, [a(LiftDecided, event)], tx)
    assert await amendment.states(event.request_id) == {"crm:restrict": "cancelled", "crm:lift": "ready"}
