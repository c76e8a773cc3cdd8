"""A decision is made for a version of a request: once, however often it is sent, and not if that has changed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from shared.domain.events import FulfilmentBlocked
from shared.storage.keyring import Keyring
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, PROPOSAL, REASONS, WORDS, Intake, beyond, id_of, running

Prepare = Callable[[Intake], Awaitable[str]]
QUESTION = {"question": "clarification", "text": WORDS}
RECEIPT = {"received_at": "2026-02-20T09:00:00+01:00", "reason": "the letter lay in another tray"}


async def begun(intake: Intake) -> str:
    return await intake.submit()


async def unknown(intake: Intake) -> str:
    subject = {"email": "ada@example.org", "account_id": "C-17", "country": "DE"}
    return await intake.submit(assurance=None, subject=subject)


async def theirs(intake: Intake) -> str:
    return await intake.submit(assurance=None, role="processor")


async def restricted(intake: Intake) -> str:
    path = await intake.submit(right="restriction", ground="unlawful")
    await intake.complete(path, outcome="fulfilled")
    return path


async def blocked(intake: Intake) -> str:
    path = await intake.submit()
    await intake.consume(a(FulfilmentBlocked, about=id_of(path)))
    return path


async def stopped(intake: Intake) -> str:
    path = await intake.submit()
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(beyond(3_000),)))
    return path


async def asked(intake: Intake) -> str:
    path = await intake.submit()
    await intake.ask(path, "clarification")
    return path


async def proposed(intake: Intake) -> str:
    path = await intake.submit()
    (await intake.colleague.post(f"{path}/extension", json=PROPOSAL)).raise_for_status()
    return path


IN_PART = {"decision": "answer_in_part", **REASONS["answer_in_part"]}


async def answered(intake: Intake) -> str:
    """A request of which the colleague has proposed how to answer it."""
    path = await blocked(intake)
    (await intake.colleague.post(f"{path}/decision", json=IN_PART)).raise_for_status()
    return path


DECISIONS: list[tuple[Prepare, str, dict[str, Any] | None]] = [
    (unknown, "verify", {"assurance": {"level": "L2", "method": "in_person"}}),
    (begun, "withdraw", None),
    (blocked, "decision", {"decision": "retry"}),
    (blocked, "decision", IN_PART),
    (answered, "decision/approval", None),
    (stopped, "confirmation", {"system": "billing", "limit": "max_rows"}),
    (restricted, "lift", None),
    (theirs, "forward", {"controller": "Harbour Cranes Ltd"}),
    (begun, "question", QUESTION),
    (asked, "reply", {"text": "everything"}),
    (begun, "receipt", RECEIPT),
    (begun, "extension", PROPOSAL),
    (proposed, "extension/approval", None),
]


async def version_of(intake: Intake, path: str) -> dict[str, str]:
    return {"If-Match": (await intake.channel.get(path)).headers["ETag"]}


async def done(intake: Intake, path: str) -> list[object]:
    """Everything that a decision can bring about."""
    sealed = await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM vault.sealed")
    shown = await intake.officer.get(path)
    letters = await intake.letters(path)  # which is on record, and none of it
    evidence = [entry for entry in await intake.evidence(path) if entry["action"] != "letters.read"]
    return [shown.headers["ETag"], shown.json(), await intake.published(), evidence, letters, sealed]


def status_and_problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


async def test_a_decision_is_made_once_for_the_version_that_it_names(intake: Intake, subtests: pytest.Subtests) -> None:
    for prepare, step, body in DECISIONS:
        with subtests.test(step, body=body):
            path = await prepare(intake)
            stale = await version_of(intake, path)
            await intake.unit_of_work.pool.execute("UPDATE request SET version = version + 1")
            before = await done(intake, path)
            hooks, intake.officer.event_hooks = intake.officer.event_hooks, {}
            unnamed = await intake.officer.post(f"{path}/{step}", json=body)
            intake.officer.event_hooks = hooks
            whichever = await intake.officer.post(f"{path}/{step}", json=body, headers={"If-Match": "*"})
            late = await intake.officer.post(f"{path}/{step}", json=body, headers=stale)
            assert status_and_problem(unnamed) == status_and_problem(whichever) == (428, "precondition_required")
            assert (status_and_problem(late), "ETag" in late.headers) == ((412, "precondition_failed"), False)
            assert await done(intake, path) == before

            version = await version_of(intake, path)
            first = await intake.officer.post(f"{path}/{step}", json=body, headers=version)
            after = await done(intake, path)
            second = await intake.officer.post(f"{path}/{step}", json=body, headers=version)
            assert (first.status_code, second.status_code) == (200, 200), first.text
            assert (second.json(), second.headers["ETag"]) == (first.json(), first.headers["ETag"])
            assert first.headers["ETag"] == after[0] != version["If-Match"]
            assert await done(intake, path) == after


async def test_what_is_no_version_of_ours_is_refused(intake: Intake, subtests: pytest.Subtests) -> None:
    path = await intake.submit()
    for tag in ("", "1", 'W/"1"', '"1", "2"', '"01"', '"0"', '"x"', f'"{10**18}"'):
        refused = await intake.channel.post(f"{path}/withdraw", headers={"If-Match": tag})
        with subtests.test(tag):
            assert status_and_problem(refused) == (400, "bad_request")


async def test_another_decision_on_the_same_version_is_refused_whoever_makes_it(intake: Intake) -> None:
    path = await blocked(intake)
    version = await version_of(intake, path)
    retry = {"decision": "retry"}
    (await intake.officer.post(f"{path}/decision", json=retry, headers=version)).raise_for_status()
    after = await done(intake, path)
    others = [
        await intake.officer.post(f"{path}/decision", json=IN_PART, headers=version),
        await intake.officer.post(f"{path}/withdraw", headers=version),
        await intake.colleague.post(f"{path}/decision", json=retry, headers=version),
    ]
    assert {status_and_problem(other) for other in others} == {(412, "precondition_failed")}
    assert await done(intake, path) == after


async def test_a_decision_that_was_refused_may_be_made_on_the_same_version_once_it_is_mended(intake: Intake) -> None:
    path = await unknown(intake)
    version = await version_of(intake, path)
    weak = {"assurance": {"level": "L0", "method": "email_link"}}
    answers = [
        await intake.channel.post(f"{path}/verify", json=proof, headers=version) for proof in (weak, weak, PROOF)
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 200]


async def test_what_the_services_report_makes_another_version(intake: Intake) -> None:
    path = await begun(intake)
    version = await version_of(intake, path)
    await intake.complete(path)
    withdrawn = await intake.channel.post(f"{path}/withdraw", headers=version)
    assert status_and_problem(withdrawn) == (412, "precondition_failed")


async def test_who_may_not_decide_is_told_so_whatever_version_they_name(intake: Intake) -> None:
    path = await restricted(intake)
    intake.channel.event_hooks = {}
    lift = f"{path}/lift"
    forbidden = [await intake.channel.post(lift, headers=named) for named in ({}, {"If-Match": '"1"'})]
    unauthorised = await intake.channel.post(lift, headers={"Authorization": "Bearer nonsense"})
    assert {status_and_problem(answer) for answer in forbidden} == {(403, "forbidden")}
    assert status_and_problem(unauthorised) == (401, "unauthorised")


async def test_concurrent_lifts_are_done_once(intake: Intake, database: str, clock: SetClock, keys: Keyring) -> None:
    path = await restricted(intake)
    headers = {**intake.officer.headers, **await version_of(intake, path)}
    async with running(database, clock, keys) as other:
        answers = await asyncio.gather(
            *(each.officer.post(f"{path}/lift", headers=headers) for each in (intake, other))
        )
    async with running(database, clock, keys) as restarted:
        answers.append(await restarted.officer.post(f"{path}/lift", headers=headers))
    assert {(answer.status_code, answer.text, answer.headers["ETag"]) for answer in answers} == {
        (200, answers[0].text, answers[0].headers["ETag"])
    }
    assert (await intake.types()).count("lift_decided") == 1
    assert (await intake.actions(path)).count("restriction.lift_decided") == 1
