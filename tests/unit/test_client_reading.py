"""What people read of a request, of its tasks and of a plan, from what the API says of them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from uuid_utils.compat import uuid7

from services.intake.api import app
from services.intake.api.breaches import BreachView
from services.intake.client import breach, reading
from services.intake.client.deciding import typed
from services.intake.client.decisions import Decision, DecisionUnclear, Typed, body, decisions, named
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
def test_what_is_typed_is_sent_as_text_where_the_api_takes_text_and_else_as_json(
    name: str, typed: dict[str, str], sent: dict[str, Any] | None
) -> None:
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
