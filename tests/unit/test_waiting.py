"""What a request waits for is said for every kind of waiting, and nothing is said where it waits for nothing."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.request.waiting import waits_for
from shared.domain.operations import Exceeded, Limit, TaskReport
from shared.domain.rights import Outcome, Right, Role
from tests.fixtures.requests import a_request, open_question

UNDONE = TaskReport(task_id=uuid7(), system="crm", operation="export", outcome=None)


def waiting(state: State = State.AWAITING_DECISION, **said: Any) -> str:
    return waits_for(a_request(state, **said)) or ""


def missing(**said: Any) -> tuple[TaskReport, ...]:
    return (UNDONE.model_copy(update=said),)


def beyond(limit: str) -> Exceeded:
    return Exceeded(limit=Limit(limit), found=2, allowed=1)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"suspended": True}, "The API key key has asked for more erasures"),
        ({"postponed": True, "state": State.IN_PROGRESS}, "open access and portability requests"),
        ({"postponed": True, "opposed": True}, "which of the two"),
        ({"role": "processor"}, "pass it on"),
        ({"state": State.AWAITING_IDENTITY}, "prove who they are"),
        ({"state": State.AWAITING_CLARIFICATION, "question": open_question()}, "answer our question"),
        ({"tasks": missing(failure="not_supported")}, "In crm a person does it by hand"),
        ({"tasks": missing(failure="blast_radius", exceeded=beyond("max_people"))}, "enter it (POST …/task-result)"),
        ({"tasks": missing(failure="foreign_hit")}, "do there by hand what is the requester's"),
        ({"tasks": missing(failure="blast_radius", exceeded=beyond("max_rows"))}, "request may touch: two persons"),
        (
            {"tasks": missing(failure="rule_unsigned", exceeded=beyond("unsigned_rows"))},
            "until a rule of the policy is signed",
        ),
        ({"tasks": missing(failure="residue_found")}, "In crm it was not done"),
        ({"tasks": missing(failure="several_people")}, "customer number"),
        ({"tasks": missing(not_searched="number_in_conflict", outcome="not_searched")}, "contradict one another"),
        ({"tasks": missing(not_searched="line_shared", outcome="not_searched")}, "by hand"),
        ({"tasks": missing(failure="assignment_in_doubt")}, "several holders"),
        ({"right": Right.OBJECTION, "scope": "legitimate_interests"}, "two persons weigh"),
        ({"state": State.IN_PROGRESS, "decided": Outcome.REFUSED}, "it is answered is decided"),
    ],
)
def test_what_a_request_waits_for_is_said_as_it_is(said: dict[str, Any], words: str) -> None:
    assert words in waiting(**said)


def test_whatever_waits_says_for_what_and_what_is_closed_waits_for_nothing() -> None:
    waits = (State.AWAITING_IDENTITY, State.AWAITING_CLARIFICATION, State.AWAITING_DECISION)
    roles: tuple[Role, ...] = ("controller", "processor")
    for state, right, role, suspended in product(waits, Right, roles, (False, True)):
        request: Request = a_request(state, right=right, role=role, suspended=suspended)
        assert waits_for(request)
        assert waits_for(replace(request, state=State.CLOSED, outcome=Outcome.WITHDRAWN)) is None
