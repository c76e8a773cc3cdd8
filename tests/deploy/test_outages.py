"""Short and long outages of a server: every service goes on by itself once it is back."""

from pathlib import Path
from typing import Literal

import pytest

from tests.fixtures.outage import survive


@pytest.mark.parametrize(("away", "seconds"), [("broker", 5), ("broker", 60), ("database", 20)])
async def test_every_service_goes_on_after_an_outage(
    away: Literal["broker", "database"], seconds: float, run_folder: Path
) -> None:
    assert await survive(away, seconds, run_folder / f"outage-{away}-{seconds}") == []
