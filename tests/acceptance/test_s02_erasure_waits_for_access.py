"""Scenario 2: one message asks for access and erasure; the erasure waits until the access is answered (G1, C9)."""

import asyncio
from itertools import permutations
from typing import Any

import pytest

from shared.domain.events import DeadlineApproaching
from shared.domain.rights import Outcome, Right
from shared.storage.keyring import Keyring
from tests.acceptance.waiting import CITY, MIA, batch, begun, look
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, Intake, id_of, running


@pytest.mark.parametrize("rights", [("access", "erasure"), ("erasure", "access"), ("portability", "erasure")])
async def test_erasure_begins_when_what_the_person_asked_to_see_is_answered(
    intake: Intake, rights: tuple[str, str]
) -> None:
    of = dict(zip(rights, await batch(intake, *rights), strict=True))
    erasure = of.pop("erasure")
    (seen,) = of.values()
    shown = await intake.view(erasure)
    assert await begun(intake, seen, erasure) == [True, False]
    assert (shown["state"], shown["awaits"]) == ("in_progress", [id_of(seen)])
    assert "We answer that first" in shown["answer"]

    await look(intake)  # again and again: nothing has ended
    assert await begun(intake, erasure) == [False]
    await intake.complete(seen)
    await look(intake)
    await look(intake)
    types = [event["type"] for event in await intake.published() if event["request_id"] == id_of(erasure)]
    assert types == [f"dsr.request.{what}.v1" for what in ("received", "postponed", "verified")]
    assert (await intake.view(erasure))["awaits"] == []
    assert (await intake.details(erasure, "erasure.begun")) == [{"cause": "answered"}]


@pytest.mark.parametrize("ends", ["withdraw", "give_up", "fail"])
async def test_it_waits_no_longer_however_that_ended_and_a_process_that_starts_anew_knows_it(
    intake: Intake, database: str, clock: SetClock, keys: Keyring, ends: str
) -> None:
    access = await intake.submit(subject=MIA)
    erasure = await intake.submit(right="erasure", subject=MIA)
    assert await begun(intake, erasure) == [False]
    match ends:
        case "withdraw":
            (await intake.channel.post(f"{access}/withdraw")).raise_for_status()
        case "give_up":
            await intake.give_up(access, "clarification")
            await intake.complete(access)
        case "fail":
            await intake.complete(access, outcome=Outcome.PARTIALLY_FULFILLED)
    async with running(database, clock, keys) as another:
        await look(another)
    assert await begun(intake, erasure) == [True]


async def test_the_person_may_waive_it_at_once_or_later_and_a_person_of_ours_may_decide(intake: Intake) -> None:
    await batch(intake, "access")
    at_once = await intake.submit(right="erasure", subject=MIA, at_once=True)
    later = await intake.submit(right="erasure", subject=MIA | {"name": "Mia Halm"})
    decided = await intake.submit(right="erasure", subject=MIA | {"sip_uri": "sip:mia@pbx.example.org"})
    assert await begun(intake, at_once, later, decided) == [True, False, False]
    retried = await intake.officer.post(f"{decided}/decision", json={"decision": "retry"})
    (await intake.channel.post(f"{later}/at-once")).raise_for_status()
    (await intake.officer.post(f"{decided}/decision", json={"decision": "begin"})).raise_for_status()
    assert retried.status_code == 409
    assert await begun(intake, later, decided) == [True, True]
    assert await intake.details(later, "erasure.begun") == [{"cause": "waived"}]
    assert (await intake.channel.post(f"{later}/at-once")).status_code == 409  # it has begun


async def test_seven_days_before_it_is_due_a_person_decides_and_an_answer_still_lets_it_begin(intake: Intake) -> None:
    access, erasure = await batch(intake, "access", "erasure")
    await intake.consume(a(DeadlineApproaching, about=id_of(erasure), right=Right.ERASURE, days_left=7))
    shown = await intake.view(erasure)
    assert (shown["state"], shown["awaits"]) == ("awaiting_decision", [id_of(access)])
    await intake.complete(access)
    await look(intake)
    assert (await intake.view(erasure))["state"] == "in_progress"
    assert await begun(intake, erasure) == [True]


async def test_proof_that_comes_later_does_not_pass_by_the_rule(intake: Intake) -> None:
    erasure = await intake.submit(right="erasure", subject=MIA, assurance=None)
    access = await intake.submit(subject=MIA)
    (await intake.channel.post(f"{erasure}/verify", json=PROOF)).raise_for_status()
    assert await begun(intake, access, erasure) == [True, False]


@pytest.mark.parametrize(
    "other",
    [
        {"email": "mia@example.org", "account_id": "C-8"},  # a shared address, another account
        {"email": "mia@example.org", "unproved": True},
        {"email": "noa@example.org", "phones": [{"number": "+493023125001"}]},
    ],
)
async def test_nobody_waits_for_a_stranger(intake: Intake, other: dict[str, Any]) -> None:
    proof = {"assurance": None} if other.pop("unproved", False) else PROOF
    await intake.submit(subject=other, **proof)
    mine = MIA | {"phones": [{"number": "+493023125001"}]}
    erasure = await intake.submit(right="erasure", subject=mine)
    assert await begun(intake, erasure) == [True]


async def test_in_any_order_of_requests_no_erasure_begins_while_an_earlier_access_is_open(intake: Intake) -> None:
    for number, order in enumerate(permutations(("access", "portability", "erasure", "rectification"))):
        who = {"account_id": f"P-{number}"}
        said = {"rectification": CITY}
        path = {right: await intake.submit(right=right, subject=who, **said.get(right, {})) for right in order}
        waits = order.index("erasure") > min(order.index("access"), order.index("portability"))
        assert await begun(intake, path["erasure"]) == [not waits]
        for right in ("access", "portability"):  # what was asked while it waited is waited for as well
            await look(intake)
            assert await begun(intake, path["erasure"]) == [not waits]
            await intake.complete(path[right])
        await look(intake)
        assert await begun(intake, path["erasure"]) == [True]


async def test_of_two_processes_at_once_none_lets_an_erasure_pass_an_access_that_was_accepted_before(
    intake: Intake, database: str, clock: SetClock, keys: Keyring
) -> None:
    async with running(database, clock, keys) as another:
        for number in range(12):
            who = {"account_id": f"T-{number}"}
            await asyncio.gather(
                intake.submit(subject=who),
                another.submit(right="erasure", subject=who),
                intake.submit(),
                another.submit(),
            )
    rows = await intake.unit_of_work.pool.fetch(
        "SELECT e.request_id, e.seq, r.\"right\", encode(r.proved_account, 'hex') AS account, r.postponed"
        " FROM evidence.entry e JOIN request r USING (request_id)"
        " WHERE e.action = 'request.received' AND r.proved_account IS NOT NULL ORDER BY e.seq"
    )
    assert len(rows) == 24
    accesses: set[str] = set()
    for row in rows:
        if row["right"] == "access":
            accesses.add(row["account"])
        else:
            assert row["postponed"] == (row["account"] in accesses)


async def test_the_acknowledgement_of_an_erasure_that_waits_says_for_what_and_how_to_have_it_begin_at_once(
    intake: Intake,
) -> None:
    access, erasure = await batch(intake, "access", "erasure")
    other = await intake.submit(right="erasure")
    said = {}
    for path in (access, erasure, other):
        (letter,) = (await intake.view(f"{path}/letters"))["letters"]
        assert letter["kind"] == "acknowledgement"
        said[path] = " ".join(letter["body"].split())
    assert "We are working on your request" in said[access]
    assert "We are working on your request" in said[other]
    assert "We are working" not in said[erasure]
    assert "We answer that first" in said[erasure]
    assert "If you do not want to wait for it, tell us so in the same way" in said[erasure]
    codes = {path: text.partition("this code: ")[2].split()[0] for path, text in said.items()}
    read = await intake.channel.get(f"{erasure}/letters", headers={"Letter-Code": codes[erasure]})
    assert read.status_code == 200
