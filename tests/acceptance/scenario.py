"""Runs the scenarios of a platform side by side: a pytest item waits for its own and shows what came of it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

Body = Callable[..., Coroutine[Any, Any, None]]
SHARED, FRAGILE, TIMED = "shared", "fragile", "timed"
"""The platforms: one shared by all; one whose systems, broker and processes are taken away; one whose clock jumps."""
_CONCURRENT: Mapping[str, int] = {SHARED: 6, FRAGILE: 1, TIMED: 1000}
"""Number of concurrent scenarios: one that takes something away runs alone; those that wait for a day start together.
"""
_OF_ANOTHER = "ignore::pytest.PytestUnraisableExceptionWarning"
"""Unclosed resources may belong to another scenario, since all run in another thread."""
_WITHIN = 420


def scenario(
    on: str = SHARED, rows: Sequence[object] = (), ids: Callable[[Any], str] = str, together: Sequence[object] = ()
) -> Callable[[Body], Any]:
    """Marks a coroutine function as a scenario of that platform; ``rows``: run it with each as second argument.

    ``together``: the same in one pytest item, which shows the failures of all its rows.
    """

    def decorate(body: Body) -> Any:
        def item(request: pytest.FixtureRequest, stage: "Stage") -> None:
            stage.result(request.node.nodeid)

        def item_of_row(request: pytest.FixtureRequest, stage: "Stage", row: object) -> None:  # noqa: ARG001  # an id
            stage.result(request.node.nodeid)

        test: Any = item_of_row if rows else item
        test.__name__ = test.__qualname__ = getattr(body, "__name__", "scenario")
        test.__doc__, test.__module__ = body.__doc__, body.__module__
        test.scenario = (on, body, together)
        test = pytest.mark.filterwarnings(_OF_ANOTHER)(test)
        return pytest.mark.parametrize("row", rows, ids=ids)(test) if rows else test

    return decorate


@dataclass
class Waiting:
    """One scenario: what runs, on which platform, and its result."""

    name: str
    platform: str
    body: Body
    arguments: tuple[object, ...]
    result: "Future[None]" = field(default_factory=Future)


def selected(items: Sequence[pytest.Item]) -> list[Waiting]:
    """The scenarios among the items of a session."""
    found = []
    for item in items:
        function: Any = getattr(item, "function", None)
        if hasattr(function, "scenario"):
            on, body, together = function.scenario
            rows = together or ([item.callspec.params["row"]] if hasattr(item, "callspec") else [])
            arguments: list[tuple[object, ...]] = [(row,) for row in rows] or [()]
            found += [Waiting(item.nodeid, on, body, each) for each in arguments]
    return found


class Stage:
    """A thread with an event loop in which platforms and scenarios run; ``opened``: opens a platform by its name."""

    def __init__(self, waiting: Sequence[Waiting], opened: Callable[[str], Any]) -> None:
        self._waiting = [*waiting]
        self._opened = opened
        self._faults: list[Exception] = []
        self._over = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scenarios")
        self._thread.start()

    def result(self, name: str) -> None:
        """Waits for a scenario; raises what it raised, with each of its rows."""
        mine = [each for each in self._waiting if each.name == name]
        faults = [(each, fault) for each in mine if (fault := each.result.exception())]
        for each, fault in faults:
            fault.add_note(f"{name}: {each.arguments}")
        if len(faults) > 1:
            raise BaseExceptionGroup(name, [fault for _, fault in faults])
        for _, fault in faults:
            raise fault

    def close(self) -> None:
        """Ends the platforms, and what is still running on them; raises what was wrong at their end."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        for fault in self._faults:
            raise fault

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._all())
        finally:
            self._loop.close()

    async def _all(self) -> None:
        names = dict.fromkeys(each.platform for each in self._waiting)
        ended = await asyncio.gather(*(self._on(name) for name in names), return_exceptions=True)
        self._faults += [each for each in ended if isinstance(each, Exception)]

    async def _on(self, name: str) -> None:
        mine = [each for each in self._waiting if each.platform == name]
        try:
            async with self._opened(name) as platform:
                gate = asyncio.Semaphore(_CONCURRENT[name])
                running = [asyncio.create_task(_play(each, platform, gate)) for each in mine]
                over = asyncio.create_task(self._over.wait())
                over.add_done_callback(lambda _: [task.cancel() for task in running])
                await asyncio.gather(*running, return_exceptions=True)
                over.cancel()
        except Exception as error:  # each of its scenarios that has not ended shows it
            for each in mine:
                if not each.result.done():
                    each.result.set_exception(error)
            raise


async def _play(waiting: Waiting, platform: Any, gate: asyncio.Semaphore) -> None:
    async with gate:
        try:
            async with asyncio.timeout(_WITHIN), platform.playing():
                await waiting.body(platform, *waiting.arguments)
        except BaseException as error:
            waiting.result.set_exception(error if isinstance(error, Exception) else TimeoutError("it was cut off"))
            if not isinstance(error, Exception):
                raise
        else:
            waiting.result.set_result(None)
