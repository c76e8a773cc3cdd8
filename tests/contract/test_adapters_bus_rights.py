"""A team that does every right: a copy by a sealed upload, changes in place that are looked at again."""

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import orjson
import pytest

from shared.domain.errors import AnswerMalformed, DataStillPresent, DsrError, NotSupported, Refused, WrongPersonMatch
from shared.domain.operations import Change, Operation, TaskOutcome
from shared.domain.release import Match
from shared.systems.bus.messages import TaskRequested
from shared.systems.bus.settings import BusSettings
from shared.systems.bus.upload import MalformedResult, read_result
from shared.systems.contract import Pending, Receipt
from shared.systems.downstream import Downstream
from tests.contract.adapter_stands import Engine, task_of
from tests.contract.bus_stand import BusStand
from tests.contract.silent_team import ADA, Asked, Silent
from tests.fakes.bus_responder import Billing
from tests.fixtures.engine import SetClock

NEW = Change(field="email", current=ADA, asserted="ada@quarzfels.example")
CHANGES = (Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS)


def asked_for(silent: Silent, operation: Operation, *changes: Change) -> Asked:
    return Asked(silent, task_of(silent, ADA, operation, *changes))


FOUND = [{"type": "email", "value": "Ada@Example.com"}]
BEN = "ben@example.com"


def row(**other: Any) -> dict[str, Any]:
    return {"category": "account", "source": "invoice", "data": {"email": ADA, "cents": 1}, "matched": FOUND, **other}


async def uploaded(asked: Asked, *rows: dict[str, Any]) -> None:
    """Uploads a team's copy to intake."""
    command = UUID(orjson.loads(asked.team.published[-1].value)["command_id"])
    content = read_result(orjson.dumps({"command_id": str(command), "records": rows})).sealed()
    asked.team.uploads.places[command] = content


async def test_a_copy_is_what_was_uploaded_without_what_its_subject_is_not_shown(stand: BusStand) -> None:
    stand.put(ADA, 2)
    stand.put("ben@example.com", 1)
    [receipt] = await Engine(stand).run([task_of(stand, ADA, Operation.EXPORT)])
    assert isinstance(receipt, Receipt)
    assert (receipt.outcome, receipt.found, receipt.by_category) == (TaskOutcome.EXPORTED, 2, {"account": 2})
    assert [(each.category, each.source, dict(each.data), each.matched) for each in receipt.records] == [
        ("account", "billing.invoice", {"email": ADA, "cents": 100}, (Match("email", ADA),))
    ] * 2
    assert ADA.encode() not in repr((stand.published, stand.replies)).encode()


@pytest.mark.parametrize(
    ("rows", "found", "error", "says"),
    [
        ([row()], 2, AnswerMalformed, "exported 2 rows, and has uploaded 1"),
        ([row(category="calls")], 1, AnswerMalformed, "a category that its table does not list"),
        ([row(data={"email": ADA, "credit_score": 3})], 1, AnswerMalformed, "fields that its table gives no class"),
        (
            [row(), row(matched=[{"type": "email", "value": BEN}])],
            2,
            WrongPersonMatch,
            "in which the subject is not found; nothing was handed out",
        ),
        (
            [row(matched=[*FOUND, {"type": "email", "value": BEN}])],
            1,
            WrongPersonMatch,
            "another person than the subject",
        ),
        ([row(data={"email": BEN, "cents": 1})], 1, WrongPersonMatch, "another person than the subject"),
        (
            [row(data={"email": ADA, "cents": {"a": [{"b": BEN}]}})],
            1,
            WrongPersonMatch,
            "another person than the subject",
        ),
        ([row(data={"email": ADA, "cents": {BEN: 1}})], 1, WrongPersonMatch, "another person than the subject"),
    ],
)
async def test_a_copy_that_is_not_as_declared_is_for_a_person(
    silent: Silent, rows: list[dict[str, Any]], found: int, error: type[DsrError], says: str
) -> None:
    asked = asked_for(silent, Operation.EXPORT)
    await asked.again()
    await uploaded(asked, *rows)
    result = await asked.replied(outcome="exported", found=found)
    assert isinstance(result, error)
    assert says in str(result)


async def test_a_copy_that_never_came_needs_a_person(silent: Silent) -> None:
    asked = asked_for(silent, Operation.EXPORT)
    await asked.again()
    assert isinstance(await asked.replied(outcome="exported", found=1), AnswerMalformed)
    await asked.again()
    await uploaded(asked, row())
    assert isinstance(await asked.replied(outcome="exported", found=1), Receipt)


def nested(depth: int) -> Any:
    return nested(depth - 1) if depth > 900 else {"a": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({}, "command_id: Field required"),
        ({"records": []}, "records: Tuple should have at least 1 item"),
        ({"records": [row()] * 20_001}, "at most 20000 items"),
        ({"records": [row(matched=[])]}, "records.0.matched: Tuple should have at least 1 item"),
        ({"records": [row(data={"a": nested(9)})]}, "nested deeper than 8"),
        ({"records": [row(data={f"f{n}": n for n in range(65)})]}, "at most 64 items"),
        ({"records": [row(category="../x")]}, "records.0.category: String should match"),
        ({"records": [row(matched=[{"type": "shoe", "value": "42"}])]}, "records.0.matched.0.type: "),
        ({"records": [{**row(), ADA: 1}]}, "a field that is none: Extra inputs"),
    ],
)
def test_what_is_no_copy_is_refused_with_the_place_and_without_what_it_holds(said: dict[str, Any], says: str) -> None:
    whole = {"command_id": str(UUID(int=1)), "records": [row()], **said} if said else {}
    with pytest.raises(MalformedResult) as caught:
        read_result(orjson.dumps(whole))
    assert says in str(caught.value)
    assert ADA not in str(caught.value)


@pytest.mark.parametrize("operation", CHANGES)
async def test_a_change_is_made_looked_at_again_and_counted(stand: BusStand, operation: Operation) -> None:
    held, foreign = stand.put(ADA, 3), stand.put("ben@example.com", 2)
    changes = (NEW,) if operation is Operation.RECTIFY else ()
    task = task_of(stand, ADA, operation, *changes)
    [receipt] = await Engine(stand).run([task])
    corrected = (held,) if changes else None
    assert receipt == Receipt(task.task_id, TaskOutcome.AMENDED, found=held, changed=held, corrected=corrected)
    said = [TaskRequested.model_validate_json(message.value) for message in stand.published]
    assert [(each.operation, each.after) for each in said] == [(operation, None), (Operation.LOCATE, operation)]
    assert stand.holds("ben@example.com") == foreign
    assert NEW.asserted.encode() not in repr((stand.published, stand.replies)).encode()


@pytest.mark.parametrize("operation", CHANGES)
async def test_team_that_changed_nothing_at_its_second_look_fails(silent: Silent, operation: Operation) -> None:
    asked = asked_for(silent, operation, *((NEW,) if operation is Operation.RECTIFY else ()))
    await asked.again()
    assert isinstance(await asked.replied(outcome="amended", found=3, changed=3), Pending)
    assert isinstance(await asked.replied(outcome="located", found=3, remaining=1), DataStillPresent)


async def test_team_that_loses_a_person_after_a_restriction_is_not_believed(silent: Silent) -> None:
    asked = asked_for(silent, Operation.RESTRICT)
    await asked.again()
    await asked.replied(outcome="amended", found=3, changed=3)
    assert isinstance(await asked.replied(outcome="no_match"), DataStillPresent)


async def test_team_gets_only_fields_that_it_can_correct(stand: BusStand) -> None:
    stand.put(ADA, 1)
    name = Change(field="name", current=None, asserted="Ada Quarzfels")
    foreign, both = task_of(stand, ADA, Operation.RECTIFY, name), task_of(stand, ADA, Operation.RECTIFY, name, NEW)
    none, done = await Engine(stand).run([foreign, both])
    assert none == Receipt(foreign.task_id, TaskOutcome.NOT_HELD)
    assert isinstance(done, Receipt)
    claim = TaskRequested.model_validate_json(stand.published[0].value).claim
    assert [each["field"] for each in (await stand.identities(claim))["changes"]] == ["email"]


async def test_field_that_the_team_cannot_correct_is_manual(stand: BusStand) -> None:
    cents = task_of(stand, ADA, Operation.RECTIFY, Change(field="cents", current="5", asserted="7"))
    [left] = await Engine(stand).run([cents])
    assert isinstance(left, NotSupported)
    assert "has cents in its rows and does not correct it" in str(left)
    assert stand.published == []


async def test_what_bears_no_mark_of_its_request_is_not_taken_away(stand: BusStand) -> None:
    stand.put(ADA, 1)
    task = replace(task_of(stand, ADA, Operation.LIFT), details={"repair": True, "marked": True})
    assert await Engine(stand).run([task]) == [Receipt(task.task_id, TaskOutcome.NO_MATCH)]
    assert stand.published == []


@pytest.mark.parametrize(
    ("settings", "does"),
    [
        ({}, {Operation.ERASE}),
        ({"operations": ["restrict"]}, {Operation.RESTRICT, Operation.LIFT}),
        ({"operations": ["export"], "fields": {"email": "A"}}, {Operation.EXPORT}),
    ],
)
def test_undeclared_operation_is_manual(store: Billing, settings: dict[str, Any], does: set[Operation]) -> None:
    adapter: Any = BusStand(store, SetClock(), BusSettings.model_validate(settings)).adapter
    system = Downstream("billing", frozenset(), adapter=adapter)
    assert {operation for operation in Operation if system.can(operation)} == does
    assert {operation for operation in Operation if system.by_hand(operation)} == {
        *(Operation.ERASE, Operation.EXPORT, *CHANGES)
    } - does


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"operations": ["export"]}, "export needs fields"),
        ({"operations": ["export"], "fields": {"email": "T"}}, "export needs fields"),
        ({"operations": ["rectify"]}, "rectify needs rectifies"),
        ({"operations": []}, "at least 1 item"),
        ({"operations": ["lift"]}, "operations"),
    ],
)
def test_a_table_says_what_its_operations_need(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        BusSettings.model_validate(settings)


async def test_a_team_that_refuses_a_copy_is_shown_with_its_reason(silent: Silent) -> None:
    asked = asked_for(silent, Operation.EXPORT)
    await asked.again()
    result = await asked.replied(outcome="refused", reason="unpaid_invoice")
    assert isinstance(result, Refused)
    assert str(result) == "billing refuses to export: unpaid_invoice"


async def test_a_team_says_before_an_erasure_what_it_would_find_and_keep_and_changes_nothing(stand: BusStand) -> None:
    stand.settings = stand.settings.model_copy(update={"grounds": frozenset({"tax_law"})})
    stand.__post_init__()
    stand.put(ADA, 3)
    with stand.store.db:
        stand.store.db.execute("UPDATE invoice SET keep_until = '2099-12-31' WHERE number = 1")
    [plan] = await Engine(stand).run([task_of(stand, ADA, Operation.PLAN)])
    assert isinstance(plan, Receipt)
    reported = (plan.outcome, plan.found, plan.changed, plan.remaining, plan.by_category, plan.ground, plan.until)
    assert reported == (TaskOutcome.PLANNED, 3, 0, 1, {"account": 3}, "tax_law", date(2099, 12, 31))
    assert (stand.holds(ADA), len(stand.published)) == (3, 1), "nothing was changed, so nothing is looked at again"
    [unknown] = await Engine(stand).run([task_of(stand, BEN, Operation.PLAN)])
    assert isinstance(unknown, Receipt)
    assert unknown.outcome is TaskOutcome.NO_MATCH


@pytest.mark.parametrize(
    ("said", "fails"),
    [
        ({"outcome": "refused", "reason": "unpaid_invoice"}, "refuses to plan: unpaid_invoice"),
        ({"outcome": "planned", "found": 2, "by_category": {"calls": 2}}, "a category that its table does not name"),
        ({"outcome": "planned", "found": 2, "remaining": 1, "ground": "whim"}, "on a ground that its grounds do not"),
    ],
)
async def test_team_that_would_refuse_stops_the_erasure(silent: Silent, said: dict[str, Any], fails: str) -> None:
    silent.settings = silent.settings.model_copy(update={"reasons": frozenset({"unpaid_invoice"})})
    silent.__post_init__()
    asked = asked_for(silent, Operation.PLAN)
    await asked.again()
    result = await asked.replied(**said)
    assert isinstance(result, Refused)
    assert fails in str(result)


@pytest.mark.parametrize(
    ("table", "plans", "may_refuse"),
    [
        ({"operations": ["erase"], "grounds": ["tax_law"]}, False, False),
        ({"operations": ["erase", "plan"]}, True, False),
        ({"operations": ["erase", "plan"], "reasons": ["unpaid_invoice"]}, True, True),
    ],
)
def test_team_is_asked_before_erasure(stand: BusStand, table: dict[str, Any], *, plans: bool, may_refuse: bool) -> None:
    stand.settings = BusSettings.model_validate(table)
    stand.__post_init__()
    declared = Downstream("billing", frozenset(), adapter=stand.adapter)
    assert (declared.can(Operation.PLAN), declared.may_refuse) == (plans, may_refuse)
