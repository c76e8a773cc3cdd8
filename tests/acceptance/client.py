"""The public doors as people and programs use them: the one place of the net that knows paths and names of fields."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from deploy.demo.client import DsrClient
from tests.fixtures.live import eventually

PROOF = {"level": "L2", "method": "signed_in_mfa"}
LONG_AGO = "2020-01-01T00:00:00+00:00"
CITY = "Potsdam"
MORE_TIME = {"reason": "VOLUME", "explanation": "There are nine archives."}
"""A reason to extend the deadline."""
RIGHTS: Mapping[str, Mapping[str, Any]] = {
    "access": {},
    "portability": {},
    "erasure": {},
    "rectification": {"changes": [{"field": "address.city", "asserted": CITY}]},
    "restriction": {"ground": "unlawful"},
    "objection": {"scope": "direct_marketing"},
    "consent_withdrawal": {"purposes": ["marketing"]},
}
"""The rights, with what each submission states beyond its subject."""


_ACTIONS: Mapping[str, str] = {
    "question": "ask",
    "reply": "record-reply",
    "confirmation": "exceed-limit",
    "balancing": "weigh",
    "extension": "extend",
    "begin": "override-wait",
}
"""Names of actions in the API, where they are others than the scenarios say."""


@dataclass(frozen=True)
class Person:
    """An invented person, whose account, address and number no other scenario has.

    ``address`` and ``line`` are set for those who share another person's.
    """

    number: int
    address: str = ""
    line: str = ""

    @property
    def name(self) -> str:
        return f"Ada Quarzfels-{self.number}"

    @property
    def email(self) -> str:
        return self.address or f"ada.{self.number}@quarzfels.example"

    @property
    def account_id(self) -> str:
        return f"K-{self.number}"

    @property
    def phone(self) -> str:
        return self.line or f"+4930{23_000_000 + self.number}"

    def identities(self, *names: str) -> dict[str, Any]:
        """Returns the stated identities: all, or those named."""
        stated = {
            "email": self.email,
            "account_id": self.account_id,
            "phones": [{"number": self.phone, "since": LONG_AGO}],
        }
        return {name: stated[name] for name in names or stated}

    def submission(self, right: str, *names: str, proved: bool = True, **more: Any) -> dict[str, Any]:
        """Returns a submission by a person signed in with a second factor and a code sent to the number."""
        subject = self.identities(*names)
        proof = self.proof(*names) if proved else {}
        return {"right": right, "subject": subject, **RIGHTS[right], **proof, **more}

    def proof(self, *names: str) -> dict[str, Any]:
        """Returns the proof of all identities, or of those named."""
        phone = [{"identity": "phones.0", "method": "sms_code", "on_file_since": LONG_AGO}]
        return {"assurance": PROOF, "proofs": phone if "phones" in self.identities(*names) else []}


class Door(DsrClient):
    """The HTTP API with one key."""

    pause = 1.0  # many wait side by side, and must not starve what they wait for

    @property
    def key(self) -> str:
        """The key."""
        return str(self.headers["Authorization"].removeprefix("Bearer "))

    async def posted(self, content: bytes, path: str = "", **headers: str) -> int:
        """The status with which a submission of these bytes is answered; ``path``: what follows the usual one."""
        headers = {"Content-Type": "application/json", **headers}
        return (await self.post(f"/v1/requests{path}", content=content, headers=headers)).status_code

    async def status_of(self, request_id: str, part: str = "") -> int:
        """The status with which a request, or a part of it, is shown."""
        if part == "/package":
            return (await self.post(f"/v1/requests/{request_id}/downloads", json={})).status_code
        return (await self.get(f"/v1/requests/{request_id}{part}")).status_code

    async def link(self, request_id: str) -> str:
        """Makes a link to the package of a request."""
        made = await self.post(f"/v1/requests/{request_id}/downloads", json={})
        return str(made.raise_for_status().headers["Location"])

    async def decide(self, request_id: str, what: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """Takes a step with a request, or approves what a colleague has proposed; what is answered."""
        if what.endswith("/approval"):
            return await self.approve(request_id)
        said = dict(body or {})
        named = str(said.pop("decision", what))
        return await super().decide(request_id, _ACTIONS.get(named, named.replace("_", "-")), said)

    async def version(self, request_id: str) -> str:
        """Returns the version of a request."""
        return str((await self.get(f"/v1/requests/{request_id}/actions")).raise_for_status().headers["ETag"])

    async def decided_at(self, version: str, request_id: str, action: str) -> int:
        """Takes an action on the version that was seen; the status of the answer."""
        path = f"/v1/requests/{request_id}/actions/{action}"
        return (await self.post(path, json={}, headers={"If-Match": version})).status_code

    async def is_shut(self, request_id: str) -> bool:
        """Whether the key is not taken any more."""
        return await self.status_of(request_id) == httpx.codes.UNAUTHORIZED

    async def checked(self, *emails: str) -> httpx.Response:
        """Checks addresses against the suppression list."""
        points = [{"type": "email", "value": each} for each in emails]
        return await self.post("/v1/suppression/check", json={"contact_points": points})

    async def ask(self, submission: Mapping[str, Any]) -> "Case":
        """Submits a request."""
        return Case(self, await self.submit(submission))

    async def place_hold(self, person: Person, *categories: str) -> str:
        """Places a legal hold on a person's data; returns its path."""
        hold: dict[str, Any] = {
            "case_number": f"LEG-{person.number}",
            "reason": "LITIGATION",
            "review_on": _in_days(90),
        }
        hold |= {"categories": categories, "subject": person.identities()}
        answer = await self.post("/v1/holds", json=hold)
        assert answer.is_success, answer.text
        return f"/v1/holds/{answer.json()['hold_id']}"

    async def lift_hold(self, path: str) -> bool:
        """Says that a hold is over; whether it is, by now."""
        answer = await self.decide(path, "lift")
        return answer.is_success and answer.json()["state"] == "lifted"

    async def claimed(self, claim: str) -> int:
        """The status with which the identities behind a team's claim are given."""
        return (await self.get("/v1/tasks/identities", headers={"DSR-Claim": claim})).status_code

    async def mail_with(self, subject: str) -> dict[str, Any]:
        """The mail with that subject; empty while it has not come."""
        listed = (await self.get("/v1/mail")).raise_for_status().json()["data"]
        for each in listed:
            found = await self.mail(each["mail_id"])
            if found and found["content"]["subject"] == subject:
                return found
        return {}

    async def refused(self, submission: Mapping[str, Any], **headers: str) -> httpx.Response:
        """The answer to a submission that is not taken."""
        answer = await self.post("/v1/requests", json=submission, headers=headers)
        assert answer.is_client_error, answer.text
        return answer

    async def ask_together(self, submissions: Sequence[Mapping[str, Any]]) -> "list[Case]":
        """Submits several requests as one batch."""
        answer = await self.post("/v1/requests/batch", json={"requests": submissions})
        return self._cases(answer)

    async def ask_jointly(self, submission: Mapping[str, Any]) -> "list[Case]":
        """Submits one message that asks for several rights."""
        return self._cases(await self.post("/v1/requests", json=submission))

    async def token(self, statement: Mapping[str, Any]) -> str:
        """Posts whom an event will be about; the token by which it names them."""
        answer = await self.post("/v1/subjects", json=statement)
        assert answer.is_success, answer.text
        return str(answer.json()["subject"])

    async def listed(self, path: str, **query: str) -> list[dict[str, Any]]:
        answer = await self.get(f"/v1/{path}", params=query)
        assert answer.is_success, answer.text
        return list(answer.json()["data"])

    async def mail(self, mail_id: str) -> dict[str, Any]:
        """A mail that came to the mailbox; empty once it is gone, since other scenarios dismiss theirs."""
        answer = await self.get(f"/v1/mail/{mail_id}")
        return {} if answer.status_code == httpx.codes.GONE else dict(answer.raise_for_status().json())

    async def confirm(self, mail_id: str, *rights: str, **said: Any) -> "list[Case]":
        """Makes requests of a mail."""
        answer = await self.decide(f"/v1/mail/{mail_id}", "confirm", {"rights": rights, **said})
        return [Case(self, each) for each in answer.raise_for_status().json()["requests"]]

    async def dismiss(self, mail_id: str, reason: str) -> None:
        """Says that a mail is no request."""
        (await self.decide(f"/v1/mail/{mail_id}", "dismiss", {"reason": reason})).raise_for_status()

    async def suppressed(self, *emails: str) -> list[str]:
        """Returns the answer of the suppression list for each address."""
        answer = await self.checked(*emails)
        assert answer.is_success, answer.text
        return list(answer.json()["answers"])

    async def accepted(self, submission: Mapping[str, Any], **headers: str) -> dict[str, Any]:
        """Returns the answer to a submission."""
        return dict((await self.post("/v1/requests", json=submission, headers=headers)).raise_for_status().json())

    async def found(self, text: str) -> list[str]:
        """Returns the requests that an officer finds by a person's data."""
        answer = (await self.post("/v1/requests/search", json={"text": text})).raise_for_status()
        return [each["request_id"] for each in answer.json()["data"]]

    async def letters_with(self, code: str, request_id: str) -> list[str]:
        """The kinds of letters that the code of the acknowledgement opens; none where they are not there for it."""
        answer = await self.get(f"/v1/requests/{request_id}/letters", headers={"Letter-Code": code} if code else {})
        return [each["kind"] for each in answer.json()["data"]] if answer.is_success else []

    def _cases(self, answer: httpx.Response) -> "list[Case]":
        assert answer.is_success, answer.text
        return [Case(self, each["request_id"]) for each in answer.json()["requests"]]


def _in_days(number: int) -> str:
    return str((datetime.now(UTC) + timedelta(number)).date())  # noqa: TID251  # the platform's clock is the machine's


@dataclass(frozen=True)
class Case:
    """A request as one client sees it."""

    door: Door
    request_id: str

    def seen_by(self, door: Door) -> "Case":
        """The same request, seen with another key."""
        return Case(door, self.request_id)

    async def view(self) -> dict[str, Any]:
        return await self.door.read(self.request_id)

    async def until(self, reached: str | Callable[[dict[str, Any]], bool], within: float = 180) -> dict[str, Any]:
        """Returns the request once it has that state, or fulfils the condition."""
        return await self.door.follow(self.request_id, reached, within=within)

    async def closed(self, within: float = 180) -> dict[str, Any]:
        return await self.until("closed", within)

    async def judged(self) -> dict[str, Any]:
        """Returns the request once a person must decide, or it is closed."""
        return await self.until(lambda view: view["state"] in {"awaiting_decision", "closed"})

    async def act(self, action: str, **body: Any) -> dict[str, Any]:
        """Takes one step with it; what is answered."""
        answer = await self.door.decide(self.request_id, action, body)
        assert answer.is_success, f"{action}: {answer.status_code} {answer.text}"
        return dict(answer.json())

    async def refused(self, action: str, **body: Any) -> str:
        """The type of the problem with which a step is refused."""
        answer = await self.door.decide(self.request_id, action, body)
        assert answer.is_client_error, f"{action}: {answer.status_code} {answer.text}"
        return str(answer.json()["type"].rpartition(":")[2])

    async def letters(self) -> list[dict[str, Any]]:
        """Its letters, in the order in which they were written."""
        return await self.door.letters(self.request_id)

    async def letter(self, kind: str, within: float = 240, *, number: int = 1) -> str:
        """The text of its first letter of that kind, or of another one by its number, once it is written."""

        def ready(view: dict[str, Any]) -> list[str]:
            return [" ".join(each["body"].split()) for each in view["data"] if each["kind"] == kind and each["ready"]]

        found = await self.door.follow(
            self.request_id, lambda view: len(ready(view)) >= number, "/letters", within=within
        )
        return ready(found)[number - 1]

    async def actions(self, awaited: str = "") -> list[str]:
        """Returns the actions in its timeline, once ``awaited`` is among them."""
        found = await self.door.follow(
            self.request_id, lambda view: not awaited or awaited in _actions(view), "/timeline", within=240
        )
        return _actions(found)

    async def verify(self, person: Person) -> None:
        """Enters that they have proved who they are."""
        await self.act("verify", **person.proof())

    async def answered_in_part(self, officer: Door, colleague: Door) -> None:
        """Two officers answer it with what is done by now."""
        why = {"reason": "SYSTEM_FAILED", "article": "12(4)", "explanation": "What is missing follows."}
        await self.seen_by(officer).act("decision", decision="answer_in_part", **why)
        await self.seen_by(colleague).act("decision/approval")

    async def question(self, asked: str) -> None:
        """Asks who they are (``identity``), or what they mean (``clarification``), so that the law stops the clock."""
        await self.act("question", question=asked, text="Which lines are yours?", condition_recorded=True)

    async def wrote(self, *kinds: str) -> None:
        """Waits until these are its letters, in this order, and no others."""

        async def written() -> bool:
            return [step[1] for step in await self.steps() if step[0] == "letter.written"] == [*kinds]

        try:
            await eventually(written, within=240, every=0.2)
        except TimeoutError as error:
            raise AssertionError(f"{await self.steps()} instead of {kinds}") from error

    async def did(self, action: str, *about: str, within: float = 240) -> None:
        """Waits until that is in its timeline, once."""

        async def found() -> int:
            return [step[: len(about) + 1] for step in await self.steps()].count((action, *about))

        assert await eventually(found, within, every=0.2) == 1

    async def recipients(self) -> dict[str, dict[str, Any]]:
        """Returns the state of each recipient's notice, by the policy's names."""
        found = (await self.door.read(self.request_id, "/recipients"))["data"]
        return {each["recipient"]: each for each in found}

    async def steps(self) -> list[tuple[str, ...]]:
        """Its timeline: each action, with the system and operation, or the kind of letter, that it is about."""
        entries = (await self.door.read(self.request_id, "/timeline"))["data"]
        named = ("system", "operation", "kind", "clock")
        return [
            (each["action"], *(str(each["detail"][name]) for name in named if name in each["detail"]))
            for each in entries
        ]

    async def certificate(self) -> dict[str, Any]:
        """Its signed certificate."""
        return await self.door.read(self.request_id, "/certificate")

    async def package(self) -> "Package":
        """The package of a copy."""
        return Package(await self.door.download(self.request_id, "package"))


def _actions(timeline: Mapping[str, Any]) -> list[str]:
    return [entry["action"] for entry in timeline["data"]]


class Package:
    """A downloaded package: a ZIP file with tables, all records as JSON, and a report."""

    def __init__(self, content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist()}

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files["data.jsonl"].splitlines()]

    def of(self, system: str) -> list[dict[str, Any]]:
        """The data of a system's records."""
        return [each["data"] for each in self.records if each["system"] == system]

    def table(self, category: str) -> list[dict[str, str]]:
        """The rows of a category's table."""
        return list(csv.DictReader(io.StringIO(self.files[f"{category}.csv"].decode())))

    def mentions(self, *values: str) -> list[str]:
        """Returns which of the values appear anywhere in it."""
        everything = b"\n".join(self.files.values()).decode(errors="replace")
        return [value for value in values if value in everything]


def tasks(view: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the last task of each system."""
    return {task["system"]: task for task in view["tasks"]}


def failure(view: Mapping[str, Any], system: str) -> str:
    """Returns why a system failed; empty if it did not."""
    return next((task["failure"] for task in view["tasks"] if task["system"] == system and task.get("failure")), "")
