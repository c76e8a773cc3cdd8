"""Warnings in a real Roundup: who is told of what, once, and when a ticket is resolved."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from shared.domain.operations import Operation, TaskOutcome
from tests.fixtures.downstream import receipt, task
from tests.fixtures.roundup import Ticketing


async def test_a_ticket_is_resolved_when_its_request_is_answered_and_none_is_opened_for_that(
    ticketing: Ticketing,
) -> None:
    request = uuid7()
    overdue, resolved, repeated = (
        task(Operation.ESCALATE, request=request, level=level, right="access", outcome="fulfilled")
        for level in ("overdue_commitment", "resolved", "resolved")
    )
    never_warned = task(Operation.ESCALATE, level="resolved", outcome="fulfilled")
    first, *_, last = map(receipt, await ticketing.run(overdue, resolved, repeated, never_warned))
    assert ticketing.is_resolved(str(first.reference))
    assert (last.outcome, last.reference) == (TaskOutcome.NO_MATCH, None)


async def test_a_ticket_that_was_resolved_is_open_again_when_a_customer_says_nothing(ticketing: Ticketing) -> None:
    request, levels = uuid7(), ("overdue_commitment", "resolved", "controller_silent", "resolved")
    said: dict[str, Any] = {"request": request, "right": "access", "outcome": "forwarded", "escalate_to": ["counsel"]}
    resolved, tickets = [], []
    for level in levels:
        tickets.append(str((await ticketing.receipt(task(Operation.ESCALATE, level=level, **said))).reference))
        resolved.append(ticketing.is_resolved(tickets[-1]))
    assert resolved == [False, True, False, True]
    assert "controller_silent for counsel: the customer" in ticketing.comments(tickets[0])[2]


@pytest.mark.parametrize(
    ("level", "more", "told"),
    [
        ("target_triage", {"target_on": "2026-12-03"}, "for team lead: this was to be done"),
        ("extend_or_answer", {}, "for team lead: extend the request"),
    ],
)
async def test_a_comment_names_the_role_that_is_to_be_told(
    ticketing: Ticketing, level: str, more: dict[str, Any], told: str
) -> None:
    told_to: dict[str, Any] = {"level": level, "right": "access", "escalate_to": ["team_lead"], **more}
    warned = task(Operation.ESCALATE, due_on="2026-12-24", **told_to)
    done = await ticketing.receipt(warned)
    (comment,) = ticketing.comments(str(done.reference))
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
    ticketing: Ticketing, details: dict[str, Any], title: str, heading: str | None
) -> None:
    page = task(Operation.ESCALATE, due_on="2026-12-24", **details)
    (ticket,) = {str((await ticketing.receipt(page)).reference) for _ in range(2)}
    (comment,) = ticketing.comments(ticket)
    assert ticketing.get("issue", ticket)["title"] == f"Data subject requests{title}"
    said, *lines = comment.splitlines()
    assert lines == details["lines"]
    assert heading in {None, said}
