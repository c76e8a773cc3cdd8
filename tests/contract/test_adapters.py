"""Requirements of every kind of system: the checks of `dsr conformance`."""

from collections.abc import AsyncIterator
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from shared.domain.operations import Change
from shared.systems.conformance.checks import CHECKS, CheckContext, Verdict, run
from shared.systems.sweepable import DueCount, DueRecords, SweepResult
from tests.contract.adapter_stands import STANDS, OnStand, csv
from tests.fixtures.analytics import nothing

_CHANGES = dict.fromkeys(("rectified", "restricted", "suppressed"), Verdict.NOT_DECLARED)
NOT_YES = {
    "opendsr": _CHANGES,  # OpenDSR knows no changes in place
    "bus": {},
    "csv": {},
    "http": {**_CHANGES, "rectified": Verdict.YES},  # of that desk no restriction is declared
}
"""Expected results of a stand other than ``yes``."""
CORRECTED = {
    "opendsr": None,
    "bus": Change(field="email", current=None, asserted="dsr-conformance-corrected@example.com"),
    "http": Change(field="name", current=None, asserted="Corrected Quarzfels"),
    "csv": Change(field="name", current=None, asserted="Corrected Quarzfels"),
}


@pytest.fixture(params=STANDS)
async def trial(request: pytest.FixtureRequest) -> AsyncIterator[CheckContext]:
    async with STANDS[request.param]() as stand:
        yield CheckContext(OnStand(stand, request.param), change=CORRECTED[request.param])


ON_STANDS = [name for name in CHECKS if name != "row of two people"]
"""Rows of two people exist in no stand; see ``test_conformance.py`` and ``tests/deploy/test_mariadb.py``."""


@pytest.mark.parametrize("check", ON_STANDS)
async def test_a_system_does_what_it_says(trial: CheckContext, check: str) -> None:
    finding = await run(CHECKS[check], trial)
    assert finding.verdict is NOT_YES[trial.system.name].get(check, Verdict.YES), finding


async def test_a_folder_of_files_loses_by_night_what_is_past_its_day() -> None:
    due = DueRecords("orders", "ordered", "delete", date(2026, 1, 3), ZoneInfo("UTC"))
    async with csv() as stand:
        stand.put("ada@example.com", 6)
        assert await stand.adapter.count([due], {}) == [DueCount(2, 5)]
        assert await stand.adapter.sweep([due], {}, nothing) == [SweepResult(2, 0, complete=True)]
        assert stand.holds("ada@example.com") == 4
