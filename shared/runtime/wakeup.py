"""A bell wakes a loop of the same process when there is something to do; polling is only the safety net."""

import asyncio


class Wakeup:
    """Ringing it twice before it is heard is the same as once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Wakes whoever waits, now or next."""
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Returns when rung, or after that many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass
        self._event.clear()
