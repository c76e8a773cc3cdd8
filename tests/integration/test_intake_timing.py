"""What moves the time limit of a request: questions, their answers, extensions; and the letters that say so."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from services.intake import handlers
from services.intake.api import app
from services.intake.auth import create
from shared.app.service import Running
from shared.domain.events import DeadlineApproaching, DeadlineOverdue, FulfilmentCompleted, TargetMissed
from shared.domain.operations import Operation
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import Settings
from shared.storage.keyring import Keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault
from tests.fixtures.engine import TRACING, SetClock
from tests.fixtures.told import Count

SECRET = "Ada Quarzfels called twice"
LATE = datetime(2026, 4, 1, 22, tzinfo=UTC)  # the commitment ended at the end of 1 April in Berlin
PROPOSAL = {"reason": "REDACTION_THIRD_PARTY", "explanation": SECRET, "new_due": "2026-05-29"}


@dataclass
class Door:
    """The API over a database, as a channel and two people of the privacy team see it."""

    harness: UnitOfWorkFactory
    channel: httpx.AsyncClient
    officer: httpx.AsyncClient
    colleague: httpx.AsyncClient

    async def submit(self, **changed: object) -> str:
        submission = {
            "right": "access",
            "subject": {"email": "ada@example.org", "country": "DE"},
            "assurance": {"level": "L2", "method": "account"},
            **changed,
        }
        answer = await self.channel.post("/v1/requests", json=submission)
        assert answer.status_code == 201, answer.text
        return f"/v1/requests/{answer.json()['request_id']}"

    async def said(self) -> list[dict[str, Any]]:
        rows = await self.harness.pool.fetch("SELECT value FROM outbox ORDER BY position")
        return [json.loads(row["value"]) for row in rows]


@pytest.fixture
async def door(database: str, clock: SetClock, keys: Keyring) -> AsyncIterator[Door]:
    async with await connect_pool(PostgresSettings(dsn=database), ServiceName.INTAKE) as pool:
        harness = UnitOfWorkFactory(pool, ServiceName.INTAKE, clock, Vault(keys))
        running = Running(Settings.__new__(Settings), harness, TRACING, Heartbeats(), asyncio.Event())
        transport = httpx.ASGITransport(app.build(running))
        clients = []
        for role in ("channel", "privacy", "privacy"):
            key = await create(database, role, clock.now())
            headers = {"Authorization": f"Bearer {key}"}
            clients.append(httpx.AsyncClient(transport=transport, base_url="http://intake", headers=headers))
        yield Door(harness, *clients)
        for client in clients:
            await client.aclose()


async def test_two_persons_extend_a_request_and_the_subject_reads_why_and_until_when(door: Door) -> None:
    path = await door.submit()
    proposed = await door.officer.post(f"{path}/extension", json=PROPOSAL)
    before = (await door.channel.get(path)).json()
    approved = await door.colleague.post(f"{path}/extension/approval")
    after = (await door.channel.get(path)).json()
    (letter,) = (await door.channel.get(f"{path}/letters")).json()["letters"]
    timeline = (await door.channel.get(f"{path}/timeline")).json()["entries"]

    assert (proposed.status_code, before["due_on"]) == (200, "2026-04-01")
    assert (approved.status_code, approved.json()["due_on"], after["due_on"]) == (200, "2026-05-29", "2026-05-29")
    assert letter["kind"] == "extension"
    for words in ("29 May 2026", SECRET, "other people", "Bundesbeauftragte", "complaint", "judicial remedy"):
        assert words in letter["body"]
    actions = [entry["action"] for entry in timeline]
    assert actions == ["request.received", "extension.proposed", "letter.written", "extension.approved"]
    event = (await door.said())[-1]
    assert (event["type"], event["due_on"], event["reason"]) == (
        "dsr.request.extended.v1",
        "2026-05-29",
        "REDACTION_THIRD_PARTY",
    )


async def test_what_people_wrote_about_people_stands_in_the_vault_alone(door: Door, database: str) -> None:
    path = await door.submit()
    await door.officer.post(f"{path}/extension", json=PROPOSAL)
    await door.colleague.post(f"{path}/extension/approval")
    asked = {"question": "clarification", "text": SECRET, "condition_recorded": True}
    assert (await door.officer.post(f"{path}/question", json=asked)).status_code == 200
    assert (await door.channel.post(f"{path}/reply", json={"text": SECRET})).status_code == 200
    connection = await asyncpg.connect(database)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('intake', 'vault', 'evidence')"
        )
        rows = [str(row[0]) for table in tables for row in await connection.fetch(f"SELECT t::text FROM {table[0]} t")]
    finally:
        await connection.close()
    assert len(rows) > 8
    assert not [row for row in rows if "Quarzfels" in row or b"Quarzfels".hex() in row]


@pytest.mark.parametrize(
    ("changed", "flaw"),
    [
        ({"reason": "WORKLOAD"}, "reason_not_allowed"),
        ({"explanation": "  "}, "no_explanation"),
        ({"new_due": "2026-06-03"}, "date_too_late"),
        ({"new_due": "2026-04-01"}, "date_not_later"),
    ],
)
async def test_an_extension_that_the_law_does_not_allow_is_refused_and_the_dates_stay(
    door: Door, changed: dict[str, str], flaw: str
) -> None:
    path = await door.submit()
    count = Count("dsr_extensions_refused_total", flaw=flaw)
    refused = await door.officer.post(f"{path}/extension", json={**PROPOSAL, **changed})
    nothing = await door.colleague.post(f"{path}/extension/approval")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:dsr:problem:extension_refused")
    assert flaw in refused.json()["detail"]
    assert nothing.status_code == 409
    assert count.added == 1
    assert (await door.channel.get(path)).json()["due_on"] == "2026-04-01"


async def test_nobody_approves_what_they_proposed_and_a_channel_neither_proposes_nor_approves(door: Door) -> None:
    path = await door.submit()
    await door.officer.post(f"{path}/extension", json=PROPOSAL)
    same = await door.officer.post(f"{path}/extension/approval")
    channel = [
        (await door.channel.post(f"{path}/extension", json=PROPOSAL)).status_code,
        (await door.channel.post(f"{path}/extension/approval")).status_code,
    ]
    assert (same.status_code, "same_person" in same.json()["detail"], channel) == (409, True, [403, 403])
    assert (await door.channel.get(f"{path}/letters")).json()["letters"] == []


async def test_an_approval_after_the_commitment_ended_is_refused(door: Door, clock: SetClock) -> None:
    path = await door.submit()
    await door.officer.post(f"{path}/extension", json=PROPOSAL)
    clock.at = LATE
    late = await door.colleague.post(f"{path}/extension/approval")
    assert (late.status_code, "notice_too_late" in late.json()["detail"]) == (409, True)
    assert (await door.channel.get(path)).json()["due_on"] == "2026-04-01"


async def test_a_request_is_extended_once(door: Door) -> None:
    path = await door.submit()
    await door.officer.post(f"{path}/extension", json=PROPOSAL)
    await door.colleague.post(f"{path}/extension/approval")
    again = [
        await door.officer.post(f"{path}/extension", json=PROPOSAL),
        await door.colleague.post(f"{path}/extension/approval"),
    ]
    assert [(one.status_code, "already_extended" in one.json()["detail"]) for one in again] == [(409, True)] * 2
    assert len((await door.channel.get(f"{path}/letters")).json()["letters"]) == 1


async def test_a_clarification_lets_the_work_go_on_and_the_request_closes_with_the_answer(door: Door) -> None:
    path = await door.submit()
    asked = {"question": "clarification", "text": "Which of your numbers?", "condition_recorded": True}
    waiting = await door.officer.post(f"{path}/question", json=asked)
    twice = await door.officer.post(f"{path}/question", json=asked)
    await _complete(door, path)
    meanwhile = (await door.channel.get(path)).json()
    replied = await door.channel.post(f"{path}/reply", json={"text": "everything"})
    (letter,) = (await door.channel.get(f"{path}/letters")).json()["letters"]

    assert (waiting.json()["state"], twice.status_code) == ("awaiting_clarification", 409)
    assert (meanwhile["state"], meanwhile["outcome"]) == ("awaiting_clarification", None)
    assert replied.json()["state"] == "closed"
    assert (await door.channel.get(path)).json()["outcome"] == "fulfilled"
    assert "Which of your numbers?" in letter["body"]
    types = [event["type"].split(".")[2] for event in await door.said()]
    assert types == ["received", "verified", "question_sent", "question_answered", "closed"]


async def test_a_clarification_that_is_answered_before_the_work_ends_closes_with_the_work(door: Door) -> None:
    path = await door.submit()
    asked = {"question": "clarification", "text": "Which of your numbers?"}
    await door.officer.post(f"{path}/question", json=asked)
    replied = await door.channel.post(f"{path}/reply", json={"text": "everything"})
    await _complete(door, path)
    assert replied.json()["state"] == "in_progress"
    assert (await door.channel.get(path)).json()["outcome"] == "fulfilled"


@pytest.mark.parametrize(("minutes", "status"), [(5, 200), (6, 400)])
async def test_a_reply_may_be_as_far_ahead_of_our_clock_as_a_request(
    door: Door, clock: SetClock, minutes: int, status: int
) -> None:
    path = await door.submit()
    await door.officer.post(f"{path}/question", json={"question": "clarification", "text": "Which?"})
    received_at = (clock.now() + timedelta(minutes=minutes)).isoformat()
    replied = await door.channel.post(f"{path}/reply", json={"text": "everything", "received_at": received_at})
    assert replied.status_code == status


async def test_proof_of_identity_answers_the_question_about_it(door: Door) -> None:
    path = await door.submit(assurance=None)
    early = await door.channel.post(f"{path}/reply", json={"text": "It is me"})
    asked = await door.officer.post(
        f"{path}/question", json={"question": "identity", "text": "Please confirm.", "condition_recorded": True}
    )
    verified = await door.channel.post(f"{path}/verify", json={"assurance": {"level": "L2", "method": "account"}})
    assert (early.status_code, asked.json()["state"], verified.json()["state"]) == (
        409,
        "awaiting_identity",
        "in_progress",
    )
    types = [event["type"].split(".")[2] for event in await door.said()]
    assert types == ["received", "question_sent", "question_answered", "verified"]


async def test_requests_are_counted_as_they_are_accepted_identified_and_closed(door: Door, clock: SetClock) -> None:
    accepted, needed, verified = (
        Count("dsr_requests_total", right="access", event=what)
        for what in ("accepted", "identity_needed", "identity_verified")
    )
    closed = Count("dsr_requests_closed_total", right="access", outcome="fulfilled")
    open_for = Count("dsr_request_open_seconds_sum", right="access")
    unknown, known = await door.submit(assurance=None), await door.submit()
    assert (accepted.added, needed.added, verified.added, closed.added) == (2, 1, 0, 0)
    await door.channel.post(f"{unknown}/verify", json={"assurance": {"level": "L2", "method": "account"}})
    clock.pass_by(hours=2)
    await _complete(door, known)
    assert (accepted.added, needed.added, verified.added, closed.added) == (2, 1, 1, 1)
    assert open_for.added == 7200


async def _complete(door: Door, path: str) -> None:
    event = FulfilmentCompleted.model_validate(
        {
            "request_id": path.rpartition("/")[2],
            "occurred_at": door.harness.clock.now(),
            "right": Right.ACCESS,
            "operation": Operation.EXPORT,
            "outcome": Outcome.FULFILLED,
            "tasks": (),
        }
    )
    async with door.harness.begin() as tx:
        await handlers.complete([event], tx)


async def test_a_missed_target_is_shown_and_never_hides_a_graver_warning(door: Door, clock: SetClock) -> None:
    path = await door.submit()
    about: dict[str, object] = {
        "request_id": path.rpartition("/")[2],
        "occurred_at": clock.now(),
        "right": "access",
        "due_on": clock.now().date(),
        "target_on": clock.now().date(),
        "escalate_to": "team_lead",
    }
    shown: list[str] = []
    for event in (
        TargetMissed.model_validate({**about, "target": "triage"}),
        TargetMissed.model_validate({**about, "target": "collection"}),
        DeadlineApproaching.model_validate({**about, "days_left": 7}),
        TargetMissed.model_validate({**about, "target": "review"}),
        DeadlineOverdue.model_validate({**about, "clock": "commitment"}),
        TargetMissed.model_validate({**about, "target": "review"}),
    ):
        async with door.harness.begin() as tx:
            match event:
                case TargetMissed():
                    await handlers.warn_of_target([event], tx)
                case _:
                    await handlers.warn([event], tx)
        shown.append((await door.channel.get(path)).json()["warning"])
    assert shown == ["target_triage", "target_collection", *["due_in_7_days"] * 2, *["overdue_commitment"] * 2]
