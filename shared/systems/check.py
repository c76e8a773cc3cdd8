"""What a check finds of each system of a downstreams file: every mistake at once, in it and in the live system."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from shared.domain.errors import DsrError, Fault, Misconfigured
from shared.domain.proofs import ProofPolicy, proof_policy
from shared.domain.user_events import FILE_SOURCE, read_emitters
from shared.systems.downstream import Downstream
from shared.systems.file import Table, declare, tables_of
from shared.systems.http.declaration import read_declaration
from shared.systems.http.settings import path_of
from shared.systems.protocols import Inspectable
from shared.systems.registry import Downstreams, Wiring, connect
from shared.systems.relations import beside_the_register, speaking_of, with_states
from shared.systems.sql.dataset import Dataset

_ADDRESS, _STORE, _SECRET = "http://not-set.invalid", "postgresql://not-set.invalid/", "not-set"
"""What stands for a variable that is not set, while the file alone is checked."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One system: what is declared of it, and what is wrong.

    ``by_person``: what of the policy a person sees to there as it is declared; it can be used all the same.
    ``unset``: variables that it names and that are not set, so it was checked by its file alone; ``looked``: whether
    the live system was asked.
    """

    name: str
    declared: Downstream | None
    faults: tuple[Fault, ...] = ()
    by_person: tuple[Fault, ...] = ()
    unset: tuple[str, ...] = ()
    looked: bool = False


async def check(path: Path, wiring: Wiring, only: str | None = None, *, live: bool = True) -> Sequence[Checked]:
    """Every system of the file, or one; the live systems side by side.

    Raises:
        Misconfigured: there is no such file or system, or the file is no TOML.
    """
    tables = tables_of(path)
    if only is not None and only not in tables:
        raise Misconfigured(f"{path} declares no [{only}]: it declares {', '.join(tables)}")
    places = Table.each_of(path, tables)
    policy = proof_policy(wiring.policy.overlay)
    read = {name: _read(places[name], table, wiring, policy) for name, table in tables.items()}
    read = dict(zip(read, _together(_told(list(read.values()), places, wiring), places), strict=True))
    chosen = [each for name, each in read.items() if only in {None, name}]
    try:
        looked = await asyncio.gather(
            *(_looked(places[each.name], each) if live else _as_it_is(each) for each in chosen)
        )
        return [_beside_policy(places[each.name], each) for each in looked]
    finally:
        adapters = [each.declared.adapter for each in read.values() if each.declared and each.declared.adapter]
        await asyncio.gather(*(adapter.close() for adapter in adapters))


def emitters_beside(path: Path, checked: Sequence[Checked]) -> Sequence[Fault]:
    """What is wrong with a file of emitters, by itself and beside these systems."""
    try:
        emitters = read_emitters(path)
    except Misconfigured as error:
        return error.faults
    sources = {each.name for each in checked if each.declared and each.declared.assigns and each.declared.enabled}
    instead = f'write the system with assigns = true, or "{FILE_SOURCE}" for assignments that are imported'
    return [
        Fault(
            f"names {emitter.authoritative}, from which no register is filled: {instead}",
            str(path),
            f"{name}.authoritative",
        )
        for name, emitter in emitters.items()
        if emitter.authoritative and emitter.authoritative not in {*sources, FILE_SOURCE}
    ]


def against_policy(checked: Sequence[Checked]) -> Mapping[str, Sequence[str]]:
    """By system what of the policy it cannot do or does not say how to do, or that nobody can tell it."""
    cannot = "its table cannot be used, so nothing is known of it: dsr downstreams check says why"
    told: dict[str, Sequence[str]] = {}
    for each in checked:
        known = each.declared if each.declared and (each.declared.adapter or not each.declared.enabled) else None
        if says := [*known.by_person, *known.capable.against_policy] if known else [cannot]:
            told[each.name] = says
    return told


def demanding(checked: Checked) -> Checked:
    """The same; that a variable is not set is a fault, since this very system is to be looked at."""
    unset = (Fault(f"export {name}, or check the file alone with --file-only") for name in checked.unset)
    return replace(checked, faults=(*checked.faults, *unset))


def working(checked: Sequence[Checked]) -> Downstreams:
    """The systems that are in use and have no fault, as the services would have them."""
    declared = [each.declared for each in checked if each.declared and each.declared.enabled and each.declared.adapter]
    spoken = [replace(each, accounts_from=speaking_of(each.accounts, declared)) for each in declared]
    return Downstreams({each.name: each for each in beside_the_register(spoken)})


@dataclass(frozen=True)
class _Environment(Mapping[str, str]):
    """The environment, with something in the place of what is not set; ``unset`` names what was asked for."""

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


def _read(place: Table, table: object, wiring: Wiring, policy: ProofPolicy) -> Checked:
    """What the file says of it, with its adapter; also of one that is not enabled."""
    written = table if isinstance(table, dict) else {}
    addresses = {value[2:-1]: _ADDRESS for value in written.values() if str(value).startswith("${")}
    environment = _Environment(wiring.environment, addresses | {str(written.get("dsn_env")): _STORE})
    declared = None
    try:
        declared = declare(place, table, environment)
        declared = connect(place, declared, replace(wiring, environment=environment), policy)
    except Misconfigured as error:
        named = () if declared else _faults_of_what_it_names(place, written)
        return Checked(place.name, declared, (*error.faults, *named), unset=tuple(environment.unset))
    return Checked(place.name, declared, unset=tuple(environment.unset))


def _faults_of_what_it_names(place: Table, written: Mapping[str, object]) -> Sequence[Fault]:
    """What is wrong with the dataset or the declaration of a table that cannot be used itself."""
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


def _told(read: Sequence[Checked], places: Mapping[str, Table], wiring: Wiring) -> Sequence[Checked]:
    """The same, with the states by which data may have to stay, and that none of them tells."""
    usable = [each.declared for each in read if each.declared and each.declared.adapter]
    known = {each.name: each for each in with_states(usable, wiring.policy)}
    return [_with(places[each.name], each, known[each.name]) if each.name in known else each for each in read]


def _with(place: Table, read: Checked, declared: Downstream) -> Checked:
    says = tuple(place.fault(each) for each in declared.by_person)
    return replace(read, declared=declared, by_person=says)


def _together(read: Sequence[Checked], places: Mapping[str, Table]) -> Sequence[Checked]:
    """The same, with what is wrong of several systems together."""
    assigning = [each.name for each in read if each.declared and each.declared.assigns and each.declared.enabled]
    if len(assigning) < 2:  # noqa: PLR2004  # one says it, and another contradicts it
        return read
    says = f"{' and '.join(assigning)} have assigns = true; one says whose a number is"
    return [
        replace(each, faults=(*each.faults, places[each.name].fault(says))) if each.name in assigning else each
        for each in read
    ]


def _beside_policy(place: Table, read: Checked) -> Checked:
    """The same, with what of the policy its declaration says not how to do; known by the files, whatever is there."""
    says = read.declared.capable.against_policy if read.declared else ()
    return replace(read, faults=(*read.faults, *map(place.fault, says)))


async def _as_it_is(read: Checked) -> Checked:
    return read


async def _looked(place: Table, read: Checked) -> Checked:
    """The same, with what is wrong with the live system."""
    adapter: object = read.declared.adapter if read.declared and read.declared.enabled else None
    if read.faults or read.unset or not isinstance(adapter, Inspectable):
        return read
    try:
        found = await adapter.inspect()
    except DsrError as error:
        found = [str(error)]
    return replace(read, faults=tuple(place.fault(each) for each in found), looked=True)
