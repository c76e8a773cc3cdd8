"""Who went silent is replaced at the next look, and nobody is taken for silent while the database was away for all."""

import asyncpg
import pytest

from shared.fulfilment import queue, reaper
from shared.fulfilment.reaper import Reaper
from shared.runtime.settings import WorkSettings
from tests.fixtures.engine import OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.worker_harness import claimed, opened


class Moment:
    """Monotonic seconds that the test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("pause", "away", "taken"), [(0.5, False, True), (4, False, False), (0.5, True, False)], ids=str
)
async def test_a_look_takes_back_what_is_silent_unless_nobody_could_be_heard(
    open_harness: OpenHarness,
    clock: SetClock,
    monkeypatch: pytest.MonkeyPatch,
    pause: float,
    *,
    away: bool,
    taken: bool,
) -> None:
    moment = Moment()
    monkeypatch.setattr(reaper, "time", moment)
    harness = await open_harness(ScriptedSystem("crm"))
    [request] = await opened(harness)
    await claimed(harness, clock)
    settings = WorkSettings.model_validate({"downstreams": "none", "lease_seconds": 0.5})
    looks = Reaper(harness.unit_of_work, harness.fulfilments, settings)
    await looks.look()
    assert await harness.states(request) == {"crm:erase": "leased"}
    await harness.silence(harness.lease)
    if away:
        with monkeypatch.context() as patched:
            patched.setattr(queue, "reap", _be_away)
            with pytest.raises(asyncpg.ConnectionDoesNotExistError):
                await looks.look()
    moment.seconds += pause
    await looks.look()
    assert await harness.states(request) == {"crm:erase": "ready" if taken else "leased"}
    moment.seconds += 0.5
    await looks.look()
    assert await harness.states(request) == {"crm:erase": "ready"}


async def _be_away(*_: object) -> None:
    raise asyncpg.ConnectionDoesNotExistError
