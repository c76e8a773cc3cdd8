"""Who is found: the records of a subject, resource by resource, each checked to be theirs before it is believed."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from shared.domain.errors import AnswerMalformed, ColumnUnmapped, ForeignHit
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.release import Match
from shared.downstreams import claims
from shared.downstreams.claims import NAMED, Row, Said
from shared.downstreams.contract import Task
from shared.downstreams.http.declaration import Declaration, Resource
from shared.downstreams.http.pages import pages_of
from shared.downstreams.http.paths import ABSENT, at, each_at
from shared.downstreams.http.requests import Find
from shared.downstreams.http.session import Session
from shared.downstreams.http.templates import Values

_LONGEST_ID = 500
_FIELD = re.compile(r"[a-z][A-Za-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class Hit:
    """One record that is the subject's: of which resource, under which id, what it says, and what it lies below.

    ``said``: what it was found by, and what it and what it lies below say of whom they are about.
    """

    resource: str
    id: str | int
    record: Mapping[str, Any]
    matched: tuple[Match, ...]
    above: "Hit | None" = None
    said: Row = ()

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from every other record of the system."""
        return self.resource, str(self.id)

    def up_to(self, resource: str) -> "Hit | None":
        """Itself, or what it lies below, whichever is of that resource."""
        hit: Hit | None = self
        while hit is not None and hit.resource != resource:
            hit = hit.above
        return hit

    @property
    def values(self) -> dict[str, Any]:
        """What templates may name of it: its id, and every field of what it lies below."""
        said: dict[str, Any] = {"id": self.id}
        above = self.above
        while above is not None:
            said |= {f"{above.resource}.{path}": value for path, value in _leaves(above.record)}
            above = above.above
        return said


@dataclass(slots=True)
class Found:
    """The records of one subject, each once, in the order of the resources; ``known``: those that had been found.

    ``taken``: those of which nothing is kept, since somebody has taken them.
    ``others``: how many records of others stand in what is theirs, where the declaration says to count those.
    """

    hits: dict[tuple[str, str], Hit] = field(default_factory=dict)
    known: set[tuple[str, str]] = field(default_factory=set)
    others: int = 0
    taken: set[tuple[str, str]] = field(default_factory=set)

    def again(self, resource: str) -> bool:
        """Whether a record of that resource was found that had been found before."""
        return any(name == resource for name, _ in self.known)

    def of(self, resource: str) -> list[Hit]:
        """Those of one resource."""
        return [hit for hit in self.hits.values() if hit.resource == resource]


Take = Callable[[Hit], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Into:
    """Where records go that are the subject's: ``ends`` are resources of which nothing is kept, since it was taken."""

    found: Found
    identities: Sequence[Identity]
    known: Collection[tuple[str, str]]
    take: Take | None
    ends: frozenset[str]
    said: set[Row] = field(default_factory=set)

    async def put(self, hit: Hit) -> None:
        if hit.key in self.known:
            self.found.known.add(hit.key)
        elif hit.key not in self.found.hits and hit.key not in self.found.taken:
            if hit.resource in self.ends:
                self.found.taken.add(hit.key)
            else:
                self.found.hits[hit.key] = hit
            if self.take:
                await self.take(hit)


class Search:
    """Searches one system by what a task knows of its subject."""

    def __init__(self, system: str, declaration: Declaration, session: Session) -> None:
        self._system = system
        self._declaration = declaration
        self._session = session
        self._order = tuple(declaration.order)

    async def find(
        self,
        task: Task,
        known: Collection[tuple[str, str]] = (),
        take: Take | None = None,
        judged: Collection[tuple[str, str]] = (),
    ) -> Found:
        """Every record of the subject, of every resource; what is ``known`` is only noted, with nothing below it.

        ``judged``: what stays of what had been found, of which it was asked then whose it is: what told it may be gone.
        ``take``: gets each record as soon as it is read; of those below which no others may lie nothing else is kept.

        Raises:
            ForeignHit: the search brings somebody else's too, and the declaration does not say to skip them.
            BlastRadius: an account of the subject's leads to records of other people.
            AnswerMalformed: pages come again, have no end, or records are none.
        """
        resources = self._declaration.resource
        ends = frozenset(resources) - {each.of for each in resources.values()} if take else frozenset[str]()
        into = _Into(found := Found(), task.identities, known, take, ends)
        for name in self._order:
            resource = resources[name]
            for find in resource.find:
                if resource.of is None:
                    for identity in task.identities:
                        if identity.type in find.by:
                            by = (Said(identity.type, identity.value),)
                            await self._read(into, name, find, {identity.type.value: identity.value}, None, by)
                else:
                    for above in found.of(resource.of):
                        under = {f"{resource.of}.{path}": value for path, value in _leaves(above.record)}
                        said = tuple(each._replace(record=False) for each in above.said)
                        await self._read(into, name, find, {**above.values, **under}, above, said)
        new = (found.hits.keys() | found.taken).difference(judged)
        if new and (beyond := claims.beyond(task, into.said)):
            raise beyond
        return found

    async def _read(self, into: "_Into", name: str, find: Find, values: Values, above: Hit | None, by: Row) -> None:
        async for record in self._records(find, values):
            number = at(record, find.id)
            if not _is_text(number) or len(str(number)) > _LONGEST_ID or not str(number).isprintable():
                raise AnswerMalformed(f"{self._system} has a {name} without {find.id}")
            matched = self._theirs(self._declaration.resource[name], record, above, into.identities)
            if matched is None and find.foreign == "refuse":
                raise ForeignHit(f"{self._system} found a {name} of somebody else too; nothing was done")
            if matched is None:
                into.found.others += find.foreign == "count"
            else:
                said = (*by, *_said(self._declaration.resource[name], record))
                if any(each.type is IdentityType.ACCOUNT_ID for each in said):
                    into.said.add(said)
                await into.put(Hit(name, number, record, matched, above, said))

    async def _records(self, find: Find, values: Values) -> AsyncIterator[Mapping[str, Any]]:
        """The records of every page, as they come."""
        async for page in pages_of(self._system, self._session, find, values):
            for record in page:
                yield record

    def _theirs(
        self, resource: Resource, record: Mapping[str, Any], above: Hit | None, identities: Sequence[Identity]
    ) -> tuple[Match, ...] | None:
        """By what the record is shown to be the subject's: every owner that is declared agrees; else None.

        One of a kind of which nothing is known yet, and that the record tells, agrees with whatever else does.
        """
        matched: list[Match] = []
        rests_on, tells = False, False
        for path, whose in resource.owner.items():
            values = each_at(record, path)
            if whose not in set(IdentityType):
                parent, _, field_of_it = whose.partition(".")
                over = None if above is None else above.up_to(parent)
                wanted = ABSENT if over is None else at(over.record, field_of_it)
                if not _is_text(wanted) or str(wanted) not in {str(each) for each in values if _is_text(each)}:
                    return None
                rests_on = True
                continue
            kind = IdentityType(whose)
            known = {each.value: each for each in identities if each.type is kind}
            theirs = [value for value in values if spelled(kind, value) in known]
            if theirs:
                rests_on |= any(_is_theirs_alone(known[spelled(kind, value)]) for value in theirs)
            elif resource.yields.get(path) is kind and all(each.claimed for each in known.values()):
                if not any(spelled(kind, value) for value in values):
                    return None
                tells = True
            else:
                return None
            matched += [Match(whose, str(value)) for value in theirs]
        if tells and not rests_on:
            return None
        return (*matched, *(above.matched if above else ()))


def _is_theirs_alone(identity: Identity) -> bool:
    """Whether it is theirs today, and of nobody else who is known, and no claim."""
    return identity.valid_to is None and not identity.shared and not identity.claimed


def shown(system: str, resource: Resource, record: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record its subject is shown.

    Raises:
        ColumnUnmapped: it has a field that nobody has classified.
    """
    if unknown := record.keys() - resource.fields.keys():
        # Whatever else stands where a field's name should could be somebody's name or number.
        names = sorted({each if _FIELD.fullmatch(each) else "one whose name is none" for each in unknown})
        raise ColumnUnmapped(f"{system} has fields that its declaration does not classify: {', '.join(names)}")
    return {name: value for name, value in record.items() if name in resource.shown}


def yielded(system: str, resource: Resource, record: Mapping[str, Any]) -> list[Identity]:
    """What else the subject is known by, as a record says it; what cannot be spelled is nobody's."""
    told = ((kind, spelled(kind, at(record, path))) for path, kind in resource.yields.items())
    accounts = IdentityType.ACCOUNT_ID
    return [Identity(kind, value, source=system, claimed=kind is accounts) for kind, value in told if value]


def _said(resource: Resource, record: Mapping[str, Any]) -> Iterator[Said]:
    """What a record says of whom it is about; what it lies below, and what it was found by, is no word of its own."""
    recorded, of_one = resource.accounts_recorded, resource.person is not None
    owners = ((path, IdentityType(whose)) for path, whose in resource.owner.items() if whose in set(IdentityType))
    corrected = ((str(each.path), NAMED[name]) for name, each in resource.rectify.items() if name in NAMED)
    for path, kind in dict.fromkeys([*owners, *resource.yields.items(), *corrected]):
        own = path in recorded if kind is IdentityType.ACCOUNT_ID else bool(recorded)
        said = (str(value) for value in each_at(record, path) if _is_text(value))
        yield from (Said(kind, value, of_one=of_one, record=own) for value in said)


def _is_text(value: object) -> TypeGuard[str | int]:
    return isinstance(value, str | int) and not isinstance(value, bool)


def spelled(kind: IdentityType, value: object) -> str:
    """An identity in its one spelling; empty, where it can be none."""
    if not _is_text(value):
        return ""
    try:
        return normalise(kind, str(value))
    except MalformedIdentity:
        return ""


def _leaves(record: Mapping[str, Any], below: str = "") -> list[tuple[str, Any]]:
    """Every value of a record that is neither object nor list, by its path."""
    leaves: list[tuple[str, Any]] = []
    for name, value in record.items():
        path = f"{below}{name}"
        if isinstance(value, Mapping):
            leaves += _leaves(value, f"{path}.")
        elif not isinstance(value, list):
            leaves.append((path, value))
    return leaves
