"""Scenario 7: the call records are away; the prompt comes a week before the due date; a partial answer names them."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared.domain.errors import Unavailable
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import Match
from shared.domain.time_limit import end_of
from shared.downstreams.contract import Receipt, Record
from shared.storage.keyring import Keyring
from tests.fixtures.engine import Answer, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.intake import Intake
from tests.integration.legal.company import Company, opened


def gives(value: str) -> Answer:
    found = Record("calls", "cdrs", {"value": value}, matched=(Match("email", "ada@example.org"),))
    return each(lambda task: Receipt(task.task_id, TaskOutcome.EXPORTED, found=1, records=(found,)))


@pytest.fixture
async def company(intake: Intake, open_harness: OpenHarness, database: str, keys: Keyring) -> AsyncIterator[Company]:
    crm = ScriptedSystem("crm", answers={Operation.EXPORT: gives("Ada")})
    cdr = ScriptedSystem("cdr", answers={Operation.EXPORT: each(lambda _: Unavailable("it does not answer"))})
    async with opened(intake, open_harness, database, keys, crm, cdr) as company:
        yield company


async def test_a_system_that_is_away_is_prompted_for_in_time_and_answered_without_and_owed(
    company: Company, clock: SetClock
) -> None:
    intake, deadline = company.intake, company.deadline
    path = await intake.submit()
    await company.deliver()
    await company.export.worker("crm", Operation.EXPORT).work()
    for _ in range(3):
        assert await company.export.worker("cdr", Operation.EXPORT).work() == 1
        clock.pass_by(hours=1)
    await company.deliver()
    view = await intake.view(path)
    assert (view["state"], view["package"], await intake.letters(path)) == ("in_progress", False, [])

    [row] = await deadline.pool.fetch("SELECT due_on, zones FROM clock")
    week_before = end_of(row["due_on"] - timedelta(days=8), tuple(row["zones"].split(",")))
    await deadline.sweeps(at=week_before)
    await company.deliver()
    assert "extend_or_answer" in await deadline.tickets()
    assert (await intake.view(path))["warning"] == "due_in_7_days"

    await intake.decide(path, reason="SYSTEM_UNAVAILABLE")
    await company.deliver()
    view, [letter] = await intake.view(path), await intake.letters(path)
    assert (view["outcome"], letter["kind"]) == ("partially_fulfilled", "partial")
    assert "not, or not completely, in: cdr." in letter["body"]
    assert (await company.package(path))["missing"] == ["cdr"]
    assert await company.open_in_the_figures() == 1
    await deadline.sweeps(at=clock.at + timedelta(days=30))
    assert [words for said in (await deadline.said()).values() for words in said][-1] == "overdue statutory"

    company.export.systems["cdr"].answers = {Operation.EXPORT: gives("+442079460000")}
    assert await company.export.worker("cdr", Operation.EXPORT).work() == 1
    await company.deliver()
    whole = await company.package(path)
    assert ({piece["system"] for piece in whole["records"]}, "missing" in whole) == ({"crm", "cdr"}, False)
    assert await company.open_in_the_figures() == 0
    assert [letter["kind"] for letter in await intake.letters(path)] == ["partial", "completion"]
    assert (await intake.view(path))["answer"].endswith("A part of it was done after your request had been closed.")
