"""A minute of random faults under load, of every process and server first; longer by ``make chaos MINUTES=…``."""

import random
from pathlib import Path

from tests.chaos.run import run

SECONDS = 30.0
"""The rest is for the start, for what is still open, and for the end. No night passes: `make chaos` lets them."""


async def test_whatever_is_struck_nothing_is_lost_doubled_stuck_restricted_again_or_done_to_somebody_else(
    run_folder: Path,
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    result = await run(run_folder / "chaos", seed, SECONDS, timed=False, by_night=False)
    assert not any(result.tally.counts().values()), result.report()
    assert result.tally.offered == result.tally.closed > 0, result.report()
    assert result.ended == [], result.report()
