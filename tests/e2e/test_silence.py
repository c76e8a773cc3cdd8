"""Nobody is left in silence: a question, the last notice, a closure, a late answer, and the request is fulfilled."""

from datetime import timedelta

from deploy.local import postgres_databases as databases
from shared.domain.clock import SystemClock
from tests.fixtures.live import PROOF, Live, move, recorded
from tests.fixtures.stores import NUMBER_PROVED

AGO = timedelta(days=20)


async def test_a_request_that_nobody_confirmed_is_closed_with_a_notice_and_fulfilled_after_a_late_answer(
    live: Live,
) -> None:
    subject = live.somebody()
    received_at = SystemClock().now() - timedelta(days=29)
    submission = subject.submission(assurance=None, received_at=received_at.isoformat())
    async with live.api() as client, live.api(live.privacy) as officer:
        request_id = await client.submit(submission)
        await move(officer, request_id, "question", question="identity", text="Is this you?", condition_recorded=True)
        await recorded(client, request_id, "deadline.question_sent")
        await _asked_long_ago(live.dsn, request_id)
        silent = await client.follow(request_id, "closed")
        await recorded(client, request_id, "deadline.stopped")
        untouched = await live.stores.count("calls", "caller = $1", subject.phone)
        kinds = [letter["kind"] for letter in (await client.read(request_id, "/letters"))["letters"]]

        verified = await move(client, request_id, "verify", assurance=PROOF, proofs=NUMBER_PROVED)
        reopened = await client.read(request_id)
        final = await client.follow(request_id, lambda view: view["outcome"] == "fulfilled")
        actions = [entry["action"] for entry in await recorded(client, request_id, "key.shredded")]
        certificate = await client.read(request_id, "/certificate")

    assert (silent["outcome"], silent["resumable"], untouched) == ("unidentified", True, 50)
    assert kinds == ["acknowledgement", "identity_question", "identity_last_notice"]
    assert verified["state"] == "in_progress"
    assert reopened["due_on"] > silent["due_on"]
    assert (final["due_on"], final["resumable"]) == (reopened["due_on"], False)
    assert await live.stores.count("calls", "caller = $1", subject.phone) == 0
    assert certificate["request"]["outcome"] == "fulfilled"
    assert actions.count("request.closed") == 2
    in_order = ["deadline.question_unanswered", "question.given_up", "request.reopened", "key.shredded"]
    assert [action for action in actions if action in in_order] == in_order


async def _asked_long_ago(dsn: str, request_id: str) -> None:
    """Lets the time pass in which nobody answered."""
    for moved in (
        "intake.request SET asked_at = asked_at - $2::interval",
        "deadline.question SET asked_at = asked_at - $2::interval, next_notice_at = asked_at",
    ):
        statement = f"UPDATE {moved} WHERE request_id = $1 RETURNING request_id"
        assert len(await databases.fetch(dsn, statement, request_id, AGO)) == 1
