"""Nobody is left in silence: a question, the last notice, a closure, a late answer, and the request is fulfilled."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import httpx

from shared.domain.clock import SystemClock
from tests.fixtures.live import PATIENCE, Live

AGO = timedelta(days=20)


async def test_a_request_that_nobody_confirmed_is_closed_with_a_notice_and_fulfilled_after_a_late_answer(
    live: Live,
) -> None:
    subject = live.somebody()
    received_at = SystemClock().now() - timedelta(days=29)
    submission = {**subject.submission(), "assurance": None, "received_at": received_at.isoformat()}
    async with live.api() as client, live.api(live.privacy) as officer:
        request_id = await client.submit(submission)
        path = f"/v1/requests/{request_id}"
        asked = {"question": "identity", "text": "Is this you?", "condition_recorded": True}
        (await officer.post(f"{path}/question", json=asked)).raise_for_status()
        await _on_record(client, path, "deadline.question_sent")
        await _asked_long_ago(live.dsn, request_id)
        silent = await client.follow(request_id, "closed")
        await _on_record(client, path, "deadline.stopped")
        untouched = await live.count("calls", "caller = $1", subject.phone)
        kinds = [letter["kind"] for letter in (await client.get(f"{path}/letters")).json()["letters"]]

        proof = {"assurance": {"level": "L2", "method": "account"}}
        verified = await client.post(f"{path}/verify", json=proof)
        reopened = (await client.get(path)).json()
        final = await client.follow(request_id, lambda view: view["outcome"] == "fulfilled")
        actions = await _on_record(client, path, "key.shredded")
        certificate = (await client.get(f"{path}/certificate")).json()

    assert (silent["outcome"], silent["resumable"], untouched) == ("unidentified", True, 50)
    assert kinds == ["identity_question", "identity_last_notice"]
    assert verified.json()["state"] == "in_progress"
    assert reopened["due_on"] > silent["due_on"]
    assert (final["due_on"], final["resumable"]) == (reopened["due_on"], False)
    assert await live.count("calls", "caller = $1", subject.phone) == 0
    assert certificate["request"]["outcome"] == "fulfilled"
    assert actions.count("request.closed") == 2
    in_order = ["deadline.question_unanswered", "question.given_up", "request.reopened", "key.shredded"]
    assert [action for action in actions if action in in_order] == in_order


async def _asked_long_ago(dsn: str, request_id: str) -> None:
    """Lets the time pass in which nobody answered."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "UPDATE intake.request SET asked_at = asked_at - $2::interval WHERE request_id = $1", request_id, AGO
        )
        moved = await connection.execute(
            "UPDATE deadline.question SET asked_at = asked_at - $2::interval, next_notice_at = asked_at"
            " WHERE request_id = $1",
            request_id,
            AGO,
        )
    finally:
        await connection.close()
    assert moved == "UPDATE 1"


async def _on_record(client: httpx.AsyncClient, path: str, action: str) -> list[str]:
    """What was done so far, once this is among it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            entries: list[dict[str, Any]] = (await client.get(f"{path}/timeline")).raise_for_status().json()["entries"]
            actions = [entry["action"] for entry in entries]
            if action in actions:
                return actions
            await asyncio.sleep(0.02)  # the API has no push: following is asking again
