"""Short and long outages of a server, one after the other: every service goes on by itself once it is back."""

from pathlib import Path

from tests.fixtures.outage import survive


async def test_every_service_goes_on_after_each_of_several_outages(run_folder: Path) -> None:
    assert await survive([("broker", 5), ("database", 20), ("broker", 60)], run_folder / "outages") == []
