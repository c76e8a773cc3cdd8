"""What an answer that comes late does to a request that was closed without it."""

from tests.fixtures.engine import SetClock
from tests.fixtures.intake import LATER, PROOF, Intake


async def test_late_proof_reopens_with_the_remaining_time(intake: Intake, clock: SetClock, unidentified: str) -> None:
    await intake.unit_of_work.pool.execute("UPDATE request SET warning = 'due_in_3_days'")
    clock.at = LATER
    verified = await intake.channel.post(f"{unidentified}/verify", json=PROOF)
    shown = await intake.view(unidentified)
    letter = (await intake.letters(unidentified))[-1]
    said = await intake.published()
    certificate = await intake.channel.get(f"{unidentified}/certificate")

    assert verified.json()["state"] == "in_progress"
    assert (shown["outcome"], shown["closed_at"], shown["resumable"], shown["warning"]) == (None, None, False, None)
    assert shown["due_on"] == "2026-05-20"  # thirty days were left, and thirty days are a fresh commitment
    assert (letter["kind"], "20 May 2026" in letter["body"]) == ("reopened", True)
    assert await intake.types() == ["received", "question_sent", "closed", "reopened", "verified"]
    assert [event["due_on"] for event in said[-2:]] == ["2026-05-20"] * 2
    assert said[-2]["question_id"] == said[1]["question_id"]
    assert certificate.status_code == 409  # it is open again

    await intake.complete(unidentified)
    again = await intake.channel.post(f"{unidentified}/verify", json=PROOF)
    certificate = await intake.channel.get(f"{unidentified}/certificate")
    assert (again.status_code, again.json()["type"]) == (409, "urn:dsr:problem:illegal_transition")
    assert (certificate.json()["request"]["outcome"], (await intake.view(unidentified))["resumable"]) == (
        "fulfilled",
        False,
    )
    assert (await intake.actions(unidentified)).count("request.closed") == 2


async def test_proof_that_is_not_enough_reopens_nothing(intake: Intake, unidentified: str) -> None:
    weak = await intake.channel.post(
        f"{unidentified}/verify", json={"assurance": {"level": "L0", "method": "email_link"}}
    )
    reply = await intake.channel.post(f"{unidentified}/reply", json={"text": "It is me"})
    assert (weak.status_code, reply.status_code) == (400, 409)
    assert (await intake.view(unidentified))["outcome"] == "unidentified"


async def test_late_explanation_reopens_and_restarts_the_work(intake: Intake, clock: SetClock, partly: str) -> None:
    clock.at = LATER
    proof = await intake.channel.post(f"{partly}/verify", json=PROOF)
    replied = await intake.channel.post(
        f"{partly}/reply", json={"text": "everything", "received_at": "2026-04-18T08:00:00Z"}
    )
    (reopened, verified) = (await intake.published())[-2:]
    assert (proof.status_code, replied.json()["state"]) == (409, "in_progress")
    assert (reopened["type"], reopened["answered_at"]) == ("dsr.request.reopened.v1", "2026-04-18T08:00:00Z")
    assert (reopened["due_on"], verified["due_on"]) == ("2026-05-18", "2026-05-18")
    await intake.complete(partly)
    assert (await intake.view(partly))["outcome"] == "fulfilled"


async def test_an_explanation_that_comes_while_the_work_still_runs_makes_it_whole_again(intake: Intake) -> None:
    path = await intake.submit()
    await intake.give_up(path, "clarification")
    replied = await intake.channel.post(f"{path}/reply", json={"text": "everything"})
    await intake.complete(path)
    assert replied.json()["state"] == "in_progress"
    assert (await intake.view(path))["outcome"] == "fulfilled"
    assert "reopened" not in await intake.types()


async def test_who_no_longer_wants_it_withdraws_what_might_have_been_resumed(intake: Intake, unidentified: str) -> None:
    withdrawn = await intake.channel.post(f"{unidentified}/withdraw")
    late = await intake.channel.post(f"{unidentified}/verify", json=PROOF)
    closed = (await intake.published())[-1]
    shown = await intake.view(unidentified)
    assert (withdrawn.status_code, late.status_code) == (200, 409)
    assert (shown["outcome"], shown["resumable"]) == ("withdrawn", False)
    assert (closed["outcome"], closed["resumable"]) == ("withdrawn", False)
