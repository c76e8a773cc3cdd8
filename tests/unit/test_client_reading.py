"""What people read of a request, of its tasks and of a plan, from what the API says of them."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from uuid_utils.compat import uuid7

from services.intake.api import app
from services.intake.client import api, incident, reading
from services.intake.client.api import Api, ApiAway, ApiRefused
from services.intake.client.deciding import typed
from services.intake.client.decisions import Decision, DecisionUnclear, Typed, body, decisions, named
from services.intake.client.output import plain
from services.intake.client.progress import Progress, line
from services.intake.client.requests import list_requests
from services.intake.incidents.incident import IncidentRow
from services.intake.request.planned import PlannedSystem
from shared.domain.operations import Operation, TaskReport
from tests.fixtures.command import run

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
VIEW: dict[str, Any] = {
    "request_id": "r",
    "right": "erasure",
    "state": "awaiting_decision",
    "outcome": None,
    "due_on": "2026-04-01",
    "warning": "due_soon",
    "answer": "A person must decide.",
    "waits_for": "somebody has to decide",
}


def report(**said: Any) -> dict[str, Any]:
    return TaskReport(task_id=uuid7(), operation=Operation.ERASE, **said).model_dump(mode="json")


def test_a_request_is_shown_with_what_it_waits_for_and_a_row_for_each_task() -> None:
    done = report(system="crm", outcome="erased", found=1_200, changed=1_200)
    failed = report(system="billing", failure="not_supported", sentence="do it by hand")
    assert reading.shown({**VIEW, "tasks": [done, failed]}).splitlines() == [
        "erasure r: awaiting decision, due 2026-04-01 (due soon)",
        "waits for somebody has to decide",
        "A person must decide.",
        "  crm      erase  erased         1,200 found, 1,200 changed",
        "  billing  erase  not_supported                              do it by hand",
    ]
    assert reading.undone({"tasks": [done, failed]}) == [failed]


def test_a_plan_is_shown_by_system_with_why_something_would_stay() -> None:
    said: dict[str, Any] = {"outcome": None, "found": 9, "categories": [], "limit": None, "not_searched": None}
    goes = PlannedSystem(system="crm", deleted=4, anonymised=0, kept=5, waiting=0, refused=None, sentence=None, **said)
    none: dict[str, Any] = {"deleted": 0, "anonymised": 0, "kept": 0, "waiting": 9}
    stays = PlannedSystem(system="cdr", **none, refused="blast_radius", sentence=None, **said)
    assert reading.planned({"systems": [each.model_dump() for each in (goes, stays)]}).splitlines() == [
        "  crm  4 deleted  0 anonymised  5 kept  0 waiting",
        "  cdr  0 deleted  0 anonymised  0 kept  9 waiting  blast_radius",
    ]
    assert reading.planned({"systems": []}) == "  no system holds anything of it"


@pytest.mark.parametrize(
    ("hours", "closed", "said"),
    [(5, None, "in 5 h; call record; owner: nobody"), (-3, None, "3 h late"), (1, NOW, "closed 2026-03-02")],
)
def test_an_incident_is_shown_with_what_is_left_of_its_clock(hours: int, closed: datetime | None, said: str) -> None:
    unknown = dict.fromkeys(("request_id", "fault", "owner", "people", "told_at", "proposed_by"))
    found = IncidentRow(
        incident_id=uuid7(),
        downloads=0,
        opened_at=NOW,
        found_at=NOW - timedelta(hours=72 - hours),
        categories=["call_record"],
        closed_at=closed,
        **unknown,
    )
    assert said in incident.heading(found.model_dump(mode="json"), NOW)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86_400)])
def test_a_time_is_read_with_its_unit(text: str, seconds: int) -> None:
    assert reading.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("words", [("5",), ("reason",), ("a=1", "a=2")])
def test_a_field_that_is_none_or_comes_twice_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(typer.BadParameter):
        typed(words)
    with pytest.raises(typer.BadParameter):
        reading.duration("5 minutes")
    assert typed(("a=b=c",)) == Typed({"a": "b=c"})


# What can be decided is read from the API's document, and what somebody typed becomes the body of a decision.
DOCUMENT = app.describe().openapi()
KNOWN = decisions(DOCUMENT)


def test_every_decision_of_the_api_can_be_typed() -> None:
    of_requests = re.compile(r"/v1/requests/\{request_id\}/(.+)")
    routes = {
        found[1] for path, each in DOCUMENT["paths"].items() if "post" in each and (found := of_requests.match(path))
    }
    assert {each.path for each in KNOWN.values()} == routes
    assert {"retry", "begin", "refuse", "answer_in_part", "end_part"} <= {*KNOWN}, "told apart by a word of the body"
    assert "decision" not in KNOWN
    assert all(each.says for each in KNOWN.values())


def test_two_bodies_of_the_api_never_share_a_name_in_its_document() -> None:
    assert {"system", "found", "changed", "note"} == {*KNOWN["task-result"].fields}
    assert {"command_id", "records"} == {*DOCUMENT["components"]["schemas"]["TaskResult"]["properties"]}


@pytest.mark.parametrize(
    ("name", "typed", "sent"),
    [
        ("withdraw", {}, None),
        ("retry", {}, {"decision": "retry"}),
        (
            "refuse",
            {"reason": "EXCESSIVE", "article": "12(5)(b)", "explanation": "123"},
            {"decision": "refuse", "reason": "EXCESSIVE", "article": "12(5)(b)", "explanation": "123"},
        ),
        (
            "task-result",
            {"system": "crm", "found": "3", "changed": "0", "note": "null"},
            {"system": "crm", "found": 3, "changed": 0, "note": "null"},
        ),
        ("forward", {"controller": "Acme", "may_be_named": "true"}, {"controller": "Acme", "may_be_named": True}),
        (
            "postal-address",
            {"lines": "Ada, 1 High St", "on_file_in": "crm"},
            {"lines": ["Ada", "1 High St"], "on_file_in": "crm"},
        ),
        ("postal-address", {"lines": '["a, b"]', "on_file_in": "crm"}, {"lines": ["a, b"], "on_file_in": "crm"}),
        ("recipients/waiver/approval", {"recipient": "mailer"}, {"recipient": "mailer"}),
    ],
)
def test_typed_values_are_sent_as_declared(name: str, typed: dict[str, str], sent: dict[str, Any] | None) -> None:
    assert body(named(KNOWN, name), Typed(typed)) == sent


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("refuse", {"reason": "X"}, "refuse needs article (of the GDPR, by which the reason holds), explanation"),
        ("withdraw", {"why": "so"}, "withdraw has no field why: it takes none"),
        ("retry", {"decision": "begin"}, "retry has no field decision: it takes none"),
        ("task-result", {"system": "a", "found": "x", "changed": "0"}, "found is no text: write it as JSON (integer)"),
    ],
)
def test_what_is_typed_wrong_is_said_with_what_to_type(name: str, typed: dict[str, str], said: str) -> None:
    with pytest.raises(DecisionUnclear, match=re.escape(said)):
        body(KNOWN[name], Typed(typed))


def test_a_decision_that_is_none_is_answered_with_the_nearest_or_with_all() -> None:
    with pytest.raises(DecisionUnclear, match=r"there is no decision withdrawn: did you mean withdraw\?"):
        named(KNOWN, "withdrawn")
    with pytest.raises(DecisionUnclear, match="there are one"):
        named({"one": Decision("one", "one", "")}, "zzz")


# What a command says of an answer that is none of this API.
@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"errors": 7}', '{"type": "x", "title": "y", "errors": [1], "detail": ""}']
)
async def test_a_problem_that_is_none_of_ours_is_said_to_be_another_service(content: str) -> None:
    def answered(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, content=content, headers={"Content-Type": "application/problem+json"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answered), base_url="https://dsr.example") as client:
        with pytest.raises(ApiRefused, match="does not answer as this API does"):
            await Api(client, 0).get("/v1/requests")


STRANGE = ("", "{", "null", "[]", '"x"', "{}", '{"requests": [{}], "cursor": null}', '{"requests": [{"right": 1}]}')


@pytest.mark.parametrize("content", STRANGE)
def test_incomplete_answer_names_the_setting_to_correct(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=content, headers={"Content-Type": "application/json"})

    monkeypatch.setenv("DSR_API_URL", "https://dsr.example")
    monkeypatch.setenv("DSR_API_KEY", "dsr_k")
    of = partial(httpx.AsyncClient, transport=httpx.MockTransport(answered))
    monkeypatch.setattr(httpx, "AsyncClient", of)
    with pytest.raises(ApiRefused, match=r"answers as this API does not .* set DSR_API_URL"):
        list_requests()


# Each command, over answers of which one thing at a time is of another shape: a clear sentence, and no traceback.
ID = "019c0000-0000-7000-8000-000000000001"
ROW = {"request_id": ID, "right": "erasure", "state": "closed", "outcome": None, "due_on": "2026-04-01"}
TASK = {"system": "crm", "operation": "erase", "outcome": None, "failure": "refused", "found": 3, "changed": 0}
TOLD_OF_IT = {"system": "crm", "operation": "erase", "outcome": "erased", "found": 1}
ENTRY = {"at": "2026-03-02T09:00:00Z", "service": "erasure", "actor": "erasure"}
INCIDENT = {
    "incident_id": ID,
    "notify_by": "2026-03-05T09:00:00Z",
    "closed_at": None,
    "told_at": None,
    "fault": None,
    "owner": "officer-1",
    "categories": ["account"],
}
ANSWERS: dict[str, Any] = {
    "/v1/requests": {"requests": [ROW], "cursor": None},
    f"/v1/requests/{ID}": {**ROW, "answer": "We have it.", "tasks": [TASK], "warning": None, "waits_for": None},
    f"/v1/requests/{ID}/timeline": {
        "entries": [
            {**ENTRY, "action": "fulfilment.opened", "detail": {"operation": "erase", "stages": [["crm:erase"]]}},
            {**ENTRY, "action": "task.concluded", "detail": TOLD_OF_IT},
        ]
    },
    f"/v1/requests/{ID}/plan": {
        "state": "made",
        "systems": [
            {"system": "crm", "deleted": 1, "anonymised": 0, "kept": 0, "waiting": 0}
            | dict.fromkeys(("sentence", "refused", "not_searched"))
        ],
    },
    f"/v1/requests/{ID}/decision": {"state": "in_progress"},
    "/v1/letters": {
        "letters": [
            {"letter_id": ID, "request_id": ID, "written_at": "2026-03-02T09:00:00Z", "kind": "refusal", "way": "post"}
            | {"state": "person", "fault": "returned"}
        ]
    },
    f"/v1/letters/{ID}/posted": {"state": "sent"},
    "/v1/incidents": {"incidents": [INCIDENT], "cursor": None},
    f"/v1/incidents/{ID}": {
        **INCIDENT,
        "entries": [{"entry_id": ID, "said": {"measures": "told"}}],
        "letters": [{"letter_id": ID, "request_id": ID, "state": None}],
    },
    f"/v1/incidents/{ID}/facts": {"owner": "officer-1"},
    "/v1/suppression/check": {"answers": ["suppressed"]},
}
SCHEMAS = "#/components/schemas/"
ANSWERS["/openapi.json"] = {
    "paths": {
        "/v1/requests/{request_id}/decision": {
            "post": {
                "description": "Decide.",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": f"{SCHEMAS}Decision"}}}},
            }
        },
        "/v1/incidents/{incident_id}/facts": {"post": {"description": "State the facts."}},
    },
    "components": {
        "schemas": {
            "Decision": {"discriminator": {"propertyName": "decision", "mapping": {"retry": f"{SCHEMAS}Retry"}}},
            "Retry": {
                "description": "Try again.",
                "properties": {
                    "decision": {"type": "string"},
                    "systems": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
                },
                "required": ["decision"],
            },
        }
    },
}
SUBMITTED = {**ROW, "letter_code": "abc"}
COMMANDS = {
    "request list": ("/v1/requests",),
    f"request show {ID}": (f"/v1/requests/{ID}",),
    f"request follow {ID} --within 0s": (f"/v1/requests/{ID}/timeline",),
    "request submit FILE": ("/v1/requests",),
    f"request decide {ID}": ("/openapi.json",),
    f"request decide {ID} retry systems=crm --yes": (f"/v1/requests/{ID}/decision",),
    f"request decide {ID} retry --dry-run": (f"/v1/requests/{ID}/plan",),
    "letters list": ("/v1/letters",),
    f"letters send --posted {ID}": (f"/v1/letters/{ID}/posted",),
    "incident list": ("/v1/incidents",),
    f"incident show {ID}": (f"/v1/incidents/{ID}",),
    f"incident act {ID} facts --dry-run": ("/openapi.json",),
    f"incident act {ID} facts --yes": (f"/v1/incidents/{ID}/facts",),
    "suppression check FILE": ("/v1/suppression/check",),
}
"""Each command, and the answers that it reads and that are bent."""


def bent(value: Any) -> Iterator[Any]:
    """The value with one thing in it of another shape, or not there."""
    yield "x" if isinstance(value, int) else 7
    if isinstance(value, dict):
        yield from ([], [7])
        for name, each in value.items():
            yield {one: other for one, other in value.items() if one != name}
            for other in bent(each):
                yield {**value, name: other}
    elif isinstance(value, list):
        yield {"x": 7}
        for place, each in enumerate(value):
            for other in bent(each):
                yield [*value[:place], other, *value[place + 1 :]]


@pytest.mark.parametrize("words", COMMANDS)
def test_malformed_answer_is_named(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("{}" if "submit" in words else "ada@example.org")
    typed = tuple(words.replace("FILE", str(file)).split())
    good = dict(ANSWERS)
    if "submit" in words:
        good["/v1/requests"] = SUBMITTED

    def answered(request: httpx.Request) -> httpx.Response:
        over = "after" in request.url.params
        content = json.dumps({"letters": []} if over else good[request.url.path])
        return httpx.Response(200, content=content, headers={"Content-Type": "application/json", "ETag": '"1"'})

    monkeypatch.setenv("DSR_API_URL", "https://dsr.example")
    monkeypatch.setenv("DSR_API_KEY", "dsr_k")
    monkeypatch.setattr(httpx, "AsyncClient", partial(httpx.AsyncClient, transport=httpx.MockTransport(answered)))
    first = run(typed)
    assert first.status in {0, 1}, first.err
    assert first.err == "", first.err
    for path in COMMANDS[words]:
        told = good[path]
        for other in bent(told):
            good[path] = other
            ended = run(typed)
            assert not _CODE.search(ended.err), (path, other, ended.err)
            assert ended.status == 0 or not ended.err or _SAID.search(ended.err), (path, other, ended.err)
        good[path] = told


def test_file_without_requests_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR_API_URL", "https://dsr.example")
    monkeypatch.setenv("DSR_API_KEY", "dsr_k")
    (tmp_path / "file").write_text("null")
    ended = run(("request", "submit", str(tmp_path / "file")))
    assert (ended.status, "a request is a JSON object" in ended.err) == (2, True)


_CODE = re.compile(r"dsr: \w*(Error|Exception):|Traceback")
"""An error as the code knows it, which tells nobody anything."""
_SAID = re.compile(r"answers as this API does not .*set DSR_API_URL|it is of another version than this command")


# Following shows what is new once, in its order, and how far the tasks of each system are.
OPENED: dict[str, Any] = {"operation": "erase", "stages": [["crm:erase"], ["cdr:erase", "shop:erase"]]}
DONE: dict[str, Any] = {
    "system": "crm",
    "operation": "erase",
    "task_id": "1",
    "outcome": "erased",
    "found": 4,
    "remaining": 0,
}


def entry(action: str, at: int = 0, service: str = "erasure", **detail: Any) -> dict[str, Any]:
    stamp = f"2026-03-02T09:00:{at:02}+00:00"
    return {"at": stamp, "service": service, "actor": service, "action": action, "detail": detail}


def view(state: str = "in_progress", outcome: str | None = None) -> dict[str, Any]:
    return {"state": state, "outcome": outcome, "due_on": "2026-04-02"}


def test_what_was_seen_is_not_shown_again_and_what_comes_late_between_is() -> None:
    progress = Progress()
    first, late, last = entry("request.received", 1), entry("task.postponed", 2), entry("letter.written", 3)
    assert [new["event"] for new in progress.news(view(), [first, last])] == ["entry", "entry", "state"]
    assert [new["action"] for new in progress.news(view(), [first, late, last])] == ["task.postponed"]
    assert list(progress.news(view(), [first, late, last])) == []
    assert [new["event"] for new in progress.news(view(), [first, late, last, last])] == ["entry"], "the same twice"


def test_tasks_are_those_that_were_opened_and_each_is_told_when_it_ends() -> None:
    progress = Progress()
    list(progress.news(view(), [entry("fulfilment.opened", **OPENED)]))
    assert progress.summary == "erase 0 of 3: crm ·, cdr ·, shop ·"
    *_, ended = progress.news(view(), [entry("fulfilment.opened", **OPENED), entry("task.concluded", 1, **DONE)])
    assert ended == {"event": "task", "system": "crm", "operation": "erase", "ended": "erased"}
    assert progress.summary == "erase 1 of 3: crm erased, cdr ·, shop ·"
    again = entry("fulfilment.begun_anew", 2, operation="erase", stages=[["crm:erase"]])
    list(progress.news(view(), [entry("fulfilment.opened", **OPENED), entry("task.concluded", 1, **DONE), again]))
    assert progress.summary == "erase 0 of 3: crm ·, cdr ·, shop ·", "what is done anew is not done"


def test_what_a_person_entered_ends_a_task() -> None:
    progress = Progress()
    by_hand = entry("task.recorded", 1, "intake", system="crm", operation="erase", found=0)
    list(progress.news(view(), [entry("fulfilment.opened", **OPENED), by_hand]))
    assert progress.summary == "erase 1 of 3: crm by_hand, cdr ·, shop ·"


def test_a_person_reads_a_line_for_each_entry_and_for_each_new_state() -> None:
    assert line({"event": "entry", **entry("fulfilment.opened", **OPENED)}) == (
        "2026-03-02 09:00:00Z  erasure    fulfilment.opened       erase: crm, then cdr and shop"
    )
    assert line({"event": "entry", **entry("task.concluded", **dict(sorted(DONE.items())))}) == (
        "2026-03-02 09:00:00Z  erasure    task.concluded          erase crm: outcome=erased found=4"
    )
    assert line({"event": "task", "system": "crm", "operation": "erase", "ended": None}) is None
    closed = line({"event": "state", **view("closed", "partially_fulfilled")})
    assert closed is not None
    assert closed.strip() == "closed: partially fulfilled, due 2026-04-02"


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
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            lambda: httpx.Response(422, json=PROBLEM | {"errors": [{"field": "right", "message": "is none"}]}),
            "Away: right: is none",
        ),
        (lambda: httpx.Response(409, json=PROBLEM), "Away: try again"),
        (lambda: httpx.Response(404, json=PROBLEM | {"type": "urn:dsr:problem:http"}), "this API has no GET /v1/x"),
        (
            lambda: httpx.Response(308, headers={"Location": "https://elsewhere"}),
            r"does not answer as this API does \(308",
        ),
        (
            lambda: httpx.Response(200, html="Welcome to the hotel"),
            r"does not answer as this API does \(200, text/html",
        ),
    ],
    ids=["fields", "detail", "no route", "elsewhere", "another page"],
)
async def test_refusal_names_the_remedy(answer: Callable[[], httpx.Response], said: str) -> None:
    given = answer()
    if given.status_code >= 400:
        given.headers["Content-Type"] = "application/problem+json"
    asked: list[httpx.Request] = []
    with pytest.raises(ApiRefused, match=said):
        await answering(given, asked=asked).get("/v1/x")
    assert len(asked) == 1, "and no key is sent to where it leads"
