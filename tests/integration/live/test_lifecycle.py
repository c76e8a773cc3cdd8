"""What people do with a request after it was submitted."""

import asyncio

from tests.fixtures.live import PROOF, Live, in_part, move
from tests.fixtures.stores import NUMBER_PROVED, SINCE


async def test_a_request_waits_until_its_requester_is_identified_and_then_runs(live: Live) -> None:
    submission = live.somebody().submission("access", assurance=None)
    weak = {"assurance": {"level": "L0", "method": "email_link"}}
    async with live.api() as client:
        request_id = await client.submit(submission)
        waiting = await client.follow(request_id, "awaiting_identity")
        not_enough = await client.decide(request_id, "verify", weak)
        enough = {"assurance": {"level": "L2", "method": "signed_in_mfa"}, "proofs": NUMBER_PROVED}
        verified = await client.decide(request_id, "verify", enough)
        closed = await client.follow(request_id, "closed")
        again = await client.decide(request_id, "verify", enough)

    assert "sure that it comes from you" in str(waiting["answer"])
    assert (not_enough.status_code, verified.json()["state"]) == (400, "in_progress")
    assert closed["outcome"] == "fulfilled"
    assert again.json()["type"] == "urn:dsr:problem:illegal_transition"


async def test_an_erasure_begins_with_what_is_proved_and_touches_no_call_until_that_is_proved_too(live: Live) -> None:
    subject = live.somebody()
    linked = [{"identity": "email", "method": "email_link", "on_file_since": SINCE.isoformat()}]
    async with live.api() as client:
        request_id = await client.submit(subject.submission(assurance=None, proofs=linked))
        waiting = await client.follow(request_id, "awaiting_identity")
        tickets = await live.stores.count("tickets", "requester = $1", subject.email)
        calls = await live.stores.count("calls", "caller = $1", subject.phone)
        kinds = [letter["kind"] for letter in (await client.read(request_id, "/letters"))["letters"]]
        await move(client, request_id, "verify", assurance=PROOF, proofs=NUMBER_PROVED)
        closed = await client.follow(request_id, "closed")

    lacks = {task["system"]: task.get("level") for task in waiting["tasks"] if task.get("not_searched") == "not_proved"}
    assert lacks == {"calls": "L2", "customers": "L1"}
    assert (tickets, calls, kinds) == (0, 50, ["acknowledgement", "proof_question"])
    assert closed["outcome"] == "fulfilled"
    assert await live.stores.count("calls", "caller = $1", subject.phone) == 0
    assert await live.stores.count("customers", "account_id = $1", subject.account_id) == 0


async def test_a_store_that_lost_a_table_stops_the_request_until_a_person_decides(live: Live) -> None:
    subject = live.somebody()
    async with live.api() as client, live.api(live.privacy) as officer:
        async with live.lost("tickets"):
            request_id = await client.submit(subject.submission())
            blocked = await client.follow(request_id, "awaiting_decision")
        decided = await move(officer, request_id, "decision", decision="retry")
        closed = await client.follow(request_id, "closed")

    failures = {task["system"]: task.get("failure") for task in blocked["tasks"]}
    assert failures == {"customers": None, "calls": None, "tickets": "table_missing"}
    assert decided["state"] == "in_progress"
    assert closed["outcome"] == "fulfilled"
    assert await live.stores.count("tickets", "requester = $1", subject.email) == 0


async def test_two_persons_may_answer_in_part_what_cannot_be_done(live: Live) -> None:
    colleague_key = await asyncio.to_thread(live.services.key, "privacy")
    async with live.api() as client, live.api(live.privacy) as officer, live.api(colleague_key) as colleague:
        async with live.lost("customers"):
            request_id = await client.submit(live.somebody().submission())
            await client.follow(request_id, "awaiting_decision")
        await in_part(officer, colleague, request_id)
        view = await client.follow(request_id, "closed")

    assert view["outcome"] == "partially_fulfilled"
    assert "customers" in str(view["answer"])
