"""Offers the resources of a declared system to the engine as places, and finds, reads and changes their records.

The system has no transactions: ``steps.py`` erases step by step, and a changed record is read again.
"""

import hashlib
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard
from uuid import UUID

from shared.domain.clock import Clock
from shared.domain.errors import AnswerMalformed, ColumnUnmapped, NotSupported, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.operations import Operation
from shared.systems.contract import Task
from shared.systems.engine.account_claims import TYPE_OF_FIELD
from shared.systems.engine.records import (
    ABSENT,
    AppliedChanges,
    ChangeKind,
    Flag,
    Holder,
    Link,
    Page,
    Record,
    RecordChange,
    RecordField,
    RecordName,
    RecordState,
    Shape,
    SubjectSearch,
)
from shared.systems.engine.stepwise import NonTransactionalUnit, SingleUnitSystem
from shared.systems.http.declaration import FIELD, SHOWN, ChangeStep, Declaration, FindRequest, Resource
from shared.systems.http.paths import Condition, value_at, values_at
from shared.systems.http.session import Session, pages_of
from shared.systems.http.steps import HttpSteps
from shared.systems.sweepable import DueRecords

_KEY_OF_OPERATION = {
    (ChangeKind.MARK, "restriction"): Operation.RESTRICT,
    (ChangeKind.UNMARK, "restriction"): Operation.LIFT,
    (ChangeKind.MARK, "marketing"): Operation.SUPPRESS,
}


_LONGEST_ID = 500


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """One record of the subject, with the record above it.

    ``found_by``: the identity that found it; ``identities``: by path the normalised identities of the subject in it.
    """

    task: Task
    resource: str
    id: str | int
    record: Mapping[str, Any]
    parent: "FoundRecord | None" = None
    found_by: Identity | None = None
    identities: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> RecordName:
        """The unique name in the system."""
        return self.resource, (str(self.id),)

    @property
    def line(self) -> "Iterator[FoundRecord]":
        """The records above, the nearest first."""
        above = self.parent
        while above is not None:
            yield above
            above = above.parent

    @property
    def values(self) -> dict[str, Any]:
        """The values for templates: identities, its id, and every field of the records above."""
        values: dict[str, Any] = {each.type.value: each.value for each in self.task.identities} | {"id": self.id}
        for above in self.line:
            values |= {f"{above.resource}.{path}": value for path, value in _leaves(above.record)}
        return values


class HttpSearch:
    """Searches one system by the identities of a task.

    ``others``: by task, the number of other people's records, if the declaration says to count them.
    """

    def __init__(self, system: str, declaration: Declaration, session: Session) -> None:
        self._system = system
        self._declaration = declaration
        self._session = session
        self._parents = {each.of for each in declaration.resource.values()}
        self.others: dict[UUID, int] = {}

    async def find(self, task: Task) -> AsyncGenerator[Sequence[FoundRecord]]:
        """Yields every record of the subject once, page by page; holds only records with records below.

        Raises:
            WrongPersonMatch: the search also returns records of others, and the declaration does not say to count them.
        """
        seen, parents = set[RecordName](), dict[str, list[FoundRecord]]()
        self.others[task.task_id] = 0
        for name in self._declaration.order:
            for find, found_by, parent, values in self._searches(task, name, parents):
                async for page in pages_of(self._system, self._session, find, values):
                    hits: list[FoundRecord] = []
                    for record in page:
                        hit = self._hit(task, name, find, record, parent, found_by)
                        if hit is not None and hit.name not in seen:
                            seen.add(hit.name)
                            hits.append(hit)
                    if name in self._parents:
                        parents.setdefault(name, []).extend(hits)
                    yield hits

    def _searches(
        self, task: Task, name: str, parents: Mapping[str, Sequence[FoundRecord]]
    ) -> Iterator[tuple[FindRequest, Identity | None, FoundRecord | None, Mapping[str, Any]]]:
        """Yields each search of a resource: by an identity, or below a record."""
        resource = self._declaration.resource[name]
        for find in resource.find:
            if resource.of is None:
                for each in task.identities:
                    if each.type in find.by and each.valid_to is None:
                        yield find, each, None, {each.type.value: each.value}
            else:
                for parent in parents.get(resource.of, ()):
                    under = {f"{parent.resource}.{path}": value for path, value in _leaves(parent.record)}
                    yield find, None, parent, {**parent.values, **under}

    def _hit(
        self,
        task: Task,
        name: str,
        find: FindRequest,
        record: Mapping[str, Any],
        parent: FoundRecord | None,
        found_by: Identity | None,
    ) -> FoundRecord | None:
        number = value_at(record, find.id)
        if not is_text(number) or len(str(number)) > _LONGEST_ID or not str(number).isprintable():
            raise AnswerMalformed(f"{self._system} has a {name} without {find.id}")
        identities = _identities_shown(self._declaration.resource[name], record, parent, task.identities)
        if identities is not None:
            return FoundRecord(task, name, number, record, parent, found_by, identities)
        if find.foreign == "refuse":
            raise WrongPersonMatch(f"{self._system} found a {name} of another person too; nothing was done")
        self.others[task.task_id] += find.foreign == "count"
        return None


def _identities_shown(
    resource: Resource, record: Mapping[str, Any], above: FoundRecord | None, identities: Sequence[Identity]
) -> Mapping[str, str] | None:
    """Returns the identities that show the record to be the subject's; None unless every declared owner agrees.

    A type that the record yields, and of which none is known for certain, agrees if another owner does.
    """
    matched: dict[str, str] = {}
    needed_types, shows = False, False
    for path, owner_type in resource.owner.items():
        values = values_at(record, path)
        if owner_type not in set(IdentityType):
            if not _is_below(owner_type, values, above):
                return None
            needed_types = True
            continue
        kind = IdentityType(owner_type)
        known = {each.value: each for each in identities if each.type is kind and each.valid_to is None}
        spellings = [spelled(kind, value) for value in values]
        shown_identities = [each for each in spellings if each in known]
        if shown_identities:
            needed_types |= any(_is_unshared(known[each]) for each in shown_identities)
            matched[path] = shown_identities[0]
        elif resource.yields.get(path) is kind and all(each.claimed for each in known.values()) and any(spellings):
            shows = True
        else:
            return None
    return None if shows and not needed_types else matched


def _is_below(owner_path: str, values: Collection[object], above: FoundRecord | None) -> bool:
    """Returns whether a record names the declared field of a record above."""
    parent, _, field_of_it = owner_path.partition(".")
    line = () if above is None else (above, *above.line)
    over = next((each for each in line if each.resource == parent), None)
    wanted = ABSENT if over is None else value_at(over.record, field_of_it)
    return is_text(wanted) and str(wanted) in {str(each) for each in values if is_text(each)}


def _is_unshared(identity: Identity) -> bool:
    """Returns whether an identity is verified and not shared."""
    return not identity.shared and not identity.claimed


def is_text(value: object) -> TypeGuard[str | int]:
    """Returns whether a value is text or a whole number."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def spelled(kind: IdentityType, value: object) -> str:
    """Returns an identity normalised; empty if it is invalid."""
    if not is_text(value):
        return ""
    try:
        return normalise(kind, str(value))
    except MalformedIdentity:
        return ""


def _leaves(record: Mapping[str, Any], below: str = "") -> list[tuple[str, Any]]:
    """Returns every value of a record that is neither object nor list, with its path."""
    leaves: list[tuple[str, Any]] = []
    for name, value in record.items():
        path = f"{below}{name}"
        if isinstance(value, Mapping):
            leaves += _leaves(value, f"{path}.")
        elif not isinstance(value, list):
            leaves.append((path, value))
    return leaves


@dataclass(frozen=True, slots=True)
class _ResourcePlace:
    """A resource and its shape."""

    resource: Resource
    shape: Shape

    def record(self, hit: FoundRecord, *, data: bool = False) -> Record:
        """Returns one of its records for the engine."""
        content, shape = hit.record, self.shape
        return Record(
            shape,
            hit.name[1],
            tuple(_holder(hit, holder) for holder in shape.holders),
            states=tuple(each.lasts(content) for each in self.resource.refuse_when),
            parents=((0, hit.parent.name[1]),) if hit.parent else (),
            flags=(*self._flags(content), None),
            person=None if hit.parent else " ".join(map(str, hit.name)),
            data=self._data(hit) if data else None,
            ref=hit,
        )

    def _data(self, hit: FoundRecord) -> tuple[Any, ...]:
        """Returns the fields of a copy; for a correction the fields that it may replace, and the rest as one."""
        resource, content = self.resource, hit.record
        if hit.task.operation is not Operation.RECTIFY:
            return tuple(content.get(each.column, ABSENT) for each in self.shape.fields)
        corrected = {each.path: value_at(content, each.path) for each in resource.rectify.values()}
        rest = _without(content, corrected)
        known = {**dict.fromkeys(resource.fields, ABSENT), **corrected, "": rest}
        return tuple(known[each.column] if each.rectifies or each.fact else ABSENT for each in self.shape.fields)

    def _flags(self, content: Mapping[str, Any]) -> tuple[bool | None, bool | None]:
        restrict, lift, suppress = self.resource.restrict, self.resource.lift, self.resource.suppress
        lifted = False if lift and _all_hold(lift.seen, content) else None
        restricted = True if restrict and _all_hold(restrict.seen, content) else lifted
        return restricted, None if suppress is None else _all_hold(suppress.seen, content)


def _without(content: object, paths: Collection[str], at_path: str = "") -> object:
    """Returns the value without these paths."""
    match content:
        case Mapping():
            parts = ((name, f"{at_path}.{name}".lstrip("."), each) for name, each in content.items())
            return {name: _without(each, paths, path) for name, path, each in parts if path not in paths}
        case list():
            named = [(f"{at_path}.{n}".lstrip("."), each) for n, each in enumerate(content)]
            return [_without(each, paths, path) for path, each in named if path not in paths]
        case _:
            return content


def _all_hold(conditions: Sequence[Condition], content: object) -> bool:
    return all(each.holds_of(content) for each in conditions)


def _holder(hit: FoundRecord, holder: Holder) -> str | None:
    """Returns the identity in a record: the subject's, or else the first one there."""
    if not holder.column:
        return hit.found_by.value if hit.found_by and hit.found_by.type is holder.type else None
    values = (str(value) for value in values_at(hit.record, holder.column) if is_text(value))
    return hit.identities.get(holder.column) or next(values, None)


def _shape(name: str, resource: Resource) -> Shape:
    return Shape(
        place=name,
        category=resource.category,
        parties={},
        holders=(*_holders(resource),),
        links=(Link(resource.of, joins=False),) if resource.of else (),
        states=tuple(RecordState(each.reason, each.word) for each in resource.refuse_when),
        flags=(
            Flag("restriction", permanent=resource.lift is None) if resource.restrict else None,
            Flag("marketing") if resource.suppress else None,
            None,
        ),
        fields=(
            *(
                RecordField(each, each, _unchanged, kind=kind, shown=kind in SHOWN)
                for each, kind in resource.fields.items()
            ),
            *(
                RecordField(e.path, name, _unchanged, shown=False, rectifies=name)
                for name, e in resource.rectify.items()
            ),
            RecordField("", "", _unchanged, kind="A", shown=False, fact=True),
        ),
        separates_people=None if resource.of else "declared",
        kept_complete=True,
        used_for_marketing=True,
    )


def _unchanged(value: Any) -> Any:
    return value


def _holders(resource: Resource) -> Iterator[Holder]:
    """Yields the holders of its records; one without a column finds records that do not show the identity."""
    by = frozenset[IdentityType]().union(*(find.by for find in resource.find))
    owners = {path: IdentityType(whose) for path, whose in resource.owner.items() if whose in set(IdentityType)}
    for kind in sorted(by - {*owners.values()}):
        yield Holder("", None, kind)
    recorded = resource.accounts_recorded
    corrected = (
        (str(each.path), TYPE_OF_FIELD[name]) for name, each in resource.rectify.items() if name in TYPE_OF_FIELD
    )
    for path, kind in dict.fromkeys([*owners.items(), *resource.yields.items(), *corrected]):
        own = path in recorded if kind is IdentityType.ACCOUNT_ID else bool(recorded)
        finds = owners.get(path) is kind and kind in by
        yield Holder(path, None, kind, finds, resource.yields.get(path) is kind, own)


def _steps(
    resource: Resource, operation: Operation, change: RecordChange, content: Mapping[str, Any]
) -> Iterator[tuple[ChangeStep | None, Mapping[str, Any]]]:
    """Yields the steps of a change with the values for their templates; None if none are declared."""
    if operation is not Operation.RECTIFY:
        declared = getattr(resource, operation)
        yield from ((step, {}) for step in (declared.steps if declared else (None,)))
        return
    for path, asserted in change.values:
        values = {"asserted": asserted, "current": value_at(content, path)}
        correction = next(each for each in resource.rectify.values() if each.path == path)
        yield from ((step, values) for step in correction.steps)


class HttpUnit(HttpSteps, NonTransactionalUnit):
    """Finds and changes records without a transaction."""

    for_many = False

    def __init__(
        self, system: str, declaration: Declaration, session: Session, search: HttpSearch, clock: Clock
    ) -> None:
        NonTransactionalUnit.__init__(self)
        HttpSteps.__init__(self, system, declaration, session, clock)
        self._search, self.others = search, search.others
        resources = ((name, declaration.resource[name]) for name in declaration.order)
        self._places = {name: _ResourcePlace(each, _shape(name, each)) for name, each in resources}
        self.shapes: Sequence[Shape] = [each.shape for each in self._places.values()]
        self.order: Sequence[str] = [*reversed(self._places)]

    async def find(
        self, subjects: Sequence[SubjectSearch], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        """Yields the records of each subject; ``data``: every field must be classified."""
        del lock
        found = 0
        for each in subjects:
            async with aclosing(self._search.find(each.task)) as pages:
                async for hits in pages:
                    found += len(hits)
                    yield [self._record(hit, data=data) for hit in hits]
                    if most is not None and found > most:
                        return

    def _record(self, hit: FoundRecord, *, data: bool = False) -> Record:
        place = self._places[hit.resource]
        if data and hit.task.operation is not Operation.RECTIFY:
            must_be_classified(self._system, place.resource, hit.record)
        return place.record(hit, data=data)

    async def again(self, records: Sequence[Record], *, data: bool = False) -> Sequence[Record]:
        """Reads each record by its id; leaves out those that are ``not_found``."""
        now: list[Record] = []
        for record in records:
            hit: FoundRecord = record.ref
            resource = self._places[hit.resource].resource
            if resource.read is None:
                raise NotSupported(f"{self._system} reads no {hit.resource} by its id: look there")
            answer = await self._session.read(resource.read, hit.values)
            if answer is None:
                continue
            content = answer.body if resource.read.records is None else value_at(answer.body, resource.read.records)
            if not isinstance(content, Mapping):
                raise AnswerMalformed(f"{self._system} answers with no {hit.resource} where one is read by its id")
            now.append(self._record(replace(hit, record=content), data=data))
        return now

    async def apply(self, changes: Sequence[RecordChange], *, skip_referenced: bool = False) -> AppliedChanges:
        """Changes records one by one; raises ``NotSupported`` if a resource declares no steps."""
        del skip_referenced
        for each in changes:
            resource, name = self._places[each.shape.place].resource, each.shape.place
            operation = Operation.RECTIFY if each.kind is ChangeKind.SET else _KEY_OF_OPERATION[each.kind, each.flag]
            for record in each.records:
                hit: FoundRecord = record.ref
                values = {**hit.values, "task_id": str(hit.task.task_id)}
                for step, template_values in _steps(resource, operation, each, hit.record):
                    if step is None:
                        says = f"{self._system} has no way to {operation} {name}: do it there, and enter what was done"
                        raise NotSupported(says)
                    await self._session.ask(step, {**values, **template_values})
        return AppliedChanges([len(each.records) for each in changes], {})

    async def reference(self, records: Sequence[Record]) -> Sequence[str]:
        """Returns a digest of each id."""
        digests = [hashlib.sha256(f"{self._system} {record.key[0]}".encode()).hexdigest()[:32] for record in records]
        return [f"{record.shape.place} {digest}" for record, digest in zip(records, digests, strict=True)]

    async def size(self, place: str) -> int:
        """Not supported: the API lists no records."""
        del place
        raise NotSupported(f"{self._system} does not count its records")

    async def past(self, due: DueRecords, after: Record | None, *, most: int) -> Page:
        """Not supported: the API lists no records."""
        del due, after, most
        raise NotSupported(f"{self._system} does not list records by age")


def must_be_classified(system: str, resource: Resource, record: Mapping[str, Any]) -> None:
    """Raises ``ColumnUnmapped`` if a record has an unclassified field."""
    if unknown := record.keys() - resource.fields.keys():
        # A malformed field name could be personal data.
        names = sorted({each if FIELD.fullmatch(each) else "one whose name is none" for each in unknown})
        raise ColumnUnmapped(f"{system} has fields that its declaration does not classify: {', '.join(names)}")


class HttpSystem(SingleUnitSystem[HttpUnit]):
    """Serves one declared system."""
