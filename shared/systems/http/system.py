"""A declared system as the engine has it: its resources as places, and the records that a search brings.

It has no transactions: what is to go is taken out step by step (``steps.py``), and what is changed is read again.
"""

import hashlib
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from shared.domain.clock import Clock
from shared.domain.errors import AnswerMalformed, ColumnUnmapped, NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.systems.engine.claims import NAMED
from shared.systems.engine.records import (
    ABSENT,
    Applied,
    Change,
    Field,
    Flag,
    Holder,
    Kind,
    Link,
    Page,
    Record,
    Shape,
    State,
    Subject,
)
from shared.systems.engine.stepwise import Moments, OneUnit
from shared.systems.http.declaration import FIELD, SHOWN, Declaration, Resource
from shared.systems.http.paths import Condition, at, each_at
from shared.systems.http.requests import Step
from shared.systems.http.search import Hit, Search, is_text
from shared.systems.http.session import Session
from shared.systems.http.steps import Steps
from shared.systems.sweepable import Due

_DOES = {
    (Kind.MARK, "restriction"): Operation.RESTRICT,
    (Kind.UNMARK, "restriction"): Operation.LIFT,
    (Kind.MARK, "marketing"): Operation.SUPPRESS,
}


@dataclass(frozen=True, slots=True)
class _Place:
    """A resource, and its shape."""

    resource: Resource
    shape: Shape

    def record(self, hit: Hit, *, data: bool = False) -> Record:
        """One of its records."""
        said, shape = hit.record, self.shape
        return Record(
            shape,
            hit.name[1],
            tuple(_holder(hit, holder) for holder in shape.holders),
            states=tuple(each.lasts(said) for each in self.resource.refuse_when),
            parents=((0, hit.above.name[1]),) if hit.above else (),
            flags=(*self._flags(said), None),
            person=None if hit.above else " ".join(map(str, hit.name)),
            data=self._data(hit) if data else None,
            ref=hit,
        )

    def _data(self, hit: Hit) -> tuple[Any, ...]:
        """The fields of a copy; of a correction what it may replace, and all the rest together."""
        resource, said = self.resource, hit.record
        if hit.task.operation is not Operation.RECTIFY:
            return tuple(said.get(each.column, ABSENT) for each in self.shape.fields)
        corrected = {each.path: at(said, each.path) for each in resource.rectify.values()}
        rest = _without(said, corrected)
        known = {**dict.fromkeys(resource.fields, ABSENT), **corrected, "": rest}
        return tuple(known[each.column] if each.rectifies or each.fact else ABSENT for each in self.shape.fields)

    def _flags(self, said: Mapping[str, Any]) -> tuple[bool | None, bool | None]:
        restrict, lift, suppress = self.resource.restrict, self.resource.lift, self.resource.suppress
        lifted = False if lift and _all(lift.seen, said) else None
        restricted = True if restrict and _all(restrict.seen, said) else lifted
        return restricted, None if suppress is None else _all(suppress.seen, said)


def _without(said: object, paths: Collection[str], at_path: str = "") -> object:
    """The same without what stands at these paths."""
    match said:
        case Mapping():
            parts = ((name, f"{at_path}.{name}".lstrip("."), each) for name, each in said.items())
            return {name: _without(each, paths, path) for name, path, each in parts if path not in paths}
        case list():
            return [_without(each, paths, f"{at_path}.{n}".lstrip(".")) for n, each in enumerate(said)]
        case _:
            return said


def _all(conditions: Sequence[Condition], said: object) -> bool:
    return all(each.holds_of(said) for each in conditions)


def _holder(hit: Hit, holder: Holder) -> str | None:
    """What of a record tells whom it is about: what is the subject's, or else the first that stands there."""
    if not holder.column:
        return hit.by.value if hit.by and hit.by.type is holder.type else None
    told = (str(value) for value in each_at(hit.record, holder.column) if is_text(value))
    return hit.theirs.get(holder.column) or next(told, None)


def _shape(name: str, resource: Resource) -> Shape:
    return Shape(
        place=name,
        category=resource.category,
        parties={},
        holders=(*_holders(resource),),
        links=(Link(resource.of, joins=False),) if resource.of else (),
        states=tuple(State(each.reason, each.word) for each in resource.refuse_when),
        flags=(
            Flag("restriction", stays=resource.lift is None) if resource.restrict else None,
            Flag("marketing") if resource.suppress else None,
            None,
        ),
        fields=(
            *(
                Field(each, each, _as_it_is, kind=kind, shown=kind in SHOWN, portable=resource.portable)
                for each, kind in resource.fields.items()
            ),
            *(Field(e.path, name, _as_it_is, shown=False, rectifies=name) for name, e in resource.rectify.items()),
            Field("", "", _as_it_is, kind="A", shown=False, fact=True),
        ),
        apart=None if resource.of else "declared",
        whole=True,
        mails=True,
    )


def _as_it_is(value: Any) -> Any:
    return value


def _holders(resource: Resource) -> Iterator[Holder]:
    """Whom its records name; by a column without a name those are found that show not by what."""
    by = frozenset[IdentityType]().union(*(find.by for find in resource.find))
    owners = {path: IdentityType(whose) for path, whose in resource.owner.items() if whose in set(IdentityType)}
    for kind in sorted(by - {*owners.values()}):
        yield Holder("", None, kind)
    recorded = resource.accounts_recorded
    corrected = ((str(each.path), NAMED[name]) for name, each in resource.rectify.items() if name in NAMED)
    for path, kind in dict.fromkeys([*owners.items(), *resource.yields.items(), *corrected]):
        own = path in recorded if kind is IdentityType.ACCOUNT_ID else bool(recorded)
        finds = owners.get(path) is kind and kind in by
        yield Holder(path, None, kind, finds, resource.yields.get(path) is kind, own)


def _steps(
    resource: Resource, operation: Operation, change: Change, said: Mapping[str, Any]
) -> Iterator[tuple[Step | None, Mapping[str, Any]]]:
    """The steps of a change of one record, with what their templates may name of it; None where there are none."""
    if operation is not Operation.RECTIFY:
        declared = getattr(resource, operation)
        yield from ((step, {}) for step in (declared.steps if declared else (None,)))
        return
    for path, asserted in change.values:
        values = {"asserted": asserted, "current": at(said, path)}
        correction = next(each for each in resource.rectify.values() if each.path == path)
        yield from ((step, values) for step in correction.steps)


class HttpUnit(Steps, Moments):
    """Every call is a moment of its own."""

    for_many = False

    def __init__(self, system: str, declaration: Declaration, session: Session, search: Search, clock: Clock) -> None:
        Moments.__init__(self)
        Steps.__init__(self, system, declaration, session, clock)
        self._search, self.others = search, search.others
        resources = ((name, declaration.resource[name]) for name in declaration.order)
        self._places = {name: _Place(each, _shape(name, each)) for name, each in resources}
        self.shapes: Sequence[Shape] = [each.shape for each in self._places.values()]
        self.order: Sequence[str] = [*reversed(self._places)]

    async def find(
        self, subjects: Sequence[Subject], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        """The records of each; ``data``: every field of them must be classified."""
        del lock
        found = 0
        for each in subjects:
            async with aclosing(self._search.find(each.task)) as pages:
                async for hits in pages:
                    found += len(hits)
                    yield [self._record(hit, data=data) for hit in hits]
                    if most is not None and found > most:
                        return

    def _record(self, hit: Hit, *, data: bool = False) -> Record:
        place = self._places[hit.resource]
        if data and hit.task.operation is not Operation.RECTIFY:
            must_be_classified(self._system, place.resource, hit.record)
        return place.record(hit, data=data)

    async def again(self, records: Sequence[Record], *, data: bool = False) -> Sequence[Record]:
        """Reads each by its id."""
        now: list[Record] = []
        for record in records:
            hit: Hit = record.ref
            resource = self._places[hit.resource].resource
            if resource.read is None:
                raise NotSupported(f"{self._system} reads no {hit.resource} by its id: look there")
            said = await self._session.ask(resource.read, hit.values)
            said = said if resource.read_record is None else at(said, resource.read_record)
            if isinstance(said, Mapping):
                now.append(self._record(replace(hit, record=said), data=data))
            elif said is not ABSENT:
                raise AnswerMalformed(f"{self._system} reads no {hit.resource} by its id")
        return now

    async def apply(self, changes: Sequence[Change], *, skip_tied: bool = False) -> Applied:
        """Takes the steps of a change in place, record by record.

        Raises:
            NotSupported: a resource has none; others were changed before.
        """
        del skip_tied
        for each in changes:
            resource, name = self._places[each.shape.place].resource, each.shape.place
            operation = Operation.RECTIFY if each.kind is Kind.SET else _DOES[each.kind, each.flag]
            for record in each.records:
                hit: Hit = record.ref
                values = {**hit.values, "task_id": str(hit.task.task_id)}
                for step, said in _steps(resource, operation, each, hit.record):
                    if step is None:
                        told = f"{self._system} has no way to {operation} {name}: do it there, and enter what was done"
                        raise NotSupported(told)
                    await self._session.ask(step, {**values, **said})
        return Applied([len(each.records) for each in changes], {})

    async def reference(self, records: Sequence[Record]) -> Sequence[str]:
        """A digest of each id."""
        digests = [hashlib.sha256(f"{self._system} {record.key[0]}".encode()).hexdigest()[:32] for record in records]
        return [f"{record.shape.place} {digest}" for record, digest in zip(records, digests, strict=True)]

    async def size(self, place: str) -> int:
        """Nobody can list them."""
        del place
        raise NotSupported(f"{self._system} does not tell how many records there are")

    async def past(self, due: Due, after: Record | None, *, most: int) -> Page:
        """Nobody can list them."""
        del due, after, most
        raise NotSupported(f"{self._system} does not list what is past its day")


def must_be_classified(system: str, resource: Resource, record: Mapping[str, Any]) -> None:
    """Raises ``ColumnUnmapped`` where a record has a field that nobody has classified."""
    if unknown := record.keys() - resource.fields.keys():
        # Whatever else stands where a field's name should could be somebody's name or number.
        names = sorted({each if FIELD.fullmatch(each) else "one whose name is none" for each in unknown})
        raise ColumnUnmapped(f"{system} has fields that its declaration does not classify: {', '.join(names)}")


class HttpSystem(OneUnit[HttpUnit]):
    """Serves one declared system."""
