"""Examines the systems of a downstreams file, live: on people whom they were given for it, and on nobody else."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from pydantic import JsonValue

from shared.domain.operations import Operation
from shared.systems.bus.adapter import BusAdapter
from shared.systems.conformance.checks import CHECKS, run
from shared.systems.conformance.declared import Conformance
from shared.systems.conformance.examined import Trial
from shared.systems.conformance.findings import Finding, Findings, Word
from shared.systems.conformance.people import PREFIX, Person
from shared.systems.conformance.seeding import Seeding
from shared.systems.contract import Task
from shared.systems.downstream import Downstream
from shared.systems.registry import Downstreams, Wiring


@dataclass
class Live:
    """A system that is running somewhere, filled as its table declares."""

    downstream: Downstream
    seeding: Seeding | None = None
    sharing: Seeding | None = None

    async def put(self, person: Person, rows: int) -> int | None:
        """Fills it; the file says how much, so the number wanted is not heard."""
        del rows
        return await self.seeding.run(person.values) if self.seeding else None

    async def share(self, person: Person, other: Person) -> bool:
        """Fills it with what both are in, if the file says how."""
        if self.sharing is None:
            return False
        await self.sharing.run(person.values | {f"other_{name}": value for name, value in other.values.items()})
        return True

    async def held(self, person: Person) -> int | None:
        """What it holds is known by its answers alone."""
        del person
        return None  # unknown

    def about(self, task: Task) -> None:
        """It is told with the task."""

    async def hear(self, progress: dict[UUID, dict[str, JsonValue]], delay: timedelta) -> None:
        """Waits as long as it has asked for."""
        del progress
        await asyncio.sleep(delay.total_seconds())


MakeLive = Callable[..., Live]
"""Makes of a system, and of the ways to fill it, one under examination, as ``Live`` does."""


async def examine(
    path: Path,
    wiring: Wiring,
    names: Sequence[str] = (),
    on_the_bus: MakeLive | None = None,
) -> dict[str, Findings]:
    """What came of every check on every system that is in use, or on these.

    ``on_the_bus``: how teams there are reached, where a platform is around them.

    Raises:
        Misconfigured: the file cannot be used, or there is no such system.
    """
    wiring = replace(wiring, policy=wiring.policy.keeping_nothing())
    loaded = Downstreams.load(path, wiring)
    try:
        chosen = [loaded.get(name) for name in names] or list(loaded.all)
        found = {}
        for each in chosen:
            made = on_the_bus if isinstance(each.adapter, BusAdapter) else Live
            found[each.name] = await _examine(path, each, wiring, made) if made else _ON_THE_BUS
        return found
    finally:
        await loaded.close()


async def sweep(path: Path, wiring: Wiring) -> list[str]:
    """Removes whatever earlier runs have left behind, in every system that declares how; returns their names."""
    loaded = Downstreams.load(path, wiring)
    await loaded.close()
    swept = []
    for each in loaded.all:
        if each.conformance and each.conformance.sweep:
            await _way(path, each, "sweep", wiring).run(_by_prefix(PREFIX))
            swept.append(each.name)
    return swept


async def _examine(path: Path, system: Downstream, wiring: Wiring, made: MakeLive) -> Findings:
    declared = system.conformance
    if declared is None:
        return _all(Word.SKIPPED, f"write [{system.name}.conformance] in {path.name}: how test subjects come into it")
    trial = _trial(path, system, declared, wiring, made)
    try:
        return {name: await run(check, trial) for name, check in CHECKS.items()}
    finally:
        await _leave_nothing(path, trial, declared, wiring)


def _trial(path: Path, system: Downstream, declared: Conformance, wiring: Wiring, made: MakeLive) -> Trial:
    sharing = _way(path, system, "shared", wiring) if declared.shared else None
    live = made(system, _way(path, system, "seed", wiring), sharing)
    return Trial(live, change=declared.change, patience=declared.within)


async def _leave_nothing(path: Path, trial: Trial, declared: Conformance, wiring: Wiring) -> None:
    """Removes everybody of this run: in the declared way, else by erasing them, as far as that works."""
    if declared.sweep:
        await _way(path, trial.system, "sweep", wiring).run(_by_prefix(trial.people.prefix))
    elif trial.can(Operation.ERASE):
        for person in trial.people.made:
            await trial.ask(Operation.ERASE, person)


def _way(path: Path, system: Downstream, what: str, wiring: Wiring) -> Seeding:
    where = f"{path}: [{system.name}.conformance] {what}"
    return Seeding(
        where, getattr(system.conformance, what), wiring.environment, getattr(system.settings, "dsn_env", None)
    )


def _by_prefix(prefix: str) -> dict[str, str]:
    return dict.fromkeys(("key", "email", "phone", "account_id", "sip_uri", "name"), prefix)


def _all(word: Word, reason: str) -> Findings:
    return dict.fromkeys(CHECKS, Finding(word, reason))


_ON_THE_BUS = _all(
    Word.UNKNOWN, "its tasks need the platform around them: run this with its settings, as .local/up/dsr conformance"
)
