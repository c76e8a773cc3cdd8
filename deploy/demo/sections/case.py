"""One message with several rights, and the plan of its erasure, read before anything is erased."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from deploy.demo.board import SubmittedRequest
from deploy.demo.client import DsrClient
from deploy.demo.company import Part
from deploy.demo.finding import Section
from deploy.demo.sections import planned
from shared.domain.policy import Policy
from shared.domain.rights import Right

_QUESTION = {
    "question": "clarification",
    "text": "Which of your calls do you need: all since you came to us, or those of this year?",
    "condition_recorded": True,
}


@dataclass(frozen=True)
class Case:
    """What one message has asked for, by its number, and what its erasure's plan said beforehand."""

    number: str
    requests: Sequence[SubmittedRequest]
    plan: Mapping[str, Any]
    awaited: Sequence[str]

    def of(self, right: Right) -> SubmittedRequest:
        """The request for one of its rights."""
        return next(request for request in self.requests if request.part.right is right)


async def submit(client: DsrClient, channel: DsrClient, parts: Sequence[Part]) -> Case:
    """Hand the message in, ask which calls are meant, read what the erasure would do, and let the person answer.

    An erasure waits for a copy that the same person asks for in the same message, so the plan comes before the act. It
    is made once the objection is done: that is noted in each system, and so counted among what goes.
    """
    body = {name: value for part in parts for name, value in part.submission.items() if name != "right"}
    body["rights"] = [part.right for part in parts]
    said = await channel.post("/v1/requests", json=body, headers={"Idempotency-Key": str(uuid4())})
    accepted = said.raise_for_status().json()
    pairs = zip(parts, accepted["requests"], strict=True)
    requests = [SubmittedRequest(part, each["request_id"]) for part, each in pairs]
    ids = {request.part.right: request.request_id for request in requests}
    await _move(client, ids[Right.ACCESS], "ask", _QUESTION)
    waiting = await client.follow(ids[Right.ERASURE], lambda view: bool(view["awaits"]))
    await client.follow(ids[Right.OBJECTION], "closed")
    asked = (await client.post(f"/v1/requests/{ids[Right.ERASURE]}/previews")).raise_for_status().json()
    plan = await client.follow(ids[Right.ERASURE], "made", f"/previews/{asked['preview_id']}")
    await _move(client, ids[Right.ACCESS], "record-reply", {"text": "All of them, please."})
    return Case(accepted["case_number"], requests, plan, waiting["awaits"])


async def _move(client: DsrClient, request_id: str, step: str, body: Mapping[str, Any]) -> None:
    answer = await client.decide(request_id, step, body)
    if answer.status_code != httpx.codes.OK:
        raise RuntimeError(f"{step} of {request_id}: {answer.status_code} {answer.text}")


async def one_message(client: DsrClient, case: Case) -> Section:
    """How three rights of one message are answered."""
    section = Section(f"One message, three rights: {case.requests[0].part.person.name}")
    copy, erasure = case.of(Right.ACCESS), case.of(Right.ERASURE)
    for request in case.requests:
        section.say(f"{request.part.right:10} {request.state:32} {request.part.shows}")
    shown = {each["request_id"] for each in erasure.view["case"]["requests"]}
    received = {request.view["received_at"] for request in case.requests}
    letters = [letter for request in case.requests for letter in await client.letters(request.request_id)]
    kinds = [letter["kind"] for letter in letters]
    section.find(
        erasure.view["case"]["case_number"] == case.number
        and shown == {request.request_id for request in case.requests}
        and len(received) == 1
        and kinds.count("acknowledgement") == 1,
        f"one case number ({case.number}), one day of receipt, one acknowledgement",
    )
    closed = [case.of(right).view["closed_at"] for right in (Right.ACCESS, Right.ERASURE)]
    waited = [copy.request_id] == list(case.awaited) and closed == sorted(closed)
    section.find(waited, "the erasure waited until the copy was there")
    return section


async def before_the_act(client: DsrClient, case: Case, policy: Policy, calls_then: tuple[int, int]) -> Section:
    """What the officer read of the erasure before it began; ``calls_then``: call rows before, and when it was made."""
    erasure = case.of(Right.ERASURE)
    section = Section(f"The plan before the act: POST /v1/requests/{erasure.request_id}/previews")
    systems = planned.of_plan(case.plan)
    section.say(*planned.table(systems, policy))
    actions = [str(entry["action"]) for entry in await client.timeline(erasure.request_id)]
    was, then = calls_then
    section.find(
        actions.index("plan.made") < actions.index("erasure.begun") and was == then > 0,
        f"it was made before the erasure began, and changed nothing: {then} call rows, as before",
    )
    section.find(
        planned.facts(systems) == planned.facts(planned.of_receipts(erasure.view, policy)),
        "what was done then is what it had said, category by category",
    )
    return section
