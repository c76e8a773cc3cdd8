"""An objection to legitimate interests restricts until two people have weighed it; one to marketing waits for none."""

import json
from functools import partial
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers, registers
from shared.domain.events import AnswerDecided, FulfilmentCompleted, LiftDecided, RequestVerified
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.systems.contract import Receipt, Result, Task
from tests.fixtures.engine import OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import WHY, Intake, approve, id_of

LEGITIMATE = {"right": "objection", "scope": "legitimate_interests"}
RESTRICTED = TaskReport(task_id=uuid7(), system="billing", operation="restrict", outcome=TaskOutcome.AMENDED, found=3)


async def restricted(intake: Intake) -> str:
    """An objection whose data every system has restricted."""
    path = await intake.submit(**LEGITIMATE)
    said = {"right": Right.OBJECTION, "operation": Operation.RESTRICT, "tasks": (RESTRICTED,)}
    await intake.complete(path, **said)
    return path


async def test_objection_is_answered_by_two_approvers_and_not_by_the_restriction(intake: Intake) -> None:
    path = await restricted(intake)
    shown = await intake.view(path)
    assert (shown["state"], shown["outcome"]) == ("awaiting_decision", None)
    assert "restricted" in shown["answer"]
    retried = await intake.officer.post(f"{path}/actions/retry")
    (
        await intake.officer.post(f"{path}/actions/weigh", json={"finding": "upheld", "explanation": WHY})
    ).raise_for_status()
    alone = await approve(intake.officer, path)
    assert [answer.status_code for answer in (retried, alone)] == [409, 409]
    assert (await intake.view(path))["outcome"] is None


async def test_upheld_it_stays_restricted_and_erasure_is_offered(intake: Intake) -> None:
    path = await restricted(intake)
    await intake.weigh(path, "upheld")
    shown = await intake.view(path)
    assert shown["outcome"] == "fulfilled"
    assert "Art. 17(1)(c)" in shown["answer"]
    assert "marketing" not in shown["answer"]
    assert "Art. 17(1)(c)" in (await intake.letters(path))[-1]["body"]
    assert "lift_decided" not in await intake.types()


async def test_overridden_objection_is_explained_and_then_lifted(intake: Intake) -> None:
    for finding, words in (
        ("overridden", "compelling legitimate grounds"),
        ("legal_claims", "We need the data to establish, exercise or defend legal claims"),
        ("contract", "does not apply"),
        ("legal_obligation", "A law of the European Union or of a Member State obliges us"),
        ("consent", "Art. 7(3)"),
    ):
        path = await restricted(intake)
        await intake.weigh(path, finding)
        shown, letter = await intake.view(path), (await intake.letters(path))[-1]
        assert (shown["outcome"], letter["kind"]) == ("refused", "answer")
        lifting = "we decided to lift the restriction that it had brought, and tell you so before we do"
        for said in (
            words,
            WHY,
            lifting,
            "on another request of yours, stays in force",
            "complaint",
            "judicial remedy",
        ):
            assert said in " ".join(letter["body"].split())
        assert (await intake.types())[-2:] == ["lift_decided", "closed"]
        (weighed,) = await intake.details(path, "objection.weighed")
        assert weighed["finding"] == finding
        assert WHY not in str(await intake.evidence(path))


async def test_it_needs_the_proof_that_a_restriction_needs_and_one_to_marketing_none(intake: Intake) -> None:
    for scope, state in (("legitimate_interests", "awaiting_identity"), ("direct_marketing", "in_progress")):
        path = await intake.submit(right="objection", scope=scope, assurance=None)
        assert (await intake.view(path))["state"] == state


async def test_amendment_restricts_for_it_and_lifts_and_fills_no_list_of_marketing(open_harness: OpenHarness) -> None:
    system = ScriptedSystem("crm")
    amendment = await open_harness(system, service=ServiceName.AMENDMENT)
    subject = await amendment.subject()
    said: dict[str, Any] = {"subject": subject, "right": Right.OBJECTION}
    event = a(RequestVerified, **said, scope="legitimate_interests")
    async with amendment.unit_of_work.begin() as tx:
        await handlers.begin(amendment.fulfilments, [event], tx)
    assert await amendment.states(event.request_id) == {"crm:restrict": "ready"}
    assert await amendment.pool.fetchval("SELECT count(*) FROM register.suppression") == 0
    async with amendment.unit_of_work.begin() as tx:
        await handlers.lift(amendment.fulfilments, [a(LiftDecided, about=event.request_id, **said)], tx)
    assert "crm:lift" in await amendment.states(event.request_id)
    marketing = a(RequestVerified, **said, scope="direct_marketing")
    async with amendment.unit_of_work.begin() as tx:
        await handlers.begin(amendment.fulfilments, [marketing], tx)
    assert await amendment.states(marketing.request_id) == {"crm:suppress": "ready"}
    assert await amendment.pool.fetchval("SELECT count(*) FROM register.suppression") == 1


def nothing(task: Task) -> Result:
    return Receipt(task.task_id, TaskOutcome.NO_MATCH)


@pytest.mark.parametrize("how", ["completed", "answered in part"])
async def test_unknown_objector_is_listed_and_answered(open_harness: OpenHarness, intake: Intake, how: str) -> None:
    system = ScriptedSystem("crm", answers={Operation.SUPPRESS: each(nothing)})
    amendment = await open_harness(system, service=ServiceName.AMENDMENT)
    amendment.concludes = {Operation.SUPPRESS: partial(handlers.finish, amendment.fulfilments)}
    event = a(RequestVerified, subject=await amendment.subject(), right=Right.OBJECTION, scope="direct_marketing")
    async with amendment.unit_of_work.begin() as tx:
        await handlers.begin(amendment.fulfilments, [event], tx)
    if how == "answered in part":
        async with amendment.unit_of_work.begin() as tx:
            await handlers.answer([a(AnswerDecided, event, owed=False)], tx)
    else:
        await amendment.worker("crm", Operation.SUPPRESS).work()
    *so_far, said = [
        json.loads(value) for (value,) in await amendment.pool.fetch("SELECT value FROM outbox ORDER BY position")
    ]
    assert {each["so_far"] for each in so_far} == {True}
    assert said["outcome"] == "fulfilled"
    [listed] = [TaskReport.model_validate(task) for task in said["tasks"] if task["system"] == registers.OUR_LIST]
    assert (listed.found, dict(listed.by_category)) == (1, {"email": 1})
    path = await intake.submit(right="objection", scope="direct_marketing", subject={"email": "late@example.org"})
    about = {"request_id": id_of(path), "type": "dsr.fulfilment.completed.v1"}
    completed = a(FulfilmentCompleted, **{**said, **about})
    await intake.consume(completed)
    shown, letter = await intake.view(path), (await intake.letters(path))[-1]
    assert (shown["outcome"], letter["kind"]) == ("fulfilled", "answer")
    assert "on our list of those who get no marketing" in shown["answer"]
    assert (
        "- “list of those who get no marketing”: 1 record kept from marketing (e-mail addresses: 1)." in letter["body"]
    )


async def test_objection_by_an_unproved_address_reports_findings_to_officers_alone(intake: Intake) -> None:
    found = {"outcome": TaskOutcome.AMENDED, "found": 5, "changed": 5}
    said: dict[str, Any] = {"right": "objection", "scope": "direct_marketing", "assurance": None, "proofs": []}
    answers = []
    for more in (found, {"outcome": TaskOutcome.NO_MATCH}):
        path = await intake.submit(**said, subject={"email": f"{uuid7()}@example.org"})
        report = TaskReport(task_id=uuid7(), system="crm", operation="suppress", **more)
        await intake.complete(path, right=Right.OBJECTION, operation=Operation.SUPPRESS, tasks=(report,))
        shown = (await intake.channel.get(path)).json()
        letters = (await intake.channel.get(f"{path}/letters")).json()["data"]
        entries = (await intake.channel.get(f"{path}/timeline")).json()["data"]
        assert (await intake.channel.get(f"{path}/certificate")).status_code == 409
        assert (await intake.officer.get(f"{path}/certificate")).json()["request"]["tasks"] != []
        all_of_it = (await intake.officer.get(path)).json()
        assert [each.get("found", 0) for each in all_of_it["tasks"]] == [more.get("found", 0)]
        answers.append(
            (
                shown["state"],
                shown["outcome"],
                shown["answer"],
                shown["tasks"],
                shown["coverage"],
                [(each["kind"], each["body"].replace(shown["reference"], "")) for each in letters[1:]],
                [each["action"] for each in entries],
            )
        )
    assert answers[0] == answers[1]
