"""One run: people come at an even pace, faults happen one round after the other, and then everything is counted."""

import asyncio
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.arena import PARTS, arena
from tests.chaos.crowd import BYSTANDER_EVERY, Crowd
from tests.chaos.faults import Fault, Striker, draw_round, everything
from tests.chaos.nights import Nights
from tests.chaos.tally import Tally, tally
from tests.chaos.watch import Watch

log = logging.getLogger(__name__)

ALONE_SECONDS = 5.0
TOGETHER_SECONDS = 15.0
THROUGHPUT = 0.9
PER_SECOND = 12.0
"""People per second."""
_WINDOW_SECONDS = 10.0
_WITHIN_SECONDS = 60.0
_DRAIN_SECONDS = 120.0
_TURN_SECONDS = 300.0
"""Longest time without a successor after a sweep's process was killed."""


@dataclass(frozen=True)
class Round:
    """Faults that began together, and the time until everybody was at work again."""

    faults: Sequence[Fault]
    seconds: Sequence[float]
    """Per fault, from its own return."""
    together: float
    """Seconds since the last return."""
    throughput: float | None = None
    """Closures in the ten seconds after, relative to the ten before; None if not measured.

    Closures beyond the arrivals do not count: they are the backlog of an earlier fault.
    """

    @property
    def limit(self) -> float:
        """Seconds that its recovery may take."""
        return ALONE_SECONDS if len(self.faults) == 1 else TOGETHER_SECONDS


@dataclass
class Result:
    """The result of a run."""

    seed: int
    tally: Tally = field(default_factory=Tally)
    rounds: list[Round] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[Fault]:
        """Returns all faults."""
        return [fault for each in self.rounds for fault in each.faults]

    def late(self) -> list[str]:
        """Returns what took too long, or slowed down afterwards."""
        found = []
        for each in self.rounds:
            names = ", ".join(f"{fault.part} {fault.kind}" for fault in each.faults)
            if each.together > each.limit:
                found.append(f"{names}: at work again after {each.together:.1f} s")
            if each.throughput is not None and each.throughput < THROUGHPUT:
                found.append(f"{names}: {each.throughput:.0%} of the throughput before")
        return found

    def report(self) -> str:
        """The table that is printed."""
        recoveries = [seconds for each in self.rounds for seconds in each.seconds]
        alone = sorted(each.seconds[0] for each in self.rounds if len(each.faults) == 1)
        together = sorted(each.together for each in self.rounds if len(each.faults) == len(PARTS))
        kinds = Counter(fault.kind.value for fault in self.faults)
        ratios = sorted(each.throughput for each in self.rounds if each.throughput is not None)
        lines = {
            "seed": self.seed,
            "faults": f"{len(self.faults)} in {len(self.rounds)} rounds: {dict(sorted(kinds.items()))}",
            "offered": self.tally.offered,
            "closed": self.tally.closed,
            "gone by night": f"{self.tally.swept} rows in {self.tally.nights} nights",
            **self.tally.counts(),
            "ended unexpectedly": dict(Counter(map(str, self.ended))),
            "recovery alone, s": _spread(alone),
            "recovery all together, s": _spread(together),
            "recovery of all faults, s": _spread(sorted(recoveries)),
            "throughput after / before": _spread(ratios),
        }
        cases = [f"  {name}: {case}" for name, cases in self.tally.wrong.items() for case in cases[:20]]
        return "\n".join([*(f"{name:26} {value}" for name, value in lines.items()), *cases])


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    p50, p90 = values[len(values) // 2], values[int(len(values) * 0.9)]
    return f"p50 {p50:.1f}  p90 {p90:.1f}  max {values[-1]:.1f}  min {values[0]:.1f}"


async def run(directory: Path, seed: int, seconds: float, *, timed: bool) -> Result:
    """Strikes for so long; where it is ``timed`` there is calm before and after each round, to compare them.

    Nights pass meanwhile. The turn of a sweep that was killed lasts five minutes.
    """
    draw = random.Random(seed)  # noqa: S311  # no secret
    people = int((seconds + _DRAIN_SECONDS) * PER_SECOND * BYSTANDER_EVERY / (BYSTANDER_EVERY - 1))
    result = Result(seed)
    async with arena(directory, people) as there:
        shares = random.Random(seed)  # noqa: S311  # no secret
        crowd = Crowd(there.channels, there.officers, people, shares, there.customer, there.emitter)
        watch, striker, enough = Watch(there, crowd), Striker(there), asyncio.Event()
        coming = asyncio.create_task(crowd.come(PER_SECOND, enough))
        nights = [asyncio.create_task(Nights(there, crowd).pass_by(enough))]
        loops = (watch.keep_looking(), striker.keep_up(), crowd.release_keys())
        for_ever = [asyncio.create_task(each) for each in loops]
        try:
            await watch.until(lambda look: look.closed >= PER_SECOND, _WITHIN_SECONDS)
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                faults = draw_round(draw) if result.rounds else everything(draw)
                result.rounds.append(await _round(watch, striker, faults, timed=timed))
                if any(each.done() for each in (*for_ever, *nights)):
                    await asyncio.gather(*for_ever, *nights)
            enough.set()
            await coming
            log.info("no more come, %d under way", len(crowd.at_it))
            await _drain(crowd, watch, nights)
            log.info("all is over")
            result.tally = await tally(there, crowd, len(result.faults))
        finally:
            for task in (coming, *nights, *for_ever, *crowd.at_it):
                task.cancel()
            await asyncio.wait({coming, *nights, *for_ever, *crowd.at_it})
        result.ended = striker.ended
    return result


async def _round(watch: Watch, striker: Striker, faults: Sequence[Fault], *, timed: bool) -> Round:
    if timed:
        await asyncio.sleep(_WINDOW_SECONDS)
    struck = time.monotonic()

    async def one(fault: Fault) -> tuple[float, float]:
        back = await striker.strike(fault)
        return back, await watch.at_work(fault.part, back, _WITHIN_SECONDS)

    returns = await asyncio.gather(*(one(fault) for fault in faults))
    seconds = [again for _, again in returns]
    together = max(back + again for back, again in returns) - max(back for back, _ in returns)
    throughput = None
    if timed and len(faults) == 1:
        well = time.monotonic()
        await asyncio.sleep(_WINDOW_SECONDS)
        before = min(watch.closures(struck - _WINDOW_SECONDS, struck), int(PER_SECOND * _WINDOW_SECONDS))
        throughput = watch.closures(well, well + _WINDOW_SECONDS) / max(1, before)
    names = ", ".join(f"{f.part} {f.kind} {f.seconds:.1f} s" for f in faults)
    after = "" if throughput is None else f", {throughput:.0%}"
    log.info("%s: %s, together %.1f s%s", names, [round(s, 1) for s in seconds], together, after)
    return Round(faults, seconds, together, throughput)


async def _drain(crowd: Crowd, watch: Watch, nights: Sequence["asyncio.Task[None]"]) -> None:
    """Waits until all are closed, restrictions lifted, copies fetched, nights over; or for long nothing was closed."""
    ends, last = time.monotonic() + _DRAIN_SECONDS, (math.nan, 0.0)

    while time.monotonic() < ends:
        look = watch.looks[-1]
        sweeps = not all(each.done() for each in nights)
        if look.closed != last[0]:
            ends = time.monotonic() + _DRAIN_SECONDS + _TURN_SECONDS * sweeps
        under_way = sweeps or crowd.at_it or crowd.to_be_lifted or crowd.to_be_fetched or crowd.to_be_entered
        all_closed = not under_way and crowd.asked.keys() <= watch.closed.keys()
        now = (float(look.closed), float(sum(look.work.values())))
        if all_closed and now == last:
            return
        last = now
        await asyncio.sleep(2)  # the end of arrivals is not signalled
