"""Runs the scenarios of a session on their platforms."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.platforms import Grounds, opened
from tests.acceptance.scenario import Stage, selected


@pytest.fixture(scope="package")
def stage(request: pytest.FixtureRequest, run_folder: Path, postgres_dsn: str) -> Iterator[Stage]:
    """All scenarios of the session, running on their platforms."""
    grounds = Grounds(run_folder / "net", postgres_dsn)
    stage = Stage(selected(request.session.items), partial(opened, grounds))
    yield stage
    try:
        stage.close()
    finally:
        grounds.stop()
