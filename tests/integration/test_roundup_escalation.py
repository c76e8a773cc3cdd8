"""Warnings in a real Roundup: who is told of what, once, and when a ticket is resolved."""

import pytest
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.roundup import RoundupAdapter
from tests.fixtures.roundup import Harness, Notes, task


async def test_a_ticket_is_resolved_when_its_request_is_answered_and_none_is_opened_for_that(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    request = uuid7()
    overdue, resolved, repeated = (
        task(Operation.ESCALATE, details={"level": level, "right": "access", "outcome": "fulfilled"}, request=request)
        for level in ("overdue_commitment", "resolved", "resolved")
    )
    never_warned = task(Operation.ESCALATE, details={"level": "resolved", "outcome": "fulfilled"})
    results = await ticketing.escalate([overdue, resolved, repeated, never_warned], notes.save_progress)
    ticket = next(result.reference for result in results if isinstance(result, Receipt))
    issue = harness.get("issue", str(ticket))
    assert harness.get("status", str(issue["status"]["id"]))["name"] == "resolved"
    assert isinstance(results[-1], Receipt)
    assert (results[-1].outcome, results[-1].reference) == (TaskOutcome.NO_MATCH, None)


@pytest.mark.parametrize(
    ("level", "more", "told"),
    [
        (
            "target_triage",
            {"escalate_to": ["team_lead"], "target_on": "2026-12-03"},
            "for team lead: this was to be done",
        ),
        ("extend_or_answer", {"escalate_to": ["dpo"]}, "for dpo: extend the request"),
    ],
)
async def test_a_comment_names_the_role_that_is_to_be_told(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes, level: str, more: dict[str, JsonValue], told: str
) -> None:
    warned = task(Operation.ESCALATE, details={"level": level, "right": "access", "due_on": "2026-12-24", **more})
    (receipt,) = await ticketing.escalate([warned], notes.save_progress)
    assert isinstance(receipt, Receipt)
    issue = harness.get("issue", str(receipt.reference))
    (comment,) = (str(harness.get("msg", str(one["id"]))["content"]) for one in issue["messages"])
    assert comment.startswith(f"{level} {told}")
    assert str(warned.request_id) in comment
    assert "2026-12-24" in comment


async def test_the_daily_page_is_one_ticket_that_names_requests_and_whom_it_is_for(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    lines: JsonValue = ["one: due on 2026-12-27", "and 7 more"]
    details: dict[str, JsonValue] = {
        "level": "daily_page",
        "due_on": "2026-12-24",
        "lines": lines,
        "escalate_to": ["dpo", "executive"],
    }
    page = task(Operation.ESCALATE, details=details)
    first, again = [result for _ in range(2) for result in await ticketing.escalate([page], notes.save_progress)]
    assert isinstance(first, Receipt)
    assert isinstance(again, Receipt)
    assert first.reference == again.reference
    issue = harness.get("issue", str(first.reference))
    (comment,) = (str(harness.get("msg", str(one["id"]))["content"]) for one in issue["messages"])
    assert issue["title"] == "Data subject requests nearly due or overdue on 2026-12-24"
    heading, *rest = comment.splitlines()
    assert heading == "daily_page for dpo and executive: to be answered:"
    assert rest == lines


async def test_the_digest_of_a_day_is_one_ticket_with_its_counts(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    details: dict[str, JsonValue] = {
        "level": "digest",
        "due_on": "2026-12-24",
        "lines": ["access: 3 open", "all: 3 open"],
    }
    digest = task(Operation.ESCALATE, details=details)
    first, again = [result for _ in range(2) for result in await ticketing.escalate([digest], notes.save_progress)]
    assert isinstance(first, Receipt)
    assert isinstance(again, Receipt)
    assert first.reference == again.reference
    issue = harness.get("issue", str(first.reference))
    (comment,) = (harness.get("msg", str(one["id"]))["content"] for one in issue["messages"])
    assert issue["title"] == "Data subject requests on 2026-12-24"
    assert str(comment).splitlines()[1:] == ["access: 3 open", "all: 3 open"]
