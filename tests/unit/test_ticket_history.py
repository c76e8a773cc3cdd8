"""The history of a ticket shows a person what it said while it was theirs, and is read so many records at a time."""

from typing import Any

import httpx
import orjson
import pytest

from shared.domain.release import WITHHELD
from shared.downstreams.contract import Record
from shared.downstreams.roundup.answers import Change
from shared.downstreams.roundup.history import changes, rows
from shared.downstreams.roundup.settings import RoundupSettings
from shared.downstreams.roundup.tracker import CHUNK, Tracker

SUBJECT, OTHER, AGENT = "7", "8", "1"
AT = "2026-01-02.03:04:05"


def passed_on(classname: str, creator: str | None) -> list[Record]:
    """Reads as the subject a record that named no owner, was edited, and then became theirs; the latest first."""
    owner, text = {"issue": ("requester", "title"), "query": ("private_for", "name")}[classname]
    said: list[Change] = [(AT, creator, False, "create", {})] if creator else []
    said += [(AT, creator or OTHER, False, "set", {text: "before"}), (AT, AGENT, True, "set", {owner: []})]
    return list(rows((classname, "3"), Record("x", "t", {}), said, {SUBJECT}))


@pytest.mark.parametrize("classname", ["issue", "query"])
@pytest.mark.parametrize("creator", [SUBJECT, OTHER, None])
def test_what_named_no_owner_was_its_creators(classname: str, creator: str | None) -> None:
    edited = passed_on(classname, creator)[1]
    assert list(edited.data["former"].values()) == ["before" if creator == SUBJECT else WITHHELD]  # type: ignore[union-attr]


def test_the_subject_has_provided_what_they_changed_themselves() -> None:
    assert [(row.data["changed_by"], row.portable) for row in passed_on("issue", SUBJECT)] == [
        ("service desk", False),
        ("you", True),
        ("you", True),
    ]


async def test_history_of_many_records_is_asked_for_in_batches() -> None:
    asked: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        records: dict[str, Any] = orjson.loads(request.content)["records"]
        asked.append(sum(map(len, records.values())))
        said = {kind: {one: [[AT, one, False, "create", {}]] for one in ids} for kind, ids in records.items()}
        return httpx.Response(200, json={"data": said})

    settings = RoundupSettings.model_validate({"url": "https://tracker.example/", "password_env": "TRACKER"})
    tracker = Tracker("tickets", settings, "x", httpx.MockTransport(answer))
    keys = [("issue", str(n)) for n in range(1, CHUNK)] + [("msg", str(n)) for n in range(1, CHUNK)]
    found = await changes(tracker, keys)
    await tracker.close()
    assert asked == [CHUNK, CHUNK - 2]
    assert found == {(kind, one): [(AT, one, False, "create", {})] for kind, one in keys}
