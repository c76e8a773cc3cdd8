"""The owed part of a removed system ends by a person's decision, and blocks nothing else."""

import json
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.erasure import handlers as erasure
from services.export import handlers as export
from shared.domain import events
from shared.domain.errors import Refused, Unavailable
from shared.domain.events import AnswerDecided, FulfilmentBlocked, RequestClosed, RequestVerified, TaskRecorded
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.release import Match
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment import reports
from shared.fulfilment.store import NewFulfilment
from shared.systems.contract import Checkpoint, CopiedRecord, NotSearched, Receipt, Result
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, approve, id_of
from tests.fixtures.packages import described, exporting, fetched, pack, unpacked
from tests.fixtures.policy import signed_policy

EMAIL, PHONE = IdentityType.EMAIL, IdentityType.PHONE
NUMBER = Identity(PHONE, "+442079460000", source="crm")
PARTLY = Outcome.PARTIALLY_FULFILLED
END = {"system": "cdr", "reason": "SYSTEM_DESTROYED", "article": "12(4)"}
REASON = "Its disks were shredded on 3 May; Ada has asked for the protocol."
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
    entered = await intake.officer.post(f"{path}/actions/record-result", json=FOUND)
    assert (entered.status_code, (await intake.types())[-2:]) == (200, ["task_recorded", "part_answered"])
    shown, letter = (await intake.officer.get(path)).json(), (await intake.officer.get(f"{path}/letters")).json()
    assert (shown["state"], shown["tasks"][1]["by_hand"]) == ("closed", True)
    assert "We still owe you" not in shown["answer"]
    assert "cdr: 4 records erased by hand." in letter["data"][-1]["body"]


async def test_two_approvers_end_a_part_of_a_destroyed_system(intake: Intake) -> None:
    path = await owed(intake)
    proposed = await intake.officer.post(f"{path}/actions/end-part", json={**END, "explanation": REASON})
    alone = await approve(intake.officer, path)
    read = (await intake.colleague.get(f"/v1/approvals/{proposed.json()['approval_id']}")).json()
    assert (proposed.status_code, alone.status_code, read["body"]["system"]) == (202, 409, "cdr")
    assert (await intake.types())[-1] != "task_recorded"
    approved = await approve(intake.colleague, path)
    again = await approve(intake.colleague, path)
    assert (approved.status_code, again.status_code) == (200, 404)
    [recorded, answered] = (await intake.published())[-2:]
    assert (recorded["task"]["outcome"], recorded["task"]["ground"]) == ("no_longer_held", "system_destroyed")
    assert (answered["type"], answered["outstanding"]) == ("dsr.request.part_answered.v1", [])

    shown = (await intake.officer.get(path)).json()
    assert shown["outcome"] == PARTLY
    assert "We could not look in cdr, which is no longer in use: what it held was destroyed with it." in shown["answer"]
    assert ("cdr", "no_longer_held", "system_destroyed") in [
        (each["system"], each["result"], each["why"]) for each in shown["coverage"]
    ]
    ended, later = (await intake.officer.get(f"{path}/letters")).json()["data"][-2:]
    assert (ended["kind"], later["kind"]) == ("update", "answer")
    for words in ("our systems, cdr", "what it held was destroyed with it", "Article 12(4)", REASON, "judicial remedy"):
        assert words in ended["body"]
    assert "cdr: no longer in use: what it held was destroyed with it." in later["body"]
    evidence = (await intake.officer.get(f"{path}/timeline")).json()["data"]
    assert REASON not in str(evidence) + str(await intake.published())
    made = [entry["detail"] for entry in evidence if entry["action"] == "decision.made"][-1]
    assert (made["decision"], made["reason"], "proposed_by" in made) == ("end_part", "SYSTEM_DESTROYED", True)
    assert made["policy"] == signed_policy().version


async def test_only_what_is_missing_because_its_system_was_retired_is_ended_so(intake: Intake) -> None:
    path = await owed(intake, retired=False)
    body = {**END, "explanation": REASON}
    away = await intake.officer.post(f"{path}/actions/end-part", json=body)
    entered = await intake.officer.post(f"{path}/actions/record-result", json=FOUND)
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=(ERASED, GONE)))
    other = await intake.officer.post(f"{path}/actions/end-part", json={**body, "system": "crm"})
    reason = await intake.officer.post(f"{path}/actions/end-part", json={**body, "reason": "LEGAL_CLAIMS"})
    assert [each.status_code for each in (away, entered, other, reason)] == [409, 409, 409, 400]


async def test_an_open_request_whose_part_was_ended_closes_in_part_and_says_why(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=(ERASED, GONE)))
    (await intake.officer.post(f"{path}/actions/end-part", json={**END, "explanation": REASON})).raise_for_status()
    (await approve(intake.colleague, path)).raise_for_status()
    done = TaskReport.model_validate((await intake.published())[-1]["task"])
    await intake.complete(path, operation=Operation.ERASE, tasks=(ERASED, done), outcome=PARTLY)
    letters = (await intake.officer.get(f"{path}/letters")).json()["data"]
    assert [each["kind"] for each in letters] == ["acknowledgement", "update", "answer"]
    assert "a system was taken out of use before it was done there" in letters[-1]["body"]


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
            await fulfilling.record(harness.fulfilments, harness.concludes, [event], tx)
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
async def test_end_of_a_part_frees_later_tasks(harness: Harness, said: dict[str, object], outcome: Outcome) -> None:
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


async def test_key_stays_while_a_system_could_not_be_searched(harness: Harness) -> None:
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


# Fulfilment after two people have decided an answer, or after a withdrawal.
def has(*values: str, of: str = "ada@example.org") -> Any:
    """An answer that finds so many records, by that address."""
    by = (Match("email", of),)
    records = tuple(CopiedRecord("calls", "cdrs", {"value": value}, portable=True, matched=by) for value in values)
    return each(lambda task: Receipt(task.task_id, TaskOutcome.EXPORTED, found=len(records), records=records))


def cannot(result: Result) -> Any:
    return each(lambda _task: result)


async def copying(
    open_harness: OpenHarness, away: Result, *more: ScriptedSystem
) -> tuple[Harness, ScriptedSystem, RequestVerified]:
    """An access of which one system has given its part, and another has not."""
    crm = ScriptedSystem("crm", answers={Operation.EXPORT: has("Ada", "Quarzfels")})
    cdr = ScriptedSystem("cdr", answers={Operation.EXPORT: cannot(away)})
    harness = await open_harness(crm, cdr, *more, service=ServiceName.EXPORT)
    exporting(harness)
    event = a(RequestVerified, right=Right.ACCESS, subject=await harness.subject(), due_on=DUE)
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.EXPORT, harness.fulfilments, [event], tx)
    for system in harness.systems:
        await harness.worker(system, Operation.EXPORT).work()
    return harness, cdr, event


async def said(harness: Harness) -> list[dict[str, Any]]:
    """Returns the published events, after every due package."""
    if harness.unit_of_work.service is ServiceName.EXPORT:
        await pack(harness)
    rows = await harness.pool.fetch("SELECT value FROM outbox ORDER BY position")
    return [json.loads(row["value"]) for row in rows]


async def package(harness: Harness, event: RequestVerified, answer: dict[str, Any]) -> dict[str, Any]:
    """Returns the content of the only package."""
    async with harness.unit_of_work.begin() as tx:
        [(sealed_id, *_)] = await tx.vault.list_pieces(tx.connection, event.subject, "package")
    assert str(sealed_id) == answer["package_id"]
    content = await fetched(harness, sealed_id)
    found = described(content)
    assert (b"not complete" in unpacked(content)["README.txt"]) == ("missing" in found)
    return found


async def pieces(harness: Harness) -> int:
    return int(await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'records'"))


async def test_a_partial_package_leaves_out_what_is_not_shown_to_be_the_subjects(open_harness: OpenHarness) -> None:
    theirs = ScriptedSystem("tickets", answers={Operation.EXPORT: has("Eve", of="eve@example.org")})
    harness, _, event = await copying(open_harness, Unavailable("it is away"), theirs)
    async with harness.unit_of_work.begin() as tx:
        await export.answer(harness.fulfilments, [a(AnswerDecided, about=event, outcome=PARTLY, owed=True)], tx)
    [answer] = await said(harness)
    found = await package(harness, event, answer)
    assert ({piece["system"] for piece in found["records"]}, found["missing"]) == ({"crm"}, ["cdr", "tickets"])
    assert {task["system"]: task.get("failure") for task in answer["tasks"]}["tickets"] == "release_blocked"
    assert await pieces(harness) == 1


async def test_what_failed_may_be_tried_again_after_the_partial_answer(open_harness: OpenHarness) -> None:
    harness, cdr, event = await copying(open_harness, Refused("the table is gone"))
    closed = a(RequestClosed, about=event, outcome=PARTLY, outstanding=("cdr",), has_outstanding=True)
    async with harness.unit_of_work.begin() as tx:
        await export.answer(harness.fulfilments, [a(AnswerDecided, about=event, outcome=PARTLY, owed=True)], tx)
        await export.close([closed], tx)
    cdr.answers = {Operation.EXPORT: has("+442079460000")}
    async with harness.unit_of_work.begin() as tx:
        await export.retry(harness.fulfilments, [a(events.RetryRequested, about=event)], tx)
    await harness.worker("cdr", Operation.EXPORT).work()
    assert (await said(harness))[-1]["type"] == "dsr.fulfilment.completed.v1"
    assert len((await package(harness, event, (await said(harness))[-1]))["records"]) == 3


async def test_a_refused_access_hands_out_nothing_and_is_collected_no_more(open_harness: OpenHarness) -> None:
    harness, _, event = await copying(open_harness, Unavailable("it is away"))
    async with harness.unit_of_work.begin() as tx:
        refused = a(AnswerDecided, about=event, outcome=Outcome.REFUSED, owed=False)
        await export.answer(harness.fulfilments, [refused], tx)
        await export.close([a(RequestClosed, about=event, outcome=Outcome.REFUSED)], tx)
    [answer] = await said(harness)
    assert "package_id" not in answer
    assert await harness.states(event.request_id) == {"crm:export": "done", "cdr:export": "cancelled"}
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind <> 'identities'") == 0


async def test_key_lives_while_an_erasure_is_outstanding(open_harness: OpenHarness, clock: SetClock) -> None:
    away = ScriptedSystem("cdr", answers={Operation.ERASE: cannot(Unavailable("it is away"))})
    harness = await open_harness(ScriptedSystem("crm"), away)
    harness.concludes = {Operation.ERASE: erasure.finish}
    event = a(RequestVerified, right=Right.ERASURE, subject=await harness.subject(), due_on=DUE)
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.ERASE, harness.fulfilments, [event], tx)
    for system in ("crm", "cdr"):
        await harness.worker(system).work()
    async with harness.unit_of_work.begin() as tx:
        await reports.publish_answered([a(AnswerDecided, about=event, outcome=PARTLY, owed=True)], tx)
        await erasure.shred_key([a(RequestClosed, about=event, outcome=PARTLY, has_outstanding=True)], tx)
    [answer] = await said(harness)
    assert {task["system"]: task["changed"] for task in answer["tasks"]} == {"crm": 2, "cdr": 0}
    assert "key.kept" in await harness.actions(event.request_id)
    away.answers = {}
    clock.pass_by(hours=1)
    await harness.worker("cdr").work()
    assert (await said(harness))[-1]["deferred"] is True
    assert (await harness.actions(event.request_id))[-1] == "key.shredded"


async def test_withdrawn_erasure_reports_all_work_done(open_harness: OpenHarness) -> None:
    waiting: list[RequestVerified] = []

    async def withdraw_meanwhile(asked: Any, _save_progress: Checkpoint) -> list[Result]:
        async with at_work.unit_of_work.begin() as tx:
            await fulfilling.cancel([a(events.RequestWithdrawn, about=waiting[0])], tx)
        return [Receipt(task.task_id, TaskOutcome.ERASED, found=5, changed=5) for task in asked]

    slow = ScriptedSystem("cdr", answers={Operation.ERASE: withdraw_meanwhile})
    at_work = await open_harness(ScriptedSystem("crm"), slow, ScriptedSystem("tickets"))
    event = a(RequestVerified, right=Right.ERASURE, subject=await at_work.subject(), due_on=DUE)
    waiting.append(event)
    async with at_work.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.ERASE, at_work.fulfilments, [event], tx)
    for system in ("crm", "cdr"):
        await at_work.worker(system).work()
    first, last = [{t["system"]: t["changed"] for t in answer["tasks"]} for answer in await said(at_work)]
    assert first == {"crm": 2, "cdr": 0, "tickets": 0}
    assert last == {"crm": 2, "cdr": 5, "tickets": 0}


async def test_an_answer_is_not_awaited_in_vain_where_the_work_never_began(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    decided = a(AnswerDecided, outcome=Outcome.REFUSED, owed=False)
    async with harness.unit_of_work.begin() as tx:
        await reports.publish_answered([decided], tx)
    [answer] = await said(harness)
    assert (answer["request_id"], answer["tasks"]) == (str(decided.request_id), [])
