"""Scenario 5: a number was X's until 10 January and is Y's from 1 March; what was called in between goes to nobody."""

from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.demo.seed.cdr import CdrStore
from shared.storage.keyring import Keyring
from tests.fixtures.cdr import ANNA, CHIARA, LONG_AGO, SqlEngine, call
from tests.fixtures.engine import OpenHarness
from tests.fixtures.intake import Intake
from tests.integration.legal.company import Company
from tests.integration.legal.telephony import Holder, telephony

BEFORE, BETWEEN, AFTER = ["2025-12-24", "2026-01-09"], ["2026-01-10", "2026-02-14"], ["2026-03-01", "2026-04-01"]
X = Holder("x@example.org", "C1", ANNA, LONG_AGO, datetime(2026, 1, 10, tzinfo=UTC))
Y = Holder("y@example.org", "C2", ANNA, datetime(2026, 3, 1, tzinfo=UTC))


async def asks(company: Company, email: str, **period: str) -> str:
    """Somebody asks for a copy, and states the number as theirs."""
    phones = [{"number": ANNA, **period}]
    path = await company.intake.submit(subject={"email": email, "phones": phones, "country": "ES"})
    await company.work()
    return path


async def days(company: Company, path: str) -> list[str]:
    records: list[dict[str, Any]] = (await company.package(path))["records"]
    return sorted(each["data"]["started"][:10] for each in records if each["category"] == "call_record")


@pytest.mark.parametrize("period", [{}, {"since": "2020-01-01T00:00:00Z"}], ids=["no period", "a period too wide"])
async def test_each_holder_gets_their_own_calls_and_nobody_those_in_between(
    *,
    intake: Intake,
    open_harness: OpenHarness,
    database: str,
    keys: Keyring,
    cdr_store: CdrStore,
    calls: SqlEngine,
    period: dict[str, str],
) -> None:
    intake.clock.at = datetime(2026, 5, 4, 9, tzinfo=UTC)
    await cdr_store.seed([call(ANNA, CHIARA, day) for day in (*BEFORE, *BETWEEN, *AFTER)])
    async with telephony(intake, open_harness, database, keys, calls, X, Y) as company:
        assert await days(company, await asks(company, X.email, **period)) == BEFORE
        assert await days(company, await asks(company, Y.email, **period)) == AFTER
        stranger = await asks(company, "z@example.org", **period)
        shown = await intake.view(stranger)
        assert (shown["package"], shown["outcome"]) == (False, None)
        assert {task["failure"] for task in shown["tasks"] if task["system"] == "cdr"} == {"assignment_in_doubt"}
