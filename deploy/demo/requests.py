"""Submits the requests of the demonstration, shows how they advance, and downloads what the people receive."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
from rich.console import Console

from deploy.demo import planned
from deploy.demo.client import DsrClient
from deploy.demo.company import Part
from deploy.demo.company.people import ascii_word
from deploy.demo.estate import SYSTEMS
from deploy.demo.report import Report
from shared.domain.languages import LANGUAGES
from shared.domain.policy import Policy
from shared.domain.rights import Right
from shared.storage import certificate

_TIMEOUT_SECONDS, _LOOK_EVERY = 180, 0.2
_AT_REST = frozenset({"closed", "awaiting_decision", "awaiting_identity", "awaiting_clarification"})
_QUESTION = {
    "question": "clarification",
    "text": "Which of your calls do you need: all since you came to us, or those of this year?",
    "condition_recorded": True,
}


@dataclass
class SubmittedRequest:
    """A request of the demonstration: its part, its latest view, and then what was downloaded."""

    part: Part
    request_id: str
    view: Mapping[str, Any] = field(default_factory=dict)
    package: bytes = b""
    certificate: bytes = b""

    @property
    def state(self) -> str:
        """Its state, with its outcome once it has one."""
        said = (self.view.get("state", "received"), self.view.get("outcome"))
        return ": ".join(filter(None, said)).replace("_", " ")

    @property
    def at_rest(self) -> bool:
        """Whether nothing more happens until a person acts."""
        return self.view.get("state") in _AT_REST

    @property
    def cells(self) -> Iterator[str]:
        """Yields the last report of each system in two or three words."""
        for system in SYSTEMS:
            reports = [task for task in self.view.get("tasks", ()) if task["system"] == system]
            yield _words(reports[-1]) if reports else "·"


def _words(report: Mapping[str, Any]) -> str:
    match report.get("outcome"), report.get("failure"):
        case None, None:
            return f"{report['operation']} …"
        case None, failure:
            return f"✗ {str(failure).replace('_', ' ')}"
        case "no_match", _:
            return "– nothing"
        case outcome, _:
            count = report["changed" if outcome in {"erased", "amended"} else "found"]
            return f"✓ {count:,} {str(outcome).replace('_', ' ')}"


async def watch(console: Console, client: DsrClient, requests: Sequence[SubmittedRequest]) -> None:
    """Prints each request once it has closed or waits for a person, until all have or the time is over."""
    began = time.monotonic()
    while time.monotonic() - began < _TIMEOUT_SECONDS and not all(request.at_rest for request in requests):
        for request in (each for each in requests if not each.at_rest):
            request.view = await client.read(request.request_id)
            if request.at_rest:
                who = f"{request.part.right:18} {request.part.person.name:18} {request.state:29}"
                cells = "  ".join(f"{words:18}" for words in request.cells)
                console.print(f"{time.monotonic() - began:6.1f} s  {who} {cells}", markup=False, soft_wrap=True)
        await asyncio.sleep(_LOOK_EVERY)


async def collect(client: DsrClient, requests: Sequence[SubmittedRequest], folder: Path) -> None:
    """Downloads certificate and package of every closed request into the folder."""
    for request in requests:
        if request.view.get("state") == "closed":
            name = folder / f"{request.part.right}-{request.request_id}"
            request.certificate = await client.download(request.request_id, "certificate")
            name.with_suffix(".certificate.json").write_bytes(request.certificate)
            if request.view.get("package"):
                request.package = await client.download(request.request_id, "package")
                name.with_suffix(".zip").write_bytes(request.package)


def closed_as_expected(report: Report, request: SubmittedRequest, trusted: bytes) -> None:
    """Reports the outcome, and whether the certificate holds."""
    expected = request.part.expected
    words = f"closed as {expected.replace('_', ' ')}"
    report.find(
        request.view.get("outcome") == expected, words if request.at_rest else f"{words}: it is {request.state}"
    )
    if request.certificate:
        content = orjson.loads(request.certificate)
        problems = certificate.verify(content, trusted)
        words = f"its certificate over {len(content['entries'])} entries holds"
        report.find(not problems, "; ".join(problems) or words)


@dataclass(frozen=True)
class Case:
    """The requests of one message, its case number, and the plan of its erasure, made beforehand."""

    number: str
    requests: Sequence[SubmittedRequest]
    plan: Mapping[str, Any]

    def of(self, right: Right) -> SubmittedRequest:
        """Returns the request for one of its rights."""
        return next(request for request in self.requests if request.part.right is right)

    @classmethod
    async def submit(cls, client: DsrClient, channel: DsrClient, parts: Sequence[Part]) -> "Case":
        """Submits the message, asks which calls are meant, reads what the erasure would do, and enters the reply.

        An erasure waits for a copy that the same message asks for, so the plan comes before the act. It is made once
        the objection is done, which is noted in each system, and so counted among what goes.
        """
        body = {name: value for part in parts for name, value in part.submission.items() if name != "right"}
        body["rights"] = [part.right for part in parts]
        said = await channel.post("/v1/requests", json=body, headers={"Idempotency-Key": str(uuid4())})
        accepted = said.raise_for_status().json()
        pairs = zip(parts, accepted["requests"], strict=True)
        case = cls(accepted["case_number"], [SubmittedRequest(part, each["request_id"]) for part, each in pairs], {})
        copy, erasure = case.of(Right.ACCESS).request_id, case.of(Right.ERASURE).request_id
        await _move(client, copy, "ask", _QUESTION)
        await client.follow(erasure, lambda view: view["awaits"] == [copy])
        await client.follow(case.of(Right.OBJECTION).request_id, "closed")
        asked = (await client.post(f"/v1/requests/{erasure}/previews")).raise_for_status().json()
        plan = await client.follow(erasure, "made", f"/previews/{asked['preview_id']}")
        await _move(client, copy, "record-reply", {"text": "All of them, please."})
        return cls(case.number, case.requests, plan)

    async def show(self, report: Report, client: DsrClient, policy: Policy) -> None:
        """Reports how the rights of one message were answered, and whether the preview was right."""
        copy, erasure = self.of(Right.ACCESS), self.of(Right.ERASURE)
        report.section(f"One message, three rights: {erasure.part.person.name}")
        report.say(*(f"{each.part.right:10} {each.state:32} {each.part.shows}" for each in self.requests))
        shown = {each["request_id"] for each in erasure.view["case"]["requests"]}
        letters = [letter["kind"] for each in self.requests for letter in await client.letters(each.request_id)]
        is_one = shown == {each.request_id for each in self.requests} and letters.count("acknowledgement") == 1
        report.find(is_one, f"one case number ({self.number}), one acknowledgement")
        waited = copy.view["closed_at"] <= erasure.view["closed_at"]
        report.find(waited, "the erasure waited until the copy was there")
        report.section(f"The plan before the act: POST /v1/requests/{erasure.request_id}/previews")
        report.say(*planned.table(planned.of_plan(self.plan), policy))
        actions = [str(entry["action"]) for entry in await client.timeline(erasure.request_id)]
        before = actions.index("plan.made") < actions.index("erasure.begun")
        facts = planned.facts(planned.of_plan(self.plan))
        same = facts == planned.facts(planned.of_receipts(erasure.view, policy))
        report.find(before and same, "made before the erasure; what was done is what it had said, category by category")


async def _move(client: DsrClient, request_id: str, action: str, body: Mapping[str, Any]) -> None:
    answer = await client.decide(request_id, action, body)
    if answer.status_code != httpx.codes.OK:
        raise RuntimeError(f"{action} of {request_id}: {answer.status_code} {answer.text}")


async def letters(
    report: Report, client: DsrClient, erasures: Sequence[SubmittedRequest], shown: SubmittedRequest, folder: Path
) -> None:
    """Writes the answers to all erasures into the folder; prints one of them."""
    report.section(f"The letter: {shown.part.person.name}, {shown.part.person.country}")
    languages = set()
    for request in erasures:
        [answer] = [each for each in await client.letters(request.request_id) if each["kind"] == "answer"]
        languages.add(str(answer["language"]))
        file = folder / f"{answer['language']}-{ascii_word(request.part.person.name)}.txt"
        file.write_text(f"{answer['subject']}\n\n{answer['body']}", encoding="utf-8")
        if request is shown:
            report.say(*(f"│ {line}".rstrip() for line in answer["body"].splitlines()))
            report.find(answer["language"] == request.part.person.language, "it is in the language of its reader")
    report.find(languages == {*LANGUAGES}, f"the {len(erasures)} letters are in {', '.join(sorted(languages))}")
