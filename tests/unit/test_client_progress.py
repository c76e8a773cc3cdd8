"""Following shows what is new once, in its order, and how far the tasks of each system are."""

from typing import Any

from services.intake.client.output import plain
from services.intake.client.progress import Progress, line

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
