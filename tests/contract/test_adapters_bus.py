"""Misbehaviour of a team on the bus, and data that it must never receive."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider
from pydantic import JsonValue

from shared.domain.errors import (
    AnswerMalformed,
    DataStillPresent,
    DoneBefore,
    LimitExceeded,
    Refused,
    Unavailable,
    WrongPersonMatch,
)
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, Unsearched
from shared.domain.topics import Message
from shared.fulfilment.adapter_calls import AdapterCalls
from shared.messaging.producer import BusAway
from shared.runtime.metrics import CALL_SECONDS
from shared.systems.bus.messages import MalformedReply, TaskReply, TaskRequested, parse_reply, progress_from_reply
from shared.systems.bus.settings import BusSettings
from shared.systems.contract import NotSearched, Pending, Receipt, Result, Task
from shared.systems.protocols import Adapter
from shared.systems.roundup.adapter import RoundupAdapter
from shared.systems.roundup.settings import RoundupSettings
from shared.systems.tryton.adapter import TrytonAdapter
from shared.systems.tryton.settings import TrytonSettings
from tests.contract.adapter_stands import Engine, erasure_of
from tests.contract.bus_stand import BusStand
from tests.contract.silent_team import Asked, Silent
from tests.fakes import slow_crm, slow_ticketing
from tests.fakes.bus_responder import Billing
from tests.fixtures.downstream import email, task
from tests.fixtures.engine import SetClock
from tests.fixtures.stores import TICKETS_EACH, Subject

ADA = "ada@example.com"
KEPT: dict[str, Any] = {"found": 5, "changed": 3, "remaining": 2}


@pytest.fixture
async def asked(silent: Silent) -> Asked:
    asked = Asked(silent)
    await asked.again()
    return asked


@pytest.mark.parametrize("tenants", [True, False])
async def test_team_that_separates_tenants_gets_the_tenant_of_a_task(store: Billing, *, tenants: bool) -> None:
    stand = Silent(store, SetClock(), BusSettings(tenants=tenants))
    tasks = [replace(erasure_of(stand, ADA), tenant=tenant) for tenant in ("acme", None)]
    await Engine(stand).once(tasks)
    said = [orjson.loads(message.value) for message in stand.published]
    assert [each.get("tenant", "unsaid") for each in said] == (["acme", None] if tenants else ["unsaid"] * 2)
    assert [TaskRequested.model_validate_json(message.value).tenant for message in stand.published] == (
        ["acme", None] if tenants else [None, None]
    )


async def test_a_task_names_its_request_its_due_day_and_its_limit(stand: BusStand) -> None:
    task = erasure_of(stand, ADA)
    await Engine(stand).erase([task])
    [message] = stand.published
    said = TaskRequested.model_validate_json(message.value)
    assert (said.task_id, said.request_id, said.due_on) == (task.task_id, task.request_id, date(2026, 4, 2))
    assert (said.operation, said.max_rows) == (Operation.ERASE, 100_000)
    assert message.key == str(task.request_id).encode()
    assert message.headers["ce_type"] == "dsr.task.requested.v1"
    assert message.headers["ce_id"] == str(said.command_id)


async def test_a_task_continues_the_trace_of_the_call_that_sent_it(stand: BusStand) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("erase billing") as span:
        await stand.adapter.erase([erasure_of(stand, ADA)], Engine(stand).save_progress)
    trace_id = format(span.get_span_context().trace_id, "032x")
    assert stand.published[0].headers["traceparent"].split("-")[1] == trace_id


async def test_an_unanswered_task_is_sent_again_as_the_same_command_with_a_fresh_claim(silent: Silent) -> None:
    asked, pauses = Asked(silent), []
    for _ in range(4):
        result = await asked.again()
        assert isinstance(result, Pending)
        pauses.append(result.retry_in)
        silent.clock.at += result.retry_in
    assert pauses == [timedelta(seconds=seconds) for seconds in (5, 10, 15, 15)]
    said = [TaskRequested.model_validate_json(message.value) for message in silent.published]
    assert len({each.command_id for each in said}) == 1
    assert len({each.claim for each in said}) == 4


async def test_a_team_gives_a_repeated_command_the_same_reply_and_no_second_effect(stand: BusStand) -> None:
    stand.put(ADA, 3)
    await stand.adapter.erase([task := erasure_of(stand, ADA)], Engine(stand).save_progress)
    stand.put(ADA, 1)
    await stand.adapter.erase([task], Engine(stand).save_progress)
    first, second = stand.replies
    assert first == second
    assert stand.holds(ADA) == 1


async def test_a_team_that_finds_something_at_its_second_look_is_not_believed(asked: Asked) -> None:
    await asked.replied(outcome="erased", found=3, changed=3)
    left = await asked.replied(outcome="located", found=1, remaining=1)
    assert isinstance(left, DataStillPresent)
    assert left.done_before == DoneBefore(found=4, changed=3, remaining=1, reported=True)
    await asked.again()
    await asked.replied(outcome="erased", found=1, changed=1)
    erased = Receipt(asked.task.task_id, TaskOutcome.ERASED, found=3, changed=3)
    assert await asked.replied(outcome="no_match") == erased
    assert len({message.headers["ce_id"] for message in asked.team.published}) == 4


@pytest.mark.parametrize("left", [2, 3])
async def test_data_that_a_team_keeps_has_a_ground_and_a_day_and_more_is_residue(asked: Asked, left: int) -> None:
    counts: dict[str, Any] = {**KEPT, "ground": "tax_law"}
    await asked.replied(outcome="retained", until="2033-01-01", **counts)
    result = await asked.replied(outcome="located", found=left, remaining=left)
    kept = Receipt(asked.task.task_id, TaskOutcome.RETAINED, until=date(2033, 1, 1), **counts)
    assert result == kept if left == 2 else isinstance(result, DataStillPresent)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"outcome": "erased", "found": 200_000, "changed": 200_000}, "max_rows = 100,000"),
        (
            {"outcome": "retained", "found": 1, "remaining": 1, "ground": "tax_law", "until": "2020-01-01"},
            "a day that is over",
        ),
    ],
)
async def test_a_reply_that_cannot_be_true_is_for_a_person(asked: Asked, said: dict[str, Any], why: str) -> None:
    result = await asked.replied(**said)
    assert isinstance(result, AnswerMalformed)
    assert why in str(result)


async def test_ground_not_agreed_with_the_team_is_neither_believed_nor_repeated(asked: Asked) -> None:
    await asked.replied(outcome="retained", ground="ada_lovelace", **KEPT)
    result = await asked.replied(outcome="located", found=2, remaining=2)
    assert isinstance(result, AnswerMalformed)
    assert "ada" not in str(result)


async def test_a_team_that_cannot_search_by_what_it_is_given_has_found_nothing_out(asked: Asked) -> None:
    result = await asked.replied(outcome="not_searched", reason="number_without_period")
    assert result == NotSearched(asked.task.task_id, Unsearched.NUMBER_WITHOUT_PERIOD)


async def test_refusing_team_is_asked_again_on_a_retry(asked: Asked) -> None:
    result = await asked.replied(outcome="refused", reason="unpaid_invoice")
    assert isinstance(result, Refused)
    assert str(result) == "billing refuses to erase: unpaid_invoice"
    assert isinstance(await asked.again(), Pending)
    assert asked.team.published[0].headers["ce_id"] != asked.team.published[-1].headers["ce_id"]


async def test_reason_not_agreed_with_the_team_is_not_repeated(asked: Asked) -> None:
    result = await asked.replied(outcome="refused", reason="ada_lovelace")
    assert str(result) == "billing refuses to erase: ask the team why; its reasons do not list this one"


async def test_task_over_the_row_limit_is_not_erased(store: Billing) -> None:
    stand = BusStand(store, SetClock(), BusSettings(max_rows=2))
    stand.put(ADA, 3)
    [result] = await Engine(stand).erase([erasure_of(stand, ADA)])
    assert isinstance(result, LimitExceeded)
    assert result.exceeded == Exceeded(limit=Limit.MAX_ROWS, found=3, allowed=2)
    assert stand.holds(ADA) == 3


async def test_team_gets_the_number_of_rows_that_two_people_confirmed(store: Billing) -> None:
    stand = BusStand(store, SetClock(), BusSettings(max_rows=2))
    stand.put(ADA, 3)
    engine, task = Engine(stand), erasure_of(stand, ADA)
    await engine.erase([task])
    [result] = await engine.erase([replace(task, confirmed={Limit.MAX_ROWS: 3})])
    assert isinstance(result, Receipt)
    assert stand.holds(ADA) == 0


async def test_a_team_that_does_not_say_how_many_leaves_nothing_to_confirm(asked: Asked) -> None:
    result = await asked.replied(outcome="refused", reason="limit_exceeded")
    assert isinstance(result, LimitExceeded)
    assert result.exceeded is None


async def test_a_reply_to_another_command_is_no_answer(asked: Asked) -> None:
    assert isinstance(await asked.replied(outcome="no_match", command_id=str(uuid4())), Pending)


async def test_a_bus_that_is_away_delays_what_would_be_sent_and_nothing_else(stand: BusStand) -> None:
    engine, done, new = Engine(stand), erasure_of(stand, ADA), erasure_of(stand, "ben@example.com")
    await engine.erase([done])

    async def away(messages: Sequence[Message]) -> None:
        raise BusAway(f"{len(messages)} not taken")

    stand.publish = away  # type: ignore[method-assign]
    stand.__post_init__()
    first, second = await engine.once([done, new])
    assert first == Receipt(done.task_id, TaskOutcome.NO_MATCH)
    assert isinstance(second, Unavailable)


# What a team may say on the bus: a reply that is none says what is wrong with it, and nothing of what it holds.
GOOD: dict[str, JsonValue] = {
    "type": "dsr.task.replied.v1",
    "command_id": "7f6f5a0e-1f3c-5d5b-9a53-0c4b5a1f7e11",
    "task_id": "0190b7a0-0000-7000-8000-000000000001",
    "operation": "erase",
    "outcome": "erased",
    "found": 2,
    "changed": 2,
}

PLAN: dict[str, JsonValue] = {"operation": "plan", "outcome": "planned", "changed": 0}


def test_a_good_reply_becomes_progress_of_its_task() -> None:
    task_id, progress = progress_from_reply(parse_reply(orjson.dumps(GOOD)))
    assert task_id == UUID("0190b7a0-0000-7000-8000-000000000001")
    [(key, stored)] = progress.items()
    assert key == "reply.erase"
    assert TaskReply.model_validate(stored, strict=False).found == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task_id": "no id"}, "task_id: "),
        ({"found": -1}, "found: "),
        ({"found": "2"}, "found: "),
        ({"found": 0, "changed": 0}, "erased needs found above 0 and remaining 0"),
        ({"remaining": 1}, "erased needs found above 0 and remaining 0"),
        ({"outcome": "no_match"}, "no_match says that nothing was found"),
        ({"outcome": "retained"}, "retained needs a ground"),
        ({"found": 3, "changed": 1}, "must add up"),
        ({"found": 3, "changed": 9}, "must add up"),
        ({"outcome": "refused"}, "refused needs a reason"),
        ({"outcome": "not_searched", "found": 0, "changed": 0, "reason": "no_time"}, "not_searched needs counts"),
        ({"outcome": "located"}, "located does not answer erase"),
        ({"operation": "export", "outcome": "exported"}, "exported needs found above 0, changed 0"),
        ({"operation": "export", "outcome": "exported", "found": 0, "changed": 0}, "exported needs found above 0"),
        ({"operation": "restrict", "outcome": "amended", "changed": 3}, "amended needs found above 0"),
        ({"operation": "restrict", "outcome": "amended", "remaining": 1}, "amended needs found above 0"),
        (
            {"operation": "restrict", "outcome": "not_held", "found": 0, "changed": 0},
            "not_held does not answer restrict",
        ),
        ({"operation": "suppress", "outcome": "not_held"}, "not_held says that nothing was found"),
        ({"operation": "locate", "outcome": "located", "changed": 0, "remaining": 3}, "no more than that remaining"),
        (PLAN | {"changed": 1}, "planned needs found above 0"),
        (PLAN | {"remaining": 1}, "planned needs a ground where something would remain"),
        (PLAN | {"ground": "tax_law"}, "planned needs a ground where something would remain"),
        (PLAN | {"by_category": {"account": 1}}, "by_category is for planned, and adds up"),
        (PLAN | {"by_category": {ADA: 2}}, "by_category: "),
        ({"by_category": {"account": 2}}, "by_category is for planned, and adds up"),
        ({"outcome": "done"}, "outcome: "),
        ({"operation": "export"}, "erased does not answer export"),
        ({"operation": "escalate"}, "operation: "),
        ({"outcome": "refused", "reason": f"{ADA} has not paid"}, "reason: "),
        ({ADA: "x"}, "a field that a reply does not have"),
        ({"type": "dsr.task.replied.v2"}, "type: "),
    ],
)
def test_a_malformed_reply_says_what_is_wrong_and_not_what_it_holds(change: dict[str, JsonValue], says: str) -> None:
    with pytest.raises(MalformedReply) as caught:
        parse_reply(orjson.dumps({**GOOD, **change}))
    assert says in str(caught.value)
    assert ADA not in str(caught.value)


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"\xff"])
def test_a_record_that_is_no_reply_at_all_is_malformed(value: bytes | None) -> None:
    with pytest.raises(MalformedReply):
        parse_reply(value)


# A system that answers with nonsense about one person is refused for that person alone, and never counted wrong.
PEOPLE = 4
VICTIM = 1
"""The person whose rows are malformed: the party of that ID less one."""
Alter = Callable[[str, Any], Any]
"""Given what was called and what it would be answered, what is answered instead."""


class Altering(httpx.ASGITransport):
    """The system, with its answers altered on their way."""

    def __init__(self, app: Any, alter: Alter) -> None:
        super().__init__(app)
        self._alter = alter

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        called = json.loads(request.content or b"{}").get("method") or request.url.path.rpartition("/")[2]
        answer = await super().handle_async_request(request)
        said = json.loads(await answer.aread())
        return httpx.Response(answer.status_code, json=self._alter(called, said))


def crm(alter: Alter) -> Adapter:
    settings = TrytonSettings(url="http://crm", password_env="CRM")
    transport = Altering(slow_crm.application(PEOPLE), alter)
    return TrytonAdapter("crm", settings, environment={"CRM": "secret"}, transport=transport)


def ticketing(alter: Alter) -> Adapter:
    settings = RoundupSettings.model_validate({"url": "http://ticketing/", "password_env": "TICKETS"})
    transport = Altering(slow_ticketing.application(PEOPLE), alter)
    return RoundupAdapter("ticketing", settings, environment={"TICKETS": "secret"}, transport=transport)


async def worked(adapter: Adapter, operation: Operation) -> Sequence[Result]:
    """Works all tasks as the engine does; returns the results in order."""

    async def keep_nothing(_progress: object) -> None:
        """Keeps no progress."""

    asked: list[Task] = [task(operation, email(Subject(number).email)) for number in range(PEOPLE)]
    operate = getattr(adapter, operation.value)
    calls = AdapterCalls(f"system:{operation}", operate, keep_nothing, CALL_SECONDS.labels("test", "system", operation))
    results = await calls.make(asked, ())
    await adapter.close()
    return [results[each.task_id] for each in asked]


def rows_of(model: str, change: Callable[[dict[str, Any]], list[Any]]) -> Alter:
    """Has the rows of the victim in a model of the CRM come otherwise."""

    def alter(called: str, said: Any) -> Any:
        if called == f"model.{model}.search_read":
            rows = [(row, row["id" if model == "party.party" else "party"] - 1 == VICTIM) for row in said["result"]]
            said["result"] = [each for row, mine in rows for each in (change(row) if mine else [row])]
        return said

    return alter


CONTACT = "party.contact_mechanism"
ASSIGNMENT = "number.assignment"
CRM: list[tuple[str, Alter, type[Exception]]] = [
    ("a contact twice", rows_of(CONTACT, lambda row: [row, row]), AnswerMalformed),
    ("an id that is text", rows_of(CONTACT, lambda row: [{**row, "id": str(row["id"])}]), AnswerMalformed),
    ("an id that is true", rows_of(CONTACT, lambda row: [{**row, "id": True}]), AnswerMalformed),
    ("no id", rows_of(CONTACT, lambda row: [{k: v for k, v in row.items() if k != "id"}]), AnswerMalformed),
    ("an id below 1", rows_of(CONTACT, lambda row: [{**row, "id": -row["id"]}]), AnswerMalformed),
    ("an id beyond 64 bits", rows_of(CONTACT, lambda row: [{**row, "id": 2**70}]), AnswerMalformed),
    ("a flag that is text", rows_of("party.party", lambda row: [{**row, "restricted": "no"}]), AnswerMalformed),
    ("a field that is left out", rows_of(CONTACT, lambda row: [{"id": row["id"]}]), AnswerMalformed),
    ("a value that is a list", rows_of(CONTACT, lambda row: [{**row, "value": [row["value"]]}]), AnswerMalformed),
    ("a row that is none", rows_of(CONTACT, lambda _: ["row"]), AnswerMalformed),
    (
        "a month that is none",
        rows_of(ASSIGNMENT, lambda row: [{**row, "valid_to": {"year": 1, "month": 13}}]),
        AnswerMalformed,
    ),
    (
        "a year that is none",
        rows_of(ASSIGNMENT, lambda row: [{**row, "valid_from": {"year": 99_999}}]),
        AnswerMalformed,
    ),
    ("a number since no time", rows_of(ASSIGNMENT, lambda row: [{**row, "valid_from": None}]), AnswerMalformed),
    ("a line that is none", rows_of(ASSIGNMENT, lambda row: [{**row, "line": "party"}]), AnswerMalformed),
    (
        "a number outside the query",
        rows_of(ASSIGNMENT, lambda row: [{**row, "number": "+442079460999", "party": 999}]),
        WrongPersonMatch,
    ),
    ("a number of 5,000 characters", rows_of(CONTACT, lambda row: [row, other(row, "5" * 5_000)]), AnswerMalformed),
    ("a NUL in an address", rows_of(CONTACT, lambda row: [row, other(row, "a\0@example.com")]), AnswerMalformed),
    (
        "rows of another person",
        rows_of(CONTACT, lambda row: [row, {**other(row, "b@example.org"), "value": "", "party": 999}]),
        WrongPersonMatch,
    ),
]


def other(row: dict[str, Any], value: str) -> dict[str, Any]:
    """Another contact of the same party."""
    return {**row, "id": row["id"] + 1_000, "value_compact": value}


@pytest.mark.parametrize(("what", "alter", "failure"), CRM, ids=[row[0] for row in CRM])
async def test_crm_nonsense_about_one_customer_fails_it(what: str, alter: Alter, failure: type[Exception]) -> None:
    results = await worked(crm(alter), Operation.LOCATE)
    assert type(results[VICTIM]) is failure, what
    others = [result for number, result in enumerate(results) if number != VICTIM]
    for result in others:
        assert isinstance(result, Receipt), what
        held = {"account": 1, "contact": 2, "assignment": 1, "address": 1}
        assert (result.outcome, result.by_category) == (TaskOutcome.LOCATED, held), what


@pytest.mark.parametrize(
    "said", [[], "no", 7, {"result": {}}, {"result": [[]]}, {"error": {}}, {"error": ["UserError", {}]}]
)
async def test_malformed_crm_answer_fails_each_task_and_calls_no_customer_unknown(said: object) -> None:
    results = await worked(crm(lambda called, true: said if "search_read" in called else true), Operation.LOCATE)
    assert {type(result).__name__ for result in results} <= {"AnswerMalformed", "Unavailable"}


async def test_a_sign_in_without_a_session_is_a_failure_of_each_task() -> None:
    results = await worked(crm(lambda called, true: {"result": 1} if "login" in called else true), Operation.LOCATE)
    assert {type(result) for result in results} == {AnswerMalformed}


async def test_a_period_of_another_age_reaches_no_other_system() -> None:
    beyond = {"valid_from": {"year": 1, "month": 1, "day": 1}, "valid_to": {"year": 9999, "month": 12, "day": 31}}
    results = await worked(crm(rows_of(ASSIGNMENT, lambda row: [{**row, **beyond}])), Operation.LOCATE)
    located = results[VICTIM]
    assert isinstance(located, Receipt)
    periods = {(known.valid_from.year, known.valid_to) for known in located.identities if known.valid_from is not None}
    assert periods == {(1900, None)}


def data_of(route: str, change: Callable[[Any], Any]) -> Alter:
    """Has what a route of the tracker says come otherwise."""

    def alter(called: str, said: Any) -> Any:
        return {"data": change(said["data"])} if called == route else said

    return alter


TICKETS: list[tuple[str, Alter]] = [
    ("no data", lambda called, said: {} if called == "people" else said),
    ("a list", lambda called, said: [] if called == "people" else said),
    ("people without ids", data_of("people", lambda _: {"collection": [{"address": Subject(0).email}]})),
    ("a person twice", data_of("people", lambda data: {"collection": data["collection"] * 2})),
    (
        "an id with a NUL",
        data_of("people", lambda data: {"collection": [{**p, "id": "1\0"} for p in data["collection"]]}),
    ),
    (
        "a name that is a list",
        data_of("people", lambda data: {"collection": [{**p, "realname": []} for p in data["collection"]]}),
    ),
    ("records of no class", data_of("records", lambda data: {"passwd": data["issue"]})),
    ("records that are no pairs", data_of("records", lambda data: {"issue": [[one] for one, _ in data["issue"]]})),
    (
        "records with ids that are none",
        data_of("records", lambda data: {"issue": [["../1", who] for _, who in data["issue"]]}),
    ),
    (
        "a count of 2^70",
        data_of("history", lambda data: {name: dict.fromkeys(ids, 2**70) for name, ids in data.items()}),
    ),
    ("a count below 0", data_of("history", lambda data: {name: dict.fromkeys(ids, -1) for name, ids in data.items()})),
    (
        "a count that is text",
        data_of("history", lambda data: {name: dict.fromkeys(ids, "1") for name, ids in data.items()}),
    ),
    ("left beyond the end", data_of("overwrite", lambda _: {"left": [[10**6, "refused"]]})),
    ("left before the beginning", data_of("overwrite", lambda _: {"left": [[-1, "refused"]]})),
    ("left for a reason of its own", data_of("overwrite", lambda _: {"left": [[0, "ada@example.com"]]})),
    ("values that are none", data_of("values", lambda data: {name: [] for name in data})),
]


@pytest.mark.parametrize(("what", "alter"), TICKETS, ids=[row[0] for row in TICKETS])
async def test_nonsense_from_a_tracker_erases_nothing(what: str, alter: Alter) -> None:
    results = await worked(ticketing(alter), Operation.ERASE)
    assert {type(result) for result in results} == {AnswerMalformed}, what


async def test_unaltered_both_are_believed() -> None:
    located = await worked(crm(lambda _, said: said), Operation.LOCATE)
    erased = await worked(ticketing(lambda _, said: said), Operation.ERASE)
    assert {result.outcome for result in located if isinstance(result, Receipt)} == {TaskOutcome.LOCATED}
    assert [result.changed for result in erased if isinstance(result, Receipt)] == [2 + 2 * TICKETS_EACH] * PEOPLE
