"""Who is found: the records of a subject, resource by resource, each checked to be theirs before it is believed."""

from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard
from uuid import UUID

from shared.domain.errors import AnswerMalformed, ForeignHit
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.systems.contract import Task
from shared.systems.engine.records import ABSENT, Name
from shared.systems.http.declaration import Declaration, Resource
from shared.systems.http.pages import pages_of
from shared.systems.http.paths import at, each_at
from shared.systems.http.requests import Find
from shared.systems.http.session import Session

_LONGEST_ID = 500


@dataclass(frozen=True, slots=True)
class Hit:
    """One record that is the subject's: of which resource, under which id, what it says, and what it lies below.

    ``by``: what it was found by; ``theirs``: by path what of theirs stands in it, in its one spelling.
    """

    task: Task
    resource: str
    id: str | int
    record: Mapping[str, Any]
    above: "Hit | None" = None
    by: Identity | None = None
    theirs: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> Name:
        """What tells it from every other record of the system."""
        return self.resource, (str(self.id),)

    @property
    def line(self) -> "Iterator[Hit]":
        """What it lies below, the nearest first."""
        above = self.above
        while above is not None:
            yield above
            above = above.above

    @property
    def values(self) -> dict[str, Any]:
        """What templates may name of it: identities, its id, and every field of what it lies below."""
        said: dict[str, Any] = {each.type.value: each.value for each in self.task.identities} | {"id": self.id}
        for above in self.line:
            said |= {f"{above.resource}.{path}": value for path, value in _leaves(above.record)}
        return said


class Search:
    """Searches one system by what a task knows of its subject.

    ``others``: by task, how many records of others stood in what is theirs, where the declaration says to count those.
    """

    def __init__(self, system: str, declaration: Declaration, session: Session) -> None:
        self._system = system
        self._declaration = declaration
        self._session = session
        self._parents = {each.of for each in declaration.resource.values()}
        self.others: dict[UUID, int] = {}

    async def find(self, task: Task) -> AsyncGenerator[Sequence[Hit]]:
        """Every record of the subject, of every resource, each once, page by page; of leaves nothing is held.

        Raises:
            ForeignHit: the search brings somebody else's too, and the declaration does not say to skip them.
            AnswerMalformed: pages come again, have no end, or records are none.
        """
        seen, held = set[Name](), dict[str, list[Hit]]()
        self.others[task.task_id] = 0
        for name in self._declaration.order:
            for find, by, above, values in self._searches(task, name, held):
                async for page in pages_of(self._system, self._session, find, values):
                    hits: list[Hit] = []
                    for record in page:
                        hit = self._hit(task, name, find, record, above, by)
                        if hit is not None and hit.name not in seen:
                            seen.add(hit.name)
                            hits.append(hit)
                    if name in self._parents:
                        held.setdefault(name, []).extend(hits)
                    yield hits

    def _searches(
        self, task: Task, name: str, held: Mapping[str, Sequence[Hit]]
    ) -> Iterator[tuple[Find, Identity | None, Hit | None, Mapping[str, Any]]]:
        """Each search of a resource: by what, or below what."""
        resource = self._declaration.resource[name]
        for find in resource.find:
            if resource.of is None:
                for each in task.identities:
                    if each.type in find.by and each.valid_to is None:
                        yield find, each, None, {each.type.value: each.value}
            else:
                for above in held.get(resource.of, ()):
                    under = {f"{above.resource}.{path}": value for path, value in _leaves(above.record)}
                    yield find, None, above, {**above.values, **under}

    def _hit(
        self, task: Task, name: str, find: Find, record: Mapping[str, Any], above: Hit | None, by: Identity | None
    ) -> Hit | None:
        number = at(record, find.id)
        if not is_text(number) or len(str(number)) > _LONGEST_ID or not str(number).isprintable():
            raise AnswerMalformed(f"{self._system} has a {name} without {find.id}")
        theirs = _theirs(self._declaration.resource[name], record, above, task.identities)
        if theirs is not None:
            return Hit(task, name, number, record, above, by, theirs)
        if find.foreign == "refuse":
            raise ForeignHit(f"{self._system} found a {name} of somebody else too; nothing was done")
        self.others[task.task_id] += find.foreign == "count"
        return None


def _theirs(
    resource: Resource, record: Mapping[str, Any], above: Hit | None, identities: Sequence[Identity]
) -> Mapping[str, str] | None:
    """By what the record is shown to be the subject's: every owner that is declared agrees; else None.

    One of a kind of which nothing is known yet, and that the record tells, agrees with whatever else does.
    """
    matched: dict[str, str] = {}
    rests_on, tells = False, False
    for path, whose in resource.owner.items():
        values = each_at(record, path)
        if whose not in set(IdentityType):
            if not _is_below(whose, values, above):
                return None
            rests_on = True
            continue
        kind = IdentityType(whose)
        known = {each.value: each for each in identities if each.type is kind and each.valid_to is None}
        spellings = [spelled(kind, value) for value in values]
        theirs = [each for each in spellings if each in known]
        if theirs:
            rests_on |= any(_is_theirs_alone(known[each]) for each in theirs)
            matched[path] = theirs[0]
        elif resource.yields.get(path) is kind and all(each.claimed for each in known.values()) and any(spellings):
            tells = True
        else:
            return None
    return None if tells and not rests_on else matched


def _is_below(whose: str, values: Collection[object], above: Hit | None) -> bool:
    """Whether a record names the field of what it was found below."""
    parent, _, field_of_it = whose.partition(".")
    line = () if above is None else (above, *above.line)
    over = next((each for each in line if each.resource == parent), None)
    wanted = ABSENT if over is None else at(over.record, field_of_it)
    return is_text(wanted) and str(wanted) in {str(each) for each in values if is_text(each)}


def _is_theirs_alone(identity: Identity) -> bool:
    """Whether it is of nobody else who is known, and no claim."""
    return not identity.shared and not identity.claimed


def is_text(value: object) -> TypeGuard[str | int]:
    """Whether it is text or a whole number."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def spelled(kind: IdentityType, value: object) -> str:
    """An identity in its one spelling; empty, where it can be none."""
    if not is_text(value):
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
