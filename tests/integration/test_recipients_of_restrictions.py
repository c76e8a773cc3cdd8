"""Recipients store what is restricted until nothing of the same person restricts it any more (Art. 18(1), 19)."""

import asyncio
from typing import Any

import pytest

from services.intake.letters.rendering import Letters
from services.intake.repository import Requests
from shared.domain.events import FulfilmentCompleted
from shared.domain.operations import Operation, TaskReport
from shared.domain.rights import Outcome, Right
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.recipients import ADA, WHY, listed, notices, report

RESTRICTED, LIFTED = "do nothing else with them until you hear from us", "you need no longer observe it"
WAITS = """
SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
               WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted)
"""
ASKS: dict[Right, dict[str, str]] = {
    Right.RESTRICTION: {"right": "restriction", "ground": "unlawful"},
    Right.OBJECTION: {"right": "objection", "scope": "legitimate_interests"},
}


async def restricted(intake: Intake, right: Right, **by_category: int) -> str:
    """What restricts Ada's data: her newsletter, unless told."""
    path = await intake.submit(**ASKS[right], subject=ADA)
    tasks = (report(Operation.RESTRICT, **(by_category or {"newsletter": 1})),)
    await intake.complete(path, right=right, operation=Operation.RESTRICT, tasks=tasks, outcome=Outcome.FULFILLED)
    return path


def lift(path: str, right: Right) -> FulfilmentCompleted:
    """Systems have lifted it."""
    said: dict[str, Any] = {"operation": Operation.LIFT, "outcome": Outcome.FULFILLED, "tasks": ()}
    return a(FulfilmentCompleted, about=id_of(path), right=right, **said)


async def told(intake: Intake, path: str) -> list[str]:
    """What the mailer is told of that request, in turn."""
    said = [(" ".join(each["body"].split()), each["to"][0]) for each in await notices(intake, path)]
    kinds = {RESTRICTED: "restricted", LIFTED: "lifted"}
    return [kind for body, to in said if "Beispielpost" in to for words, kind in kinds.items() if words in body]


async def weigh(intake: Intake, path: str, finding: str) -> None:
    (await intake.officer.post(f"{path}/balancing", json={"finding": finding, "explanation": WHY})).raise_for_status()
    (await intake.colleague.post(f"{path}/balancing/approval")).raise_for_status()


async def test_the_restriction_of_an_objection_is_told_and_that_it_is_lifted(disclosing: Intake) -> None:
    path = await restricted(disclosing, Right.OBJECTION)
    assert await told(disclosing, path) == ["restricted"]
    await weigh(disclosing, path, "overridden")
    assert await told(disclosing, path) == ["restricted"], "it is not lifted yet"
    assert "We tell those" not in (await disclosing.letters(path))[-1]["body"]
    await disclosing.consume(lift(path, Right.OBJECTION))
    assert await told(disclosing, path) == ["restricted", "lifted"]


async def test_nobody_is_told_that_data_are_free_which_another_request_restricts(disclosing: Intake) -> None:
    first = await restricted(disclosing, Right.RESTRICTION, newsletter=1, call=2)
    second = await restricted(disclosing, Right.OBJECTION)
    (await disclosing.officer.post(f"{first}/lift")).raise_for_status()
    await disclosing.consume(lift(first, Right.RESTRICTION))
    assert (await told(disclosing, first), await told(disclosing, second)) == (["restricted"], ["restricted"])
    states = {name: each["what"] for name, each in (await listed(disclosing, first)).items()}
    assert states == {"mailer": "restricted", "carrier": "lifted"}, "her calls nothing else restricts"
    await weigh(disclosing, second, "overridden")
    await disclosing.consume(lift(second, Right.OBJECTION))
    for path in (first, second):
        assert await told(disclosing, path) == ["restricted", "lifted"], "by now, of both"
    carrier = [each for each in await notices(disclosing, first) if "Carrier" in each["to"][0]]
    assert len(carrier) == 2, "once each"


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "in two at once"])
async def test_of_two_that_are_lifted_at_the_same_time_recipients_hear(disclosing: Intake, *, together: bool) -> None:
    paths = [await restricted(disclosing, Right.RESTRICTION) for _ in range(2)]
    for path in paths:
        (await disclosing.officer.post(f"{path}/lift")).raise_for_status()
    first, second = [lift(path, Right.RESTRICTION) for path in paths]
    if together:
        await disclosing.consume(first, second)
    else:
        async with disclosing.unit_of_work.begin() as tx:
            requests = await Requests.locked(tx, Letters(), [first.request_id])
            await requests.apply(requests[first.request_id].complete(first, tx.now))
            await requests.save()
            other = asyncio.create_task(disclosing.consume(second))
            while not (other.done() or await disclosing.unit_of_work.pool.fetchval(WAITS)):
                pass
        await other
    told_of = [await told(disclosing, path) for path in paths]
    assert told_of == [["restricted", "lifted"]] * 2, "whoever comes later knows of the other"


async def test_of_a_restriction_that_is_withdrawn_those_hear_who_were_told_of_it(disclosing: Intake) -> None:
    path = await disclosing.submit(**ASKS[Right.RESTRICTION], subject=ADA)
    early: tuple[TaskReport, ...] = (report(Operation.RESTRICT, newsletter=1),)
    said: dict[str, Any] = {"right": Right.RESTRICTION, "operation": Operation.RESTRICT}
    await disclosing.report(path, *early, **said, outcome=Outcome.PARTIALLY_FULFILLED, so_far=True)
    (await disclosing.channel.post(f"{path}/withdraw")).raise_for_status()
    late = (report(Operation.RESTRICT, newsletter=1, call=2),)
    await disclosing.report(path, *late, **said, outcome=Outcome.PARTIALLY_FULFILLED)
    await disclosing.consume(lift(path, Right.RESTRICTION))
    assert await told(disclosing, path) == ["restricted", "lifted"]
    assert (await listed(disclosing, path)).keys() == {"mailer"}, "of the calls nobody had heard"
