"""Checks each system of a downstreams file: reports all mistakes in the file and in the live system together."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from pydantic import JsonValue

from shared.domain.clock import Clock
from shared.domain.errors import DsrError, Fault, Misconfigured
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.proofs import ProofPolicy, proof_policy
from shared.domain.user_events import FILE_SOURCE, read_emitters
from shared.systems.contract import Task
from shared.systems.downstream import Downstream
from shared.systems.file import Table, declare, tables_of
from shared.systems.http.declaration import read_declaration
from shared.systems.http.settings import path_of
from shared.systems.protocols import Inspectable, Tried
from shared.systems.registry import Downstreams, Wiring, connect
from shared.systems.relations import account_sources, with_register, with_states
from shared.systems.sql.dataset import Dataset

_ADDRESS, _STORE, _SECRET = "http://not-set.invalid", "postgresql://not-set.invalid/", "not-set"
"""Placeholders for unset variables while only the file is checked."""


@dataclass(frozen=True, slots=True)
class SystemCheck:
    """The check of one system: its declaration and its faults.

    ``manual_parts``: parts of the policy that a person does there; the system is usable. ``unset``: variables that are
    not set, so only its file was checked; ``live``: the live system was asked; ``tried``: what it was asked.
    """

    name: str
    declared: Downstream | None
    faults: tuple[Fault, ...] = ()
    manual_parts: tuple[Fault, ...] = ()
    unset: tuple[str, ...] = ()
    live: bool = False
    tried: tuple[Tried, ...] = ()


async def check(path: Path, wiring: Wiring, only: str | None = None, *, live: bool = True) -> Sequence[SystemCheck]:
    """Checks every system of the file, or one; live systems side by side.

    Raises:
        Misconfigured: the file or the system is missing, or the file is not TOML
    """
    tables = tables_of(path)
    if only is not None and only not in tables:
        raise Misconfigured(f"{path} declares no [{only}]: it declares {', '.join(tables)}")
    places = Table.each_of(path, tables)
    policy = proof_policy(wiring.policy.overlay)
    read = {name: _read(places[name], table, wiring, policy) for name, table in tables.items()}
    read = dict(zip(read, _with_shared_faults(_with_states(list(read.values()), places, wiring), places), strict=True))
    chosen = [each for name, each in read.items() if only in {None, name}]
    try:
        examined = await asyncio.gather(
            *(_with_live_faults(places[each.name], each, wiring.clock) if live else _unchanged(each) for each in chosen)
        )
        return [_with_policy_faults(places[each.name], each) for each in examined]
    finally:
        adapters = [each.declared.adapter for each in read.values() if each.declared and each.declared.adapter]
        await asyncio.gather(*(adapter.close() for adapter in adapters))


def emitter_faults(path: Path, checked: Sequence[SystemCheck]) -> Sequence[Fault]:
    """Returns what is wrong in a file of emitters, also in relation to these systems."""
    try:
        emitters = read_emitters(path)
    except Misconfigured as error:
        return error.faults
    sources = {each.name for each in checked if each.declared and each.declared.assigns and each.declared.enabled}
    remedy = f'write the system with assigns = true, or "{FILE_SOURCE}" for assignments that are imported'
    return [
        Fault(
            f"names {emitter.authoritative}, from which no register is filled: {remedy}",
            str(path),
            f"{name}.authoritative",
        )
        for name, emitter in emitters.items()
        if emitter.authoritative and emitter.authoritative not in {*sources, FILE_SOURCE}
    ]


def against_policy(checked: Sequence[SystemCheck]) -> Mapping[str, Sequence[str]]:
    """Returns, by system, the parts of the policy that it cannot do or does not declare."""
    cannot = "its table cannot be used, so nothing is known of it: dsr downstreams check says why"
    found: dict[str, Sequence[str]] = {}
    for each in checked:
        known = each.declared if each.declared and (each.declared.adapter or not each.declared.enabled) else None
        if says := [*known.manual_parts, *known.capabilities.policy_conflicts] if known else [cannot]:
            found[each.name] = says
    return found


def with_unset_faults(checked: SystemCheck) -> SystemCheck:
    """Returns the check with unset variables as faults, because this system is to be asked."""
    unset = (Fault(f"export {name}, or check the file alone with --file-only") for name in checked.unset)
    return replace(checked, faults=(*checked.faults, *unset))


def usable_systems(checked: Sequence[SystemCheck]) -> Downstreams:
    """Returns the systems in use without faults, as the services would load them."""
    declared = [each.declared for each in checked if each.declared and each.declared.enabled and each.declared.adapter]
    with_sources = [replace(each, accounts_from=account_sources(each.accounts, declared)) for each in declared]
    return Downstreams({each.name: each for each in with_register(with_sources)})


@dataclass(frozen=True)
class _Environment(Mapping[str, str]):
    """The environment with placeholders; ``unset`` collects the missing names that were read."""

    known: Mapping[str, str] = field(repr=False)
    stand_ins: Mapping[str, str]
    unset: dict[str, None] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        if value := self.known.get(name):
            return value
        self.unset[name] = None
        return self.stand_ins.get(name, _SECRET)

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


def _read(place: Table, table: object, wiring: Wiring, policy: ProofPolicy) -> SystemCheck:
    """Reads a declaration and connects its adapter, also if it is not enabled."""
    written = table if isinstance(table, dict) else {}
    addresses = {value[2:-1]: _ADDRESS for value in written.values() if str(value).startswith("${")}
    environment = _Environment(wiring.environment, addresses | {str(written.get("dsn_env")): _STORE})
    declared = None
    try:
        declared = declare(place, table, environment)
        declared = connect(place, declared, replace(wiring, environment=environment), policy)
    except Misconfigured as error:
        named = () if declared else _faults_of_what_it_names(place, written)
        return SystemCheck(place.name, declared, (*error.faults, *named), unset=tuple(environment.unset))
    return SystemCheck(place.name, declared, unset=tuple(environment.unset))


def _faults_of_what_it_names(place: Table, written: Mapping[str, object]) -> Sequence[Fault]:
    """Checks the dataset or declaration of a table that itself has faults."""
    key, load = _NAMED.get(str(written.get("adapter")), ("", None))
    if load is None or not isinstance(name := written.get(key), str):
        return ()
    try:
        load(str(place.file.parent / name) if name.endswith(".toml") else name)
    except Misconfigured as error:
        return error.faults
    return ()


_NAMED: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "sql": ("dataset", Dataset.load),
    "http": ("declaration", lambda name: read_declaration(path_of(name))),
}


def _with_states(read: Sequence[SystemCheck], places: Mapping[str, Table], wiring: Wiring) -> Sequence[SystemCheck]:
    """Adds the states that keep data and that no system reports."""
    usable = [each.declared for each in read if each.declared and each.declared.adapter]
    known = {each.name: each for each in with_states(usable, wiring.policy)}
    return [
        _with_manual_parts(places[each.name], each, known[each.name]) if each.name in known else each for each in read
    ]


def _with_manual_parts(place: Table, read: SystemCheck, declared: Downstream) -> SystemCheck:
    says = tuple(place.fault(each) for each in declared.manual_parts)
    return replace(read, declared=declared, manual_parts=says)


def _with_shared_faults(read: Sequence[SystemCheck], places: Mapping[str, Table]) -> Sequence[SystemCheck]:
    """Adds faults that several systems cause together."""
    assigning = [each.name for each in read if each.declared and each.declared.assigns and each.declared.enabled]
    if len(assigning) < 2:  # noqa: PLR2004  # one says it, and another contradicts it
        return read
    says = f"{' and '.join(assigning)} have assigns = true; one says whose a number is"
    return [
        replace(each, faults=(*each.faults, places[each.name].fault(says))) if each.name in assigning else each
        for each in read
    ]


def _with_policy_faults(place: Table, read: SystemCheck) -> SystemCheck:
    """Adds the parts of the policy that the declaration does not cover."""
    says = read.declared.capabilities.policy_conflicts if read.declared else ()
    return replace(read, faults=(*read.faults, *map(place.fault, says)))


async def _unchanged(read: SystemCheck) -> SystemCheck:
    return read


async def _with_live_faults(place: Table, read: SystemCheck, clock: Clock) -> SystemCheck:
    """Adds the faults of the live system."""
    adapter: object = read.declared.adapter if read.declared and read.declared.enabled else None
    if read.faults or read.unset or not isinstance(adapter, Inspectable):
        return read
    tried: Sequence[Tried] = ()
    try:
        tried = await adapter.inspect()
        if read.declared and not any(each.missing for each in tried):
            tried = [*tried, *await _located(read.declared, clock.now())]
    except DsrError as error:
        tried = [*tried, Tried("access", read.name, str(error))]
    faults = tuple(place.fault(each.says) for each in tried if each.missing)
    return replace(read, faults=faults, live=True, tried=tuple(tried))


async def _located(declared: Downstream, now: datetime) -> list[Tried]:
    """Searches for a person who does not exist, by each identity that the system needs."""
    tried = list[Tried]()
    for kind, value in _ABSENT.items() if declared.can(Operation.LOCATE) else ():
        if kind in declared.needs:
            since = None if kind in {IdentityType.EMAIL, IdentityType.ACCOUNT_ID} else _SINCE
            who = Identity(kind, value, since, source=declared.name, level="L2")
            task = Task(uuid4(), uuid4(), uuid4(), declared.name, Operation.LOCATE, (who,), level="L2", at=now)
            [result] = await declared.operate(Operation.LOCATE)([task], _keep_nothing)
            missing = str(result) if isinstance(result, DsrError) else ""
            tried.append(Tried("locate", f"a search by {kind}", missing))
    return tried


async def _keep_nothing(_: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
    """Keeps no notes: a search leaves nothing to remember."""


_SINCE: Final = datetime(2020, 1, 1, tzinfo=UTC)
_ABSENT: Final = {
    IdentityType.EMAIL: "dsr-check@absent.invalid",
    IdentityType.PHONE: "+442079460000",
    IdentityType.ACCOUNT_ID: "dsr-check-absent",
    IdentityType.SIP_URI: "sip:dsr-check@absent.invalid",
}
"""Identities of a person who does not exist; the number is reserved for fiction."""
