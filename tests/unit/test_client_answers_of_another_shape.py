"""Each command, over answers of which one thing at a time is of another shape: a clear sentence, and no traceback."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.command import run

ID = "019c0000-0000-7000-8000-000000000001"
ROW = {"request_id": ID, "right": "erasure", "state": "closed", "outcome": None, "due_on": "2026-04-01"}
TASK = {"system": "crm", "operation": "erase", "outcome": None, "failure": "refused", "found": 3, "changed": 0}
TOLD_OF_IT = {"system": "crm", "operation": "erase", "outcome": "erased", "found": 1}
ENTRY = {"at": "2026-03-02T09:00:00Z", "service": "erasure", "actor": "erasure"}
BREACH = {
    "breach_id": ID,
    "notify_by": "2026-03-05T09:00:00Z",
    "closed_at": None,
    "told_at": None,
    "decision": None,
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
            | {"state": "person", "fault": "returned", "tries": 2}
        ]
    },
    f"/v1/letters/{ID}/posted": {"state": "sent"},
    "/v1/breaches": {"breaches": [BREACH], "cursor": None},
    f"/v1/breaches/{ID}": {
        "breach": BREACH,
        "record": {"measures": "told"},
        "corrections": [],
        "notices": [{"notice_id": ID, "waits": False}],
        "assessment": {"assessment_id": ID},
        "letters": [{"letter_id": ID, "request_id": ID, "state": None}],
    },
    f"/v1/breaches/{ID}/letter": {"subject": "About your data", "body": "Hello."},
    f"/v1/breaches/{ID}/owner": {"owner": "officer-1"},
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
        "/v1/breaches/{breach_id}/owner": {"post": {"description": "See to it."}},
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
    "breach list": ("/v1/breaches",),
    f"breach show {ID}": (f"/v1/breaches/{ID}",),
    f"breach own {ID} --dry-run": ("/openapi.json",),
    f"breach own {ID} --yes": (f"/v1/breaches/{ID}/owner",),
    f"breach letter {ID}": (f"/v1/breaches/{ID}/letter",),
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
def test_an_answer_of_another_shape_is_named_in_one_sentence(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_file_that_holds_neither_a_request_nor_several_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_API_URL", "https://dsr.example")
    monkeypatch.setenv("DSR_API_KEY", "dsr_k")
    (tmp_path / "file").write_text("null")
    ended = run(("request", "submit", str(tmp_path / "file")))
    assert (ended.status, "a request is a JSON object" in ended.err) == (2, True)


_CODE = re.compile(r"dsr: \w*(Error|Exception):|Traceback")
"""An error as the code knows it, which tells nobody anything."""
_SAID = re.compile(r"answers as this API does not .*set DSR_API_URL|it is of another version than this command")
