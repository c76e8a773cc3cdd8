"""Scenario 2 where only a search shows whose data they are: what was asked before is waited for then (G1)."""

from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from shared.domain.events import FulfilmentPostponed
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.precedence import Kind, Marks
from shared.domain.rights import Right
from shared.storage import open_requests
from tests.acceptance.waiting import CITY, MIA, begun, look
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of

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
        await open_requests.set_stopped(tx.connection, [UUID(id_of(erasure))], stopped=True)
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
