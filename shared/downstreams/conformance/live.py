"""Examines the systems of a downstreams file, live: on people whom they were given for it, and on nobody else."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import DsrError
from shared.domain.identities import Identity, IdentityType, normalise
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.bus.adapter import BusAdapter
from shared.downstreams.conformance.checks import CHECKS, run
from shared.downstreams.conformance.declared import Conformance
from shared.downstreams.conformance.examined import Trial
from shared.downstreams.conformance.findings import Finding, Findings, Unmet, Word, receipt_of
from shared.downstreams.conformance.people import PREFIX, Person
from shared.downstreams.conformance.seeding import Seeding
from shared.downstreams.contract import Receipt, Task
from shared.downstreams.downstream import Downstream
from shared.downstreams.registry import Downstreams, Wiring

_OF_ONE = (
    *("found", "exported", "rectified", "empty field filled", "statement beside"),
    *("restricted", "suppressed", "gone on the second look"),
)
"""What can be found out on one test subject, who is erased last."""


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
    subject: Mapping[str, str] | None = None,
    on_the_bus: MakeLive | None = None,
) -> dict[str, Findings]:
    """What came of every check on every system that is in use, or on these.

    ``subject``: of a system that cannot be filled, what its test subject is known by. ``on_the_bus``: how teams there
    are reached, where a platform is around them.

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
            found[each.name] = await _examine(path, each, wiring, subject or {}, made) if made else _ON_THE_BUS
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


async def _examine(
    path: Path, system: Downstream, wiring: Wiring, subject: Mapping[str, str], made: MakeLive
) -> Findings:
    declared = system.conformance
    if declared is None:
        return _all(Word.SKIPPED, f"write [{system.name}.conformance] in {path.name}: how test subjects come into it")
    if declared.seed is None:
        return await _on_one(path, made(system), declared, subject)
    trial = await _trial(path, system, declared, wiring, made)
    try:
        return {name: await run(check, trial) for name, check in CHECKS.items()}
    finally:
        await _leave_nothing(path, trial, declared, wiring)
        if trial.forbidden and trial.forbidden.adapter:
            await trial.forbidden.adapter.close()


async def _trial(path: Path, system: Downstream, declared: Conformance, wiring: Wiring, made: MakeLive) -> Trial:
    forbidden = None
    if declared.without_permission:
        instead = {name: wiring.environment.get(other, "") for name, other in declared.without_permission.items()}
        other = Downstreams.load(path, replace(wiring, environment={**wiring.environment, **instead}))
        forbidden = other.get(system.name)
    sharing = _way(path, system, "shared", wiring) if declared.shared else None
    live = made(system, _way(path, system, "seed", wiring), sharing)
    return Trial(live, change=declared.change, empty=declared.added, forbidden=forbidden, patience=declared.within)


async def _leave_nothing(path: Path, trial: Trial, declared: Conformance, wiring: Wiring) -> None:
    """Removes everybody of this run: in the declared way, else by erasing them, as far as that works."""
    if declared.sweep:
        await _way(path, trial.system, "sweep", wiring).run(_by_prefix(trial.people.prefix))
    elif trial.can(Operation.ERASE):
        for person in trial.people.made:
            await trial.ask(Operation.ERASE, person)


async def _on_one(path: Path, live: Live, declared: Conformance, subject: Mapping[str, str]) -> Findings:
    """What one test subject shows, if all that is found of them bears the mark; else nothing is done."""
    if not subject or not declared.mark:
        return _all(Word.UNKNOWN, f"{path.name} does not say how to fill it: give --subject, and mark in the file")
    if not live.downstream.can(Operation.EXPORT):
        return _all(Word.UNKNOWN, "it gives no copy, so nothing shows whether a test subject is one")
    person = _given(subject)
    trial = Trial(live, change=declared.change, empty=declared.added, only=person, patience=declared.within)
    try:
        receipt = receipt_of(await trial.ask(Operation.EXPORT, person), TaskOutcome.EXPORTED)
    except (Unmet, DsrError) as error:
        return _all(Word.UNKNOWN, f"nothing was done to the test subject: {error}")
    if not _marked(receipt, declared.mark):
        return _all(Word.UNKNOWN, f"a hit does not bear the mark {declared.mark!r}: nothing was done to anybody")
    found = {name: await run(CHECKS[name], trial) for name in _OF_ONE}
    found["erased"] = replace(found["gone on the second look"], seconds=None)
    skipped = Finding(Word.SKIPPED, "it needs more people than one test subject")
    return {name: found.get(name, skipped) for name in CHECKS}


def _marked(receipt: Receipt, mark: str) -> bool:
    return bool(receipt.records) and all(mark in repr((dict(r.data), r.matched)) for r in receipt.records)


def _given(subject: Mapping[str, str]) -> Person:
    kinds = {IdentityType(kind): value for kind, value in subject.items()}
    return Person("", "", "", stated=tuple(Identity(kind, normalise(kind, value)) for kind, value in kinds.items()))


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
