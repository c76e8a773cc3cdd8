"""The broker is away for longer than any client's timeout: every service goes on by itself once it is back."""

from pathlib import Path

from tests.fixtures.outage import survive


async def test_every_consumer_goes_on_after_a_broker_was_away_for_twenty_seconds(run_folder: Path) -> None:
    assert await survive([("broker", 20)], run_folder / "outage-broker") == []
