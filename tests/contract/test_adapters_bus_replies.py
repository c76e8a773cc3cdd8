"""What a team may say on the bus: a reply that is none says what is wrong with it, and nothing of what it holds."""

from uuid import UUID

import orjson
import pytest
from pydantic import JsonValue

from shared.downstreams.bus.messages import MalformedReply, TaskReply, parse_reply, progress_from_reply

ADA = "ada@example.com"
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
