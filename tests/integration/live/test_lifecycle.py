"""What people do with a request after it was submitted."""

from tests.fixtures.live import PROOF, Live, move
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
