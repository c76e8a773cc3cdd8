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


PAGE = {"level": "daily_page", "lines": ["one: due on 2026-12-27", "and 7 more"], "escalate_to": ["dpo", "executive"]}
DIGEST = {"level": "digest", "lines": ["access: 3 open", "all: 3 open"]}


@pytest.mark.parametrize(
    ("details", "title", "heading"),
    [
        (PAGE, " nearly due or overdue on 2026-12-24", "daily_page for dpo and executive: to be answered:"),
        (DIGEST, " on 2026-12-24", None),
    ],
)
async def test_daily_page_and_digest_are_one_ticket_each_with_their_lines(
    harness: Harness,
    ticketing: RoundupAdapter,
    notes: Notes,
    details: dict[str, JsonValue],
    title: str,
    heading: str | None,
) -> None:
    page = task(Operation.ESCALATE, details={**details, "due_on": "2026-12-24"})
    first, again = [result for _ in range(2) for result in await ticketing.escalate([page], notes.save_progress)]
    assert isinstance(first, Receipt)
    assert isinstance(again, Receipt)
    assert first.reference == again.reference
    issue = harness.get("issue", str(first.reference))
    (comment,) = (str(harness.get("msg", str(one["id"]))["content"]) for one in issue["messages"])
    assert issue["title"] == f"Data subject requests{title}"
    said, *lines = comment.splitlines()
    assert lines == details["lines"]
    assert heading in {None, said}
