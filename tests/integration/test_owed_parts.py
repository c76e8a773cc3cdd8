"""What is owed of a request whose system is gone has an end that a person answers for, and stops nothing else."""

import pytest
from uuid_utils.compat import uuid7

from services.erasure import handlers as erasure
from shared.domain.errors import Refused
from shared.domain.events import AnswerDecided, FulfilmentBlocked, TaskRecorded
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.rights import Outcome, Right
from shared.downstreams.contract import NotSearched, Receipt
from shared.fulfilment import by_hand
from shared.fulfilment.store import NewFulfilment
from tests.fixtures.engine import ACCOUNT, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.policy import signed_policy

EMAIL, PHONE = IdentityType.EMAIL, IdentityType.PHONE
NUMBER = Identity(PHONE, "+442079460000", source="crm")
PARTLY = Outcome.PARTIALLY_FULFILLED
END = {"decision": "end_part", "system": "cdr", "reason": "SYSTEM_DESTROYED", "article": "12(4)"}
TOLD = "Its disks were shredded on 3 May; Ada has asked for the protocol."
FOUND = {"system": "cdr", "found": 4, "changed": 4}


def report(system: str, outcome: TaskOutcome | None = None, **more: object) -> TaskReport:
    known = {"operation": Operation.ERASE, "outcome": outcome, "task_id": uuid7(), **more}
    return TaskReport.model_validate({"system": system, **known})


ERASED = report("crm", TaskOutcome.ERASED, found=3, changed=3)
AWAY, GONE = report("cdr", failure="table_missing"), report("cdr", failure="system_retired")


async def owed(intake: Intake, *, retired: bool = True) -> str:
    """An erasure that was answered in part, and whose missing part is in a system that was retired since."""
    path = await intake.submit(right="erasure")
    await intake.decide(path)
    await intake.report(path, ERASED, AWAY, operation=Operation.ERASE)
    if retired:
        await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=(ERASED, GONE)))
    return path


async def test_a_part_that_is_owed_in_a_retired_system_ends_by_what_a_person_enters(intake: Intake) -> None:
    path = await owed(intake)
    entered = await intake.officer.post(f"{path}/task-result", json=FOUND)
    assert (entered.status_code, (await intake.types())[-2:]) == (200, ["task_recorded", "part_answered"])
    shown, letter = (await intake.officer.get(path)).json(), (await intake.officer.get(f"{path}/letters")).json()
    assert (shown["state"], shown["tasks"][1]["by_hand"]) == ("closed", True)
    assert "We still owe you" not in shown["answer"]
    assert "cdr: 4 of 4 records erased by hand." in letter["letters"][-1]["body"]


async def test_two_persons_end_a_part_of_which_nobody_can_look_any_more_and_letter_and_answer_say_so(
    intake: Intake,
) -> None:
    path = await owed(intake)
    proposed = await intake.officer.post(f"{path}/decision", json={**END, "explanation": TOLD})
    alone = await intake.officer.post(f"{path}/decision/approval")
    read = (await intake.colleague.get(f"{path}/decision")).json()
    assert (proposed.status_code, alone.status_code, read["system"]) == (200, 409, "cdr")
    assert (await intake.types())[-1] != "task_recorded"
    approved = await intake.colleague.post(f"{path}/decision/approval")
    again = await intake.colleague.post(f"{path}/decision/approval")
    assert (approved.status_code, again.status_code) == (200, 409)
    [recorded, answered] = (await intake.published())[-2:]
    assert (recorded["task"]["outcome"], recorded["task"]["ground"]) == ("no_longer_held", "system_destroyed")
    assert (answered["type"], answered["outstanding"]) == ("dsr.request.part_answered.v1", [])

    shown = (await intake.officer.get(path)).json()
    assert shown["outcome"] == PARTLY
    assert "We could not look in cdr, which is no longer in use: what it held was destroyed with it." in shown["answer"]
    assert ("cdr", "no_longer_held", "system_destroyed") in [
        (each["system"], each["result"], each["why"]) for each in shown["coverage"]
    ]
    ended, later = (await intake.officer.get(f"{path}/letters")).json()["letters"][-2:]
    assert (ended["kind"], later["kind"]) == ("part_ended", "partial")
    for words in ("our systems, cdr", "what it held was destroyed with it", "Article 12(4)", TOLD, "judicial remedy"):
        assert words in ended["body"]
    assert "cdr: no longer in use: what it held was destroyed with it." in later["body"]
    evidence = (await intake.officer.get(f"{path}/timeline")).json()["entries"]
    assert TOLD not in str(evidence) + str(await intake.published())
    made = [entry["detail"] for entry in evidence if entry["action"] == "decision.made"][-1]
    assert (made["decision"], made["reason"], "proposed_by" in made) == ("end_part", "SYSTEM_DESTROYED", True)
    assert made["policy"] == signed_policy().version


async def test_only_what_is_missing_because_its_system_was_retired_is_ended_so_and_by_the_privacy_team_alone(
    intake: Intake,
) -> None:
    path = await owed(intake, retired=False)
    body = {**END, "explanation": TOLD}
    away = await intake.officer.post(f"{path}/decision", json=body)
    entered = await intake.officer.post(f"{path}/task-result", json=FOUND)
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=(ERASED, GONE)))
    other = await intake.officer.post(f"{path}/decision", json={**body, "system": "crm"})
    reason = await intake.officer.post(f"{path}/decision", json={**body, "reason": "LEGAL_CLAIMS"})
    channel = await intake.channel.post(f"{path}/decision", json=body)
    assert [each.status_code for each in (away, entered, other, reason, channel)] == [409, 409, 409, 400, 403]


async def test_an_open_request_whose_part_was_ended_closes_in_part_and_says_why(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=(ERASED, GONE)))
    (await intake.officer.post(f"{path}/decision", json={**END, "explanation": TOLD})).raise_for_status()
    (await intake.colleague.post(f"{path}/decision/approval")).raise_for_status()
    done = TaskReport.model_validate((await intake.published())[-1]["task"])
    await intake.complete(path, operation=Operation.ERASE, tasks=(ERASED, done), outcome=PARTLY)
    letters = (await intake.officer.get(f"{path}/letters")).json()["letters"]
    theirs = [each for each in letters if each["kind"] != "recipient_notice"]
    assert [each["kind"] for each in theirs] == ["acknowledgement", "part_ended", "partial"]
    assert "a system was taken out of use before it was done there" in theirs[-1]["body"]


@pytest.fixture
async def harness(open_harness: OpenHarness) -> Harness:
    """A CRM that yields numbers and is erased last, and a store of calls that is searched by them."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=(NUMBER, ACCOUNT)))
    crm = ScriptedSystem("crm", frozenset({EMAIL}), frozenset({PHONE}), {Operation.LOCATE: found})
    no = each(lambda _: Refused("the table is gone"))
    harness = await open_harness(crm, ScriptedSystem("cdr", frozenset({PHONE}), answers={Operation.ERASE: no}))
    await harness.register(NUMBER)
    await harness.stand(crm="on", cdr="on")
    return harness


async def worked(harness: Harness) -> None:
    for _ in range(3):
        for step in harness.fulfilments.steps:
            if step.operation in {Operation.LOCATE, Operation.ERASE}:
                await harness.worker(step.system, step.operation).work()


async def begun(harness: Harness) -> NewFulfilment:
    new = await harness.new_fulfilment()
    await harness.open(new)
    await worked(harness)
    assert await harness.states(new.request_id) == {"crm:locate": "done", "cdr:erase": "failed", "crm:erase": "waiting"}
    return new


async def decided(harness: Harness, new: NewFulfilment, *, owed: bool = True) -> None:
    event = a(AnswerDecided, about=str(new.request_id), right=Right.ERASURE, outcome=PARTLY, owed=owed)
    async with harness.unit_of_work.begin() as tx:
        await erasure.answer(harness.fulfilments, [event], tx)
    await worked(harness)


async def recorded(harness: Harness, new: NewFulfilment, **said: object) -> None:
    for task_id, system, operation in await harness.pool.fetch(
        "SELECT task_id, system, operation FROM task WHERE state IN ('failed', 'waiting') AND system = 'cdr'"
    ):
        task = TaskReport.model_validate({"task_id": task_id, "system": system, "operation": operation, **said})
        event = a(TaskRecorded, about=str(new.request_id), right=Right.ERASURE, task=task)
        async with harness.unit_of_work.begin() as tx:
            await by_hand.record(harness.fulfilments, harness.concludes, [event], tx)
    await worked(harness)


async def test_what_had_failed_says_that_its_system_is_gone_once_that_is_retired(harness: Harness) -> None:
    new = await begun(harness)
    await recorded(harness, new, outcome=TaskOutcome.ERASED, found=1, changed=1, by_hand=True)
    assert (await harness.states(new.request_id))["cdr:erase"] == "failed"  # it may be tried again
    await harness.stand(cdr="retired")
    await harness.look_where_systems_stand()
    await harness.look_where_systems_stand()
    assert await harness.pool.fetchval("SELECT failure FROM task WHERE system = 'cdr'") == "system_retired"
    assert (await harness.outbox()).count("dsr.fulfilment.blocked.v1") == 2
    assert await harness.fulfilment_state(new.request_id) == "blocked"


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"outcome": TaskOutcome.ERASED, "found": 4, "changed": 4, "by_hand": True}, Outcome.FULFILLED),
        ({"outcome": TaskOutcome.NO_LONGER_HELD, "ground": "system_destroyed"}, PARTLY),
    ],
)
async def test_the_end_of_a_part_lets_what_waited_behind_it_go_on(
    harness: Harness, said: dict[str, object], outcome: Outcome
) -> None:
    new = await begun(harness)
    await harness.stand(cdr="retired")
    await harness.look_where_systems_stand()
    await recorded(harness, new, **said)
    [done] = harness.completed
    erased = {task.system: task.outcome for task in done.reports if task.operation == Operation.ERASE}
    assert (done.outcome, erased) == (outcome, {"cdr": said["outcome"], "crm": TaskOutcome.ERASED})
    assert (await harness.actions(new.request_id))[-2:] == ["task.concluded"] * 2


async def test_what_is_owed_stops_nothing_behind_it_and_is_done_later_by_what_was_located(harness: Harness) -> None:
    new = await begun(harness)
    await decided(harness, new)
    assert (await harness.states(new.request_id), await harness.fulfilment_state(new.request_id)) == (
        {"crm:locate": "done", "cdr:erase": "failed", "crm:erase": "done"},
        "blocked",
    )
    harness.systems["cdr"].answers = {}
    await harness.retry(new.request_id)
    await worked(harness)
    assert NUMBER.value in {each.value for each in harness.systems["cdr"].asked[-1].identities}
    assert await harness.fulfilment_state(new.request_id) == "complete"


async def test_what_is_refused_for_good_lets_nothing_behind_it_begin(harness: Harness) -> None:
    new = await begun(harness)
    await decided(harness, new, owed=False)
    assert (await harness.states(new.request_id))["crm:erase"] == "cancelled"


async def test_nobody_is_forgotten_where_they_could_not_be_searched_for_or_located(harness: Harness) -> None:
    lost = each(lambda task: NotSearched(task.task_id, Unsearched.NUMBER_WITHOUT_PERIOD))
    harness.systems["cdr"].answers = {Operation.ERASE: lost}
    unsearched = await harness.new_fulfilment()
    await harness.open(unsearched)
    await worked(harness)
    await decided(harness, unsearched)
    harness.systems["crm"].answers = {Operation.LOCATE: each(lambda _: Refused("no"))}
    unlocated = await harness.new_fulfilment()
    await harness.open(unlocated)
    await worked(harness)
    await decided(harness, unlocated)
    for each_one in (unsearched, unlocated):
        assert (await harness.states(each_one.request_id))["crm:erase"] == "waiting"
        assert await harness.fulfilment_state(each_one.request_id) == "blocked"
