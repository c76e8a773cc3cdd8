"""Scenario 2: one message asks for access and erasure; the erasure waits until the access is answered (G1, C9)."""

import asyncio
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.intake.letters import Letters
from services.intake.postponed import begin_what_may
from shared.domain.events import DeadlineApproaching, FulfilmentPostponed
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.precedence import Kind, Marks
from shared.domain.rights import Outcome, Right
from shared.storage import open_requests
from shared.storage.keyring import Keyring
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, Intake, id_of, running

MIA: dict[str, object] = {"email": "mia@example.org", "account_id": "C-7", "country": "DE"}
CITY = {"changes": [{"field": "address.city", "asserted": "Potsdam"}]}


async def batch(intake: Intake, *rights: str, **said: object) -> list[str]:
    """One message that asks for several rights."""
    asked = [{"right": right, "subject": MIA, **PROOF, **said} for right in rights]
    answer = (await intake.channel.post("/v1/requests/batch", json={"requests": asked})).raise_for_status()
    return [f"/v1/requests/{each['request_id']}" for each in answer.json()["requests"]]


async def begun(intake: Intake, *paths: str) -> list[bool]:
    """Of which of these requests work may begin."""
    events = await intake.published()
    verified = {event["request_id"] for event in events if event["type"] == "dsr.request.verified.v1"}
    return [id_of(path) in verified for path in paths]


async def look(intake: Intake) -> None:
    await begin_what_may(intake.unit_of_work, Letters())


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


COPIED, AWAY = (
    TaskReport(task_id=uuid7(), system=system, operation=Operation.EXPORT, outcome=outcome, failure=failure)
    for system, outcome, failure in (("crm", TaskOutcome.EXPORTED, None), ("cdr", None, "away"))
)


async def yielding(intake: Intake, erasure: str, *others: str, opposed: bool = False) -> None:
    """The erasure service has located whose data they are, and erased nothing."""
    awaits = tuple(map(id_of, others))
    about = {"about": id_of(erasure), "right": Right.ERASURE, "operation": Operation.ERASE}
    await intake.consume(a(FulfilmentPostponed, **about, awaits=awaits, opposed=opposed))


async def said_of(intake: Intake, path: str) -> list[str]:
    return [event["type"].split(".")[2] for event in await intake.published() if event["request_id"] == id_of(path)]


async def test_a_part_of_a_copy_that_is_still_owed_is_waited_for(intake: Intake) -> None:
    access = await intake.submit(subject=MIA)
    await intake.decide(access)
    await intake.report(access, COPIED, AWAY)
    erasure = await intake.submit(right="erasure", subject=MIA)
    assert (await intake.view(erasure))["awaits"] == [id_of(access)]
    await look(intake)
    assert await begun(intake, erasure) == [False]
    await intake.complete(access, tasks=(AWAY.model_copy(update={"failure": None, "outcome": "exported"}),))
    await look(intake)
    assert await begun(intake, erasure) == [True]


async def test_an_erasure_that_finds_somebodys_other_address_waits_for_what_was_asked_by_that(intake: Intake) -> None:
    access = await intake.submit(subject={"email": "mia.h@example.org"})
    erasure = await intake.submit(right="erasure", subject=MIA)
    assert await begun(intake, erasure) == [True]
    await yielding(intake, erasure, access)
    shown = await intake.view(erasure)
    assert (shown["state"], shown["awaits"]) == ("in_progress", [id_of(access)])
    await look(intake)
    await intake.complete(access)
    await look(intake)
    await look(intake)
    assert await said_of(intake, erasure) == ["received", "verified", "postponed", "retry_decided"]


async def test_a_restriction_opposes_an_erasure_until_one_of_ours_has_found_out_which_holds(intake: Intake) -> None:
    restriction = await intake.submit(right="restriction", ground="needed_for_claims", subject=MIA)
    await intake.complete(restriction, operation=Operation.RESTRICT)
    erasure = await intake.submit(right="erasure", subject=MIA)
    await yielding(intake, erasure, restriction, opposed=True)
    shown = await intake.view(erasure)
    assert (shown["state"], shown["awaits"]) == ("awaiting_decision", [id_of(restriction)])
    assert "which of the two you want" in shown["answer"]
    assert "`begin`, which ends the restriction" in shown["waits_for"]
    assert [letter["kind"] for letter in await intake.letters(erasure)] == ["erasure_opposed"]
    await look(intake)
    assert "retry_decided" not in await said_of(intake, erasure)

    begin = {"decision": "begin"}
    assert (await intake.officer.post(f"{erasure}/decision", json=begin)).json()["state"] == "awaiting_decision"
    assert (await intake.officer.post(f"{erasure}/decision", json=begin)).status_code == 409
    assert "retry_decided" not in await said_of(intake, erasure)
    (await intake.colleague.post(f"{erasure}/decision", json=begin)).raise_for_status()
    kinds = [event["type"].split(".")[2] for event in await intake.published()]
    assert kinds.index("lift_decided") < kinds.index("retry_decided")
    assert [letter["kind"] for letter in await intake.letters(restriction)] == ["completion", "lifting"]
    ended = (await intake.view(restriction))["answer"]
    assert ("restriction has ended" in ended, "is kept" in ended, id_of(erasure) in ended) == (True, False, True)
    decided = [event for event in await intake.published() if event["type"] == "dsr.request.retry_decided.v1"]
    assert decided[0]["regardless_of"] == ["copy", "restriction"]
    await intake.complete(erasure, operation=Operation.ERASE, right=Right.ERASURE)
    assert (await intake.officer.post(f"{restriction}/lift")).status_code == 409


@pytest.mark.parametrize("ends", ["lift", "given up", "withdraw"])
async def test_it_goes_on_by_itself_once_the_restriction_is_no_more(intake: Intake, ends: str) -> None:
    restriction = await intake.submit(right="restriction", ground="unlawful", subject=MIA)
    erasure = await intake.submit(right="erasure", subject=MIA)
    await yielding(intake, erasure, restriction, opposed=True)
    if ends != "withdraw":
        await intake.complete(restriction, operation=Operation.RESTRICT)
        by, how = (intake.officer, "lift") if ends == "lift" else (intake.channel, "withdraw")
        (await by.post(f"{restriction}/{how}")).raise_for_status()
        assert [letter["kind"] for letter in await intake.letters(restriction)] == ["completion", "lifting"]
        assert (await said_of(intake, restriction))[-1] == "lift_decided"
        await intake.complete(restriction, operation=Operation.LIFT)
    else:
        (await intake.channel.post(f"{restriction}/withdraw")).raise_for_status()
    await look(intake)
    assert (await said_of(intake, erasure))[-1] == "retry_decided"


@pytest.mark.parametrize(
    ("right", "said", "waits"),
    [
        ("access", {}, True),
        ("restriction", {"ground": "unlawful"}, True),
        ("rectification", CITY, True),
        ("objection", {"scope": "legitimate_interests"}, False),
        ("objection", {"scope": "direct_marketing"}, False),
    ],
)
async def test_what_comes_while_the_erasure_is_at_work_waits_until_nothing_of_it_is(
    intake: Intake,
    right: str,
    said: dict[str, Any],
    waits: bool,  # noqa: FBT001  # as the table says
) -> None:
    erasure = await intake.submit(right="erasure", subject=MIA)
    marks = Marks.of(intake.unit_of_work.vault.keyring, [Identity(IdentityType.EMAIL, "mia@example.org")])
    async with intake.unit_of_work.begin() as tx:
        await open_requests.enter(tx.connection, [(UUID(id_of(erasure)), Kind.ERASURE, marks)])
    later = await intake.submit(right=right, subject={"email": "mia@example.org"}, **said)
    assert await begun(intake, later) == [not waits]
    async with intake.unit_of_work.begin() as tx:
        await open_requests.rest(tx.connection, [UUID(id_of(erasure))], rests=True)
    assert (await intake.view(later))["awaits"] == []
    await look(intake)
    assert await begun(intake, later) == [True], "nothing of the erasure is at work"


async def test_what_waits_for_an_erasure_begins_with_its_end(intake: Intake) -> None:
    erasure = await intake.submit(right="erasure", subject=MIA)
    marks = Marks.of(intake.unit_of_work.vault.keyring, [Identity(IdentityType.EMAIL, "mia@example.org")])
    async with intake.unit_of_work.begin() as tx:
        await open_requests.enter(tx.connection, [(UUID(id_of(erasure)), Kind.ERASURE, marks)])
    later = await intake.submit(right="access", subject={"email": "mia@example.org"})
    assert await begun(intake, later) == [False]
    gone = COPIED.model_copy(update={"operation": Operation.ERASE, "outcome": TaskOutcome.ERASED, "changed": 14})
    await intake.complete(erasure, operation=Operation.ERASE, right=Right.ERASURE, tasks=(gone,))
    await look(intake)
    assert await begun(intake, later) == [True]
    (await intake.channel.post(f"{later}/withdraw")).raise_for_status()
    assert "what you had asked us to erase: 14 records in crm." in (await intake.view(later))["answer"]


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
