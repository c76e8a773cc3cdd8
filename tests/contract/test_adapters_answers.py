"""A system that answers with nonsense about one person is refused for that person alone, and never counted wrong."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from shared.domain.errors import AnswerMalformed, ForeignHit
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.protocols import Adapter
from shared.downstreams.roundup.adapter import RoundupAdapter
from shared.downstreams.roundup.settings import RoundupSettings
from shared.downstreams.tryton.adapter import TrytonAdapter
from shared.downstreams.tryton.settings import TrytonSettings
from shared.fulfilment.calls import Calls
from shared.runtime.metrics import CALL_SECONDS
from tests.fakes import slow_crm, slow_ticketing
from tests.fixtures.downstream import email, task
from tests.fixtures.stores import TICKETS_EACH, Subject

PEOPLE = 4
VICTIM = 1
"""Whose rows come otherwise than agreed: the party of that id less one."""
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
    """What the engine makes of it for everybody, in their order."""

    async def keep_nothing(_progress: object) -> None:
        """A checkpoint that is always kept, by nobody."""

    asked: list[Task] = [task(operation, email(Subject(number).email)) for number in range(PEOPLE)]
    operate = getattr(adapter, operation.value)
    calls = Calls(f"system:{operation}", operate, keep_nothing, CALL_SECONDS.labels("test", "system", operation))
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
        "a number that nobody asked for",
        rows_of(ASSIGNMENT, lambda row: [{**row, "number": "+442079460999", "party": 999}]),
        ForeignHit,
    ),
    ("a number of 5,000 characters", rows_of(CONTACT, lambda row: [row, other(row, "5" * 5_000)]), AnswerMalformed),
    ("a NUL in an address", rows_of(CONTACT, lambda row: [row, other(row, "a\0@example.com")]), AnswerMalformed),
    (
        "rows of somebody else",
        rows_of(CONTACT, lambda row: [row, {**other(row, "b@example.org"), "value": "", "party": 999}]),
        ForeignHit,
    ),
]


def other(row: dict[str, Any], value: str) -> dict[str, Any]:
    """Another contact of the same party."""
    return {**row, "id": row["id"] + 1_000, "value_compact": value}


@pytest.mark.parametrize(("what", "alter", "failure"), CRM, ids=[row[0] for row in CRM])
async def test_a_crm_that_answers_nonsense_of_one_customer_is_refused_for_that_one(
    what: str, alter: Alter, failure: type[Exception]
) -> None:
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
async def test_an_answer_of_the_crm_that_is_none_is_a_failure_of_each_task_and_nobody_is_said_to_be_unknown(
    said: object,
) -> None:
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
async def test_a_tracker_that_answers_nonsense_has_erased_nobody(what: str, alter: Alter) -> None:
    results = await worked(ticketing(alter), Operation.ERASE)
    assert {type(result) for result in results} == {AnswerMalformed}, what


async def test_unaltered_both_are_believed() -> None:
    located = await worked(crm(lambda _, said: said), Operation.LOCATE)
    erased = await worked(ticketing(lambda _, said: said), Operation.ERASE)
    assert {result.outcome for result in located if isinstance(result, Receipt)} == {TaskOutcome.LOCATED}
    assert [result.changed for result in erased if isinstance(result, Receipt)] == [2 + 2 * TICKETS_EACH] * PEOPLE
