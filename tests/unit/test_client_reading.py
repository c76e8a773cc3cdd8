"""Shows requests and tasks in the command, and parses input by the registry of actions."""

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from uuid_utils.compat import uuid7

from services.cli import api, requests
from services.cli.acting import Action, actions, place, typed
from services.cli.api import Api, ApiAway, ApiRefused
from services.cli.output import plain
from services.intake.api.actions import registered
from shared.domain.operations import Operation, TaskReport
from tests.fixtures.command import run

VIEW: dict[str, Any] = {
    "request_id": "r",
    "right": "erasure",
    "state": "awaiting_decision",
    "outcome": None,
    "due_on": "2026-04-01",
    "warning": "due_soon",
    "answer": "A person must decide.",
    "blocked_by": [{"kind": "approval", "message": "An officer must decide."}],
}


def report(**said: Any) -> dict[str, Any]:
    return TaskReport(task_id=uuid7(), operation=Operation.ERASE, **said).model_dump(mode="json")


def test_a_request_is_shown_with_what_it_waits_for_and_a_row_for_each_task() -> None:
    done = report(system="crm", outcome="erased", found=1_200, changed=1_200)
    failed = report(system="billing", failure="not_supported", sentence="do it by hand")
    assert requests.shown({**VIEW, "tasks": [done, failed]}).splitlines() == [
        "erasure r: awaiting decision, due 2026-04-01 (due soon)",
        "blocked by approval: An officer must decide.",
        "A person must decide.",
        "  crm      erase  erased         1,200 found, 1,200 changed",
        "  billing  erase  not_supported                              do it by hand",
    ]


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86_400)])
def test_a_time_is_read_with_its_unit(text: str, seconds: int) -> None:
    assert requests.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("words", [("5",), ("reason",), ("a=1", "a=2")])
def test_a_field_that_is_none_or_comes_twice_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(typer.BadParameter):
        typed(words)
    with pytest.raises(typer.BadParameter):
        requests.duration("5 minutes")
    assert typed(("a=b=c",)) == {"a": "b=c"}


# What can be decided is read from the registry of actions, and what was typed becomes the body of one.
@cache
def known(kind: str = "requests", *, new: bool = False) -> dict[str, Action]:
    return actions([each.model_dump() for each, _ in registered()], kind, new=new)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("019c0000-0000-7000-8000-000000000001", "/v1/requests/019c0000-0000-7000-8000-000000000001"),
        ("holds", "/v1/holds"),
        ("suspended-keys/person:ugo", "/v1/suspended-keys/person:ugo"),
        ("requests/7/letters", "/v1/requests/7/letters"),
    ],
)
def test_a_thing_is_named_by_its_kind_and_id(text: str, path: str) -> None:
    assert place(text) == path
    for wrong in ("7", "holds/../keys", "HOLDS/1", f"{text}?x=1"):
        with pytest.raises(typer.BadParameter):
            place(wrong)


def test_every_action_can_be_typed() -> None:
    assert {"retry", "override-wait", "refuse", "answer-in-part", "end-part"} <= {*known()}
    assert "create" not in known()
    assert all(each.says for each in known().values())
    assert {"create"} == {*known("holds", new=True)} == {*known("incidents", new=True)}
    assert {"mark-posted", "deliver", "give-up"} == {*known("letters")}
    assert {"approve", "reject"} == {*known("approvals")}
    assert {"system", "found", "changed", "note"} == {*known()["record-result"].fields}


@pytest.mark.parametrize(
    ("name", "typed", "sent"),
    [
        ("withdraw", {}, None),
        ("retry", {}, None),
        (
            "refuse",
            {"reason": "EXCESSIVE", "article": "12(5)(b)", "explanation": "123"},
            {"reason": "EXCESSIVE", "article": "12(5)(b)", "explanation": "123"},
        ),
        (
            "record-result",
            {"system": "crm", "found": "3", "changed": "0", "note": "null"},
            {"system": "crm", "found": 3, "changed": 0, "note": "null"},
        ),
        ("forward", {"controller": "Acme", "may_be_named": "true"}, {"controller": "Acme", "may_be_named": True}),
        (
            "record-address",
            {"lines": "Ada, 1 High St", "on_file_in": "crm"},
            {"lines": ["Ada", "1 High St"], "on_file_in": "crm"},
        ),
        ("record-address", {"lines": '["a, b"]', "on_file_in": "crm"}, {"lines": ["a, b"], "on_file_in": "crm"}),
    ],
)
def test_typed_values_are_sent_as_declared(name: str, typed: dict[str, str], sent: dict[str, Any] | None) -> None:
    assert known()[name].body(typed) == sent


# What a command says of an answer that is none of this API.
@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"errors": 7}', '{"type": "x", "title": "y", "errors": [1], "detail": ""}']
)
async def test_foreign_problem_is_attributed_to_another_service(content: str) -> None:
    def answered(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, content=content, headers={"Content-Type": "application/problem+json"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answered), base_url="https://dsr.example") as client:
        with pytest.raises(ApiRefused, match="does not answer as this API does"):
            await Api(client, 0).get("/v1/requests")


@pytest.mark.parametrize("content", ["", "{", "null", "[]", "{}"])
@pytest.mark.parametrize("words", ["request list", "list holds", "request show 019c0000-0000-7000-8000-000000000001"])
def test_foreign_answer_names_the_setting_to_correct(content: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=content, headers={"Content-Type": "application/json"})

    monkeypatch.setenv("DSR_API_URL", "https://dsr.example")
    monkeypatch.setenv("DSR_API_KEY", "dsr_k")
    monkeypatch.setattr(httpx, "AsyncClient", partial(httpx.AsyncClient, transport=httpx.MockTransport(answered)))
    ended = run((*words.split(), "--text"))
    said = r"dsr: DSR_API_URL does not answer as this API does: set it to intake's"
    assert (ended.status, bool(re.match(said, ended.err))) == (1, True), ended.err


def test_file_without_requests_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR_API_URL", "https://dsr.example")
    monkeypatch.setenv("DSR_API_KEY", "dsr_k")
    (tmp_path / "file").write_text("null")
    ended = run(("request", "submit", str(tmp_path / "file")))
    assert (ended.status, "a request is a JSON object" in ended.err) == (2, True)


def test_progress_has_each_planned_task_and_its_last_report() -> None:
    crm = {"task_id": "1", "system": "crm", "operation": "erase"}
    done = {**crm, "outcome": "erased", "found": 4, "changed": 4, "remaining": 0}
    details = (
        {"policy": "7"},
        {"operation": "erase", "stages": [["crm:erase"], ["cdr:erase"]]},
        {**crm, "reason": "busy"},
    )
    timeline = [{"detail": each} for each in details]
    running = {**VIEW, "state": "in_progress", "warning": None, "answer": "", "blocked_by": [], "tasks": []}
    assert requests.shown(running, timeline).splitlines()[1:] == [
        "  crm  erase  waiting    busy",
        "  cdr  erase  waiting",
    ]
    assert requests.shown(running, [*timeline, {"detail": done}]).splitlines()[1:] == [
        "  crm  erase  erased   4 found, 4 changed",
        "  cdr  erase  waiting",
    ]


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    assert plain("a\x1b[31mb\r\x9b2J\u202ec\td\n") == "a\ufffd[31mb\ufffd\ufffd2J\ufffdc\td\n"


# While the API is away, a command repeats what is done once however often it is sent, and nothing else.

PROBLEM = {"type": "urn:dsr:problem:unavailable", "title": "Away.", "status": 503, "detail": "try again", "errors": []}
NOTHING_DONE = httpx.Response(503, json=PROBLEM, headers={"Content-Type": "application/problem+json"})
PROXY = httpx.Response(502, html="<h1>Bad Gateway</h1>")
DONE_API = httpx.Response(200, json={"state": "sent"})
BROKEN_OFF, NOT_REACHED = httpx.ReadError("broken off"), httpx.ConnectError("refused")
Answer = httpx.Response | Exception


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_FIRST_PAUSE", 0.0)


def answering(*answers: Answer, asked: list[httpx.Request]) -> Api:
    """An API that answers so, one call after the other."""
    left: Iterator[Answer] = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        said = next(left)
        if isinstance(said, Exception):
            raise said
        return said

    return Api(httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://intake"), patience=60)


@pytest.mark.parametrize("away", [NOTHING_DONE, PROXY, BROKEN_OFF, NOT_REACHED], ids=["503", "502", "broken", "closed"])
async def test_what_is_read_or_may_be_sent_twice_is_sent_again(away: Answer) -> None:
    asked: list[httpx.Request] = []
    assert (await answering(away, away, DONE_API, asked=asked).get("/v1/letters")).json() == {"state": "sent"}
    again = answering(away, DONE_API, asked=asked)
    await again.post("/v1/requests", {}, {"Idempotency-Key": "1"}, repeatable=True)
    assert [each.method for each in asked] == ["GET", "GET", "GET", "POST", "POST"]
    assert asked[-1].headers["Idempotency-Key"] == "1"


@pytest.mark.parametrize("away", [NOTHING_DONE, NOT_REACHED], ids=["503", "closed"])
async def test_what_was_surely_not_done_is_sent_again(away: Answer) -> None:
    asked: list[httpx.Request] = []
    await answering(away, DONE_API, asked=asked).post("/v1/letters/1/posted")
    assert len(asked) == 2


@pytest.mark.parametrize("away", [PROXY, BROKEN_OFF], ids=["502", "broken"])
async def test_what_may_have_been_done_is_not_sent_again_unless_that_does_it_once(away: Answer) -> None:
    asked: list[httpx.Request] = []
    with pytest.raises(ApiAway, match="whether it was done is not known: look before you repeat it"):
        await answering(away, asked=asked).post("/v1/letters/1/posted")
    assert len(asked) == 1
