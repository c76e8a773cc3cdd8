"""What people read of a request, of its tasks and of a plan, from what the API says of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from uuid_utils.compat import uuid7

from services.intake.api.breaches import BreachView
from services.intake.client import breach, reading
from services.intake.client.deciding import typed
from services.intake.client.decisions import Typed
from services.intake.request.planned import PlannedSystem
from shared.domain.operations import Operation, TaskReport

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
    [(5, None, "in 5 h; call record; owner: nobody"), (-3, None, "3 h late"), (1, NOW, "closed 2026-03-02: no risk")],
)
def test_a_breach_is_shown_with_what_is_left_of_its_clock(hours: int, closed: datetime | None, said: str) -> None:
    unknown = dict.fromkeys(("request_id", "fault", "owner", "recorded_at", "people", "records", "told_at"))
    found = BreachView(
        breach_id=uuid7(),
        downloads=0,
        found_at=NOW,
        notify_by=NOW + timedelta(hours=hours),
        categories=["call_record"],
        decision="no_risk" if closed else None,
        closed_at=closed,
        **unknown,
    )
    assert said in breach.heading(found.model_dump(mode="json"), NOW)


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
