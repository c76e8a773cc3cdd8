"""What the scenarios may ask for: intake over a database of the test, and a store of call records."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.platforms import Grounds, opened
from tests.acceptance.scenario import Stage, selected
from tests.fixtures.cdr import calls, cdr_store, settings
from tests.fixtures.intake import intake
from tests.fixtures.open_engine import clock, open_harness

__all__ = ["calls", "cdr_store", "clock", "intake", "open_harness", "settings"]


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest, run_folder: Path, postgres_dsn: str) -> Iterator[Stage]:
    """All scenarios of the session, running on their platforms."""
    grounds = Grounds(run_folder / "net", postgres_dsn)
    stage = Stage(selected(request.session.items), partial(opened, grounds))
    yield stage
    stage.close()
    grounds.stop()
