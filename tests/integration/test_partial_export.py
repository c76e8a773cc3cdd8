"""What the services that fulfil do when two persons have decided how a request is answered, or when it is withdrawn."""

import json
from typing import Any

from services.erasure import handlers as erasure
from services.export import handlers as export
from shared.domain import events
from shared.domain.errors import Refused, Unavailable
from shared.domain.events import AnswerDecided, RequestClosed, RequestVerified
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import Match
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Checkpoint, Receipt, Record, Result
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment import reports
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.packages import described, exporting, fetched, pack, unpacked

PARTLY = Outcome.PARTIALLY_FULFILLED


def has(*values: str, of: str = "ada@example.org") -> Any:
    """An answer that finds so many records, by that address."""
    by = (Match("email", of),)
    records = tuple(Record("calls", "cdrs", {"value": value}, portable=True, matched=by) for value in values)
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
    """What was said, after every package that was due."""
    if harness.unit_of_work.service is ServiceName.EXPORT:
        await pack(harness)
    rows = await harness.pool.fetch("SELECT value FROM outbox ORDER BY position")
    return [json.loads(row["value"]) for row in rows]


async def package(harness: Harness, event: RequestVerified, told: dict[str, Any]) -> dict[str, Any]:
    """What is in the one package that there is."""
    async with harness.unit_of_work.begin() as tx:
        [(sealed_id, *_)] = await tx.vault.places(tx.connection, event.subject, "package")
    assert str(sealed_id) == told["package_id"]
    content = await fetched(harness, sealed_id)
    found = described(content)
    assert (b"not complete" in unpacked(content)["README.txt"]) == ("missing" in found)
    return found


async def pieces(harness: Harness) -> int:
    return int(await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'records'"))


async def test_a_partial_answer_has_a_package_of_what_there_is_and_a_later_one_of_the_rest(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness, cdr, event = await copying(open_harness, Unavailable("it is away"))
    async with harness.unit_of_work.begin() as tx:
        await export.answer(harness.fulfilments, [a(AnswerDecided, about=event, outcome=PARTLY, owed=True)], tx)
    [told] = await said(harness)
    now = await package(harness, event, told)
    assert told["type"] == "dsr.fulfilment.reported.v1"
    assert {task["system"]: task["outcome"] for task in told["tasks"]} == {"crm": "exported", "cdr": None}
    assert ([piece["data"]["value"] for piece in now["records"]], now["missing"]) == (["Ada", "Quarzfels"], ["cdr"])

    closed = a(RequestClosed, about=event, outcome=PARTLY, outstanding=("cdr",), goes_on=True)
    async with harness.unit_of_work.begin() as tx:
        await export.close([closed], tx)
    assert await harness.states(event.request_id) == {"crm:export": "done", "cdr:export": "ready"}
    cdr.answers = {Operation.EXPORT: has("+442079460000")}
    clock.pass_by(hours=1)
    await harness.worker("cdr", Operation.EXPORT).work()
    later = await package(harness, event, (await said(harness))[-1])
    assert ({piece["system"] for piece in later["records"]}, "missing" in later) == ({"crm", "cdr"}, False)
    assert await pieces(harness) == 0


async def test_a_partial_package_leaves_out_what_is_not_shown_to_be_the_subjects(open_harness: OpenHarness) -> None:
    theirs = ScriptedSystem("tickets", answers={Operation.EXPORT: has("Eve", of="eve@example.org")})
    harness, _, event = await copying(open_harness, Unavailable("it is away"), theirs)
    async with harness.unit_of_work.begin() as tx:
        await export.answer(harness.fulfilments, [a(AnswerDecided, about=event, outcome=PARTLY, owed=True)], tx)
    [told] = await said(harness)
    found = await package(harness, event, told)
    assert ({piece["system"] for piece in found["records"]}, found["missing"]) == ({"crm"}, ["cdr", "tickets"])
    assert {task["system"]: task["failure"] for task in told["tasks"]}["tickets"] == "release_blocked"
    assert await pieces(harness) == 1


async def test_what_failed_may_be_tried_again_after_the_partial_answer(open_harness: OpenHarness) -> None:
    harness, cdr, event = await copying(open_harness, Refused("the table is gone"))
    closed = a(RequestClosed, about=event, outcome=PARTLY, outstanding=("cdr",), goes_on=True)
    async with harness.unit_of_work.begin() as tx:
        await export.answer(harness.fulfilments, [a(AnswerDecided, about=event, outcome=PARTLY, owed=True)], tx)
        await export.close([closed], tx)
    cdr.answers = {Operation.EXPORT: has("+442079460000")}
    async with harness.unit_of_work.begin() as tx:
        await export.retry(harness.fulfilments, [a(events.RetryDecided, about=event)], tx)
    await harness.worker("cdr", Operation.EXPORT).work()
    assert (await said(harness))[-1]["type"] == "dsr.fulfilment.completed.v1"
    assert len((await package(harness, event, (await said(harness))[-1]))["records"]) == 3


async def test_a_refused_access_hands_out_nothing_and_is_collected_no_more(open_harness: OpenHarness) -> None:
    harness, _, event = await copying(open_harness, Unavailable("it is away"))
    async with harness.unit_of_work.begin() as tx:
        refused = a(AnswerDecided, about=event, outcome=Outcome.REFUSED, owed=False)
        await export.answer(harness.fulfilments, [refused], tx)
        await export.close([a(RequestClosed, about=event, outcome=Outcome.REFUSED)], tx)
    [told] = await said(harness)
    assert told["package_id"] is None
    assert await harness.states(event.request_id) == {"crm:export": "done", "cdr:export": "cancelled"}
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind <> 'identities'") == 0


async def test_a_key_lives_while_an_answered_erasure_is_owed_somewhere_and_goes_with_its_end(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    away = ScriptedSystem("cdr", answers={Operation.ERASE: cannot(Unavailable("it is away"))})
    harness = await open_harness(ScriptedSystem("crm"), away)
    harness.concludes = {Operation.ERASE: erasure.finish}
    event = a(RequestVerified, right=Right.ERASURE, subject=await harness.subject(), due_on=DUE)
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.ERASE, harness.fulfilments, [event], tx)
    for system in ("crm", "cdr"):
        await harness.worker(system).work()
    async with harness.unit_of_work.begin() as tx:
        await reports.answer([a(AnswerDecided, about=event, outcome=PARTLY, owed=True)], tx)
        await erasure.shred_key([a(RequestClosed, about=event, outcome=PARTLY, goes_on=True)], tx)
    [told] = await said(harness)
    assert {task["system"]: task["changed"] for task in told["tasks"]} == {"crm": 2, "cdr": 0}
    assert "key.kept" in await harness.actions(event.request_id)
    away.answers = {}
    clock.pass_by(hours=1)
    await harness.worker("cdr").work()
    assert (await said(harness))[-1]["deferred"] is True
    assert (await harness.actions(event.request_id))[-1] == "key.shredded"


async def test_a_withdrawn_erasure_says_what_had_been_done_also_by_whoever_was_at_it(open_harness: OpenHarness) -> None:
    waiting: list[RequestVerified] = []

    async def withdraw_meanwhile(asked: Any, _save_progress: Checkpoint) -> list[Result]:
        async with harness.unit_of_work.begin() as tx:
            await fulfilling.cancel([a(events.RequestWithdrawn, about=waiting[0])], tx)
        return [Receipt(task.task_id, TaskOutcome.ERASED, found=5, changed=5) for task in asked]

    slow = ScriptedSystem("cdr", answers={Operation.ERASE: withdraw_meanwhile})
    harness = await open_harness(ScriptedSystem("crm"), slow, ScriptedSystem("tickets"))
    event = a(RequestVerified, right=Right.ERASURE, subject=await harness.subject(), due_on=DUE)
    waiting.append(event)
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.ERASE, harness.fulfilments, [event], tx)
    for system in ("crm", "cdr"):
        await harness.worker(system).work()
    first, last = [{t["system"]: t["changed"] for t in told["tasks"]} for told in await said(harness)]
    assert first == {"crm": 2, "cdr": 0, "tickets": 0}
    assert last == {"crm": 2, "cdr": 5, "tickets": 0}


async def test_an_answer_is_not_awaited_in_vain_where_the_work_never_began(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    decided = a(AnswerDecided, outcome=Outcome.REFUSED, owed=False)
    async with harness.unit_of_work.begin() as tx:
        await reports.answer([decided], tx)
    [told] = await said(harness)
    assert (told["request_id"], told["tasks"]) == (str(decided.request_id), [])
