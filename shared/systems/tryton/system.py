"""Adapts the CRM to the engine: parties and their rows as places, and the records of proven subjects.

It has no transactions: records are removed step by step (``steps.py``), and changes are read again.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from shared.domain.errors import Refused, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.systems.contract import Task
from shared.systems.engine.records import (
    ABSENT,
    AppliedChanges,
    ChangeKind,
    ColumnGroup,
    Flag,
    Holder,
    Link,
    Page,
    Record,
    RecordChange,
    RecordField,
    RecordState,
    Shape,
    SubjectSearch,
    TimeFormat,
)
from shared.systems.engine.stepwise import NonTransactionalUnit, SingleUnitSystem
from shared.systems.sweepable import DatedPlace, DueRecords
from shared.systems.tryton import customer as customers
from shared.systems.tryton.customer import (
    ADDRESS,
    ASSIGNMENT,
    CONTACT,
    FIELDS,
    IDENTIFIER,
    KINDS,
    PARTY,
    VERSION,
    Customer,
    Row,
    correctable,
    written,
)
from shared.systems.tryton.rpc import CustomerSearch
from shared.systems.tryton.settings import DeclaredGrounds
from shared.systems.tryton.steps import TrytonSteps

FLAGGED: Final = {"restriction": "restricted", "kept": "restricted", "marketing": "marketing_opt_out"}
"""The field of a party by the flag that it is."""
RELATIONSHIP_END: Final = "relationship_end"
LAST_ACTIVITY: Final = "last_activity"
"""The policy's name for the last day of a party's activity."""
CATEGORIES: Final = {
    PARTY: "account",
    CONTACT: "contact",
    ASSIGNMENT: "assignment",
    ADDRESS: "address",
    IDENTIFIER: "identifier",
}
INVOICES: Final = "invoices"
"""The place of what a party says of its invoices: it bears itself what they need."""
_FURTHER_MODELS: Final = {CONTACT: f"{CONTACT}.further", ADDRESS: f"{ADDRESS}.further"}
_NEEDS: Final = {
    PARTY: "name",
    CONTACT: "contact",
    ASSIGNMENT: "number",
    ADDRESS: "address",
    IDENTIFIER: "vat_number",
}
"""The policy's names of fields that rules keep."""
_STATES: Final = {
    "contract": RecordState("active_contract", "contract_active"),
    "invoice_open": RecordState("open_invoice", "invoice_open"),
    "disputed": RecordState("dispute", "disputed"),
}
_YES_OR_NO: Final = {"yes": True, "no": False}
_STATE_VALUES: Final[Mapping[str, Mapping[str, bool]]] = {
    "contract": {"active": True, "ended": False, "none": False},
    "invoice_open": _YES_OR_NO,
    "disputed": _YES_OR_NO,
}
_OF_PARTY: Final = {Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS}
"""Operations on parties only."""
_ASSIGNED: Final = ("number", "valid_from", "valid_to")
_PAGE: Final = 100
"""Parties that are erased before a sweep asks whether it goes on."""
_DAY: Final = TimeFormat("day", ZoneInfo("UTC"))
_INSTANT: Final = TimeFormat("instant", ZoneInfo("UTC"))


class RowRef(NamedTuple):
    """A row, its customer, and the task that found it."""

    customer: Customer
    row: Row
    task: Task


class CrmPlaces:
    """The places of one CRM, and the records of a customer in them."""

    def __init__(self, grounds: DeclaredGrounds | None) -> None:
        self.grounds = grounds
        tells = {each: name for each in _STATES if grounds and (name := getattr(grounds, each))}
        self._of_party = {each: name for each, name in tells.items() if each == "contract"}
        self._of_invoices = {each: name for each, name in tells.items() if each != "contract"}
        self._reported = tells
        found_by = tuple(Holder("", None, kind) for kind in (IdentityType.ACCOUNT_ID, *KINDS))
        shape: dict[str, Shape] = {}
        shape[PARTY] = self._shape(
            PARTY,
            holders=found_by,
            links=(Link(PARTY),),
            parts=(ColumnGroup(None, (("name", None),), frozenset({"name"})),),
            states=tuple(_STATES[each] for each in tells if each == "contract"),
            flags=(Flag("restricted"), Flag("marketing_opt_out"), Flag("restricted")),
            anchors=((RELATIONSHIP_END, _DAY),) if grounds else (),
            periods=True,
            separates_people="declared",
        )
        number = (Holder("number", None, IdentityType.PHONE, finds=False),)
        shape[ASSIGNMENT] = self._shape(ASSIGNMENT, holders=number, valid=_INSTANT, assigns=True)
        for model in (CONTACT, ADDRESS, IDENTIFIER):
            shape[model] = self._shape(model)
        for model, place in _FURTHER_MODELS.items():
            shape[place] = self._shape(model, place=place, never_kept=True)
        further = {place: model for model, place in _FURTHER_MODELS.items()}
        self.models = {place: further.get(place, place) for place in shape}
        if grounds:
            shape[INVOICES] = Shape(
                place=INVOICES,
                category="invoice",
                parties={},
                links=tuple(
                    Link(place, owns=place == PARTY, fields=frozenset({_NEEDS[model]}))
                    for place, model in self.models.items()
                ),
                states=tuple(_STATES[each] for each in self._of_invoices),
                anchors=((RELATIONSHIP_END, _DAY),),
                kept_fields=frozenset(_NEEDS.values()),
                shows_states_only=True,
            )
        self._shape_of = shape
        self.shapes = tuple(shape.values())
        # A sweep asks a party for all of its states.
        self._swept = self._shape(PARTY, states=tuple(_STATES[each] for each in tells))

    def _shape(self, model: str, *, place: str = "", **more: Any) -> Shape:
        columns = _COLUMNS[model] + (self.grounds.names if model == PARTY and self.grounds else ())
        fields = tuple(RecordField(each, each, _as_it_is, portable=each not in _OURS) for each in columns)
        if model == PARTY:
            ours = {*self.grounds.names} if self.grounds else set[str]()
            fields = tuple(each._replace(portable=each.portable and each.label not in ours) for each in fields)
            fields += FIELDS
        else:
            more.setdefault("links", (Link(PARTY),))
        return Shape(place=place or model, category=CATEGORIES[model], parties={}, fields=fields, **more)

    @property
    def tells(self) -> frozenset[str]:
        """Returns the states of the policy that a party reports."""
        return frozenset(word for each in self._reported if (word := _STATES[each].word))

    @property
    def dated(self) -> Sequence[DatedPlace]:
        """Returns the declared fields that date parties; empty if none are declared."""
        if self.grounds is None:
            return ()
        ended = DatedPlace(PARTY, "account", {RELATIONSHIP_END: self.grounds.ended_on})
        active = self.grounds.last_activity
        return (ended, DatedPlace(PARTY, "marketing", {LAST_ACTIVITY: active})) if active else (ended,)

    def records(self, customer: Customer, task: Task, *, data: bool) -> Iterator[Record]:
        """Yields the records of a customer; only parties, if the task changes nothing else."""
        yield from self.parties(customer, task, data=data)
        if task.operation in _OF_PARTY:
            return
        head = customer.party["id"]
        needed = {
            CONTACT: customers.first_in_use(customer.rows[CONTACT], "party", "type"),
            ADDRESS: customers.first_in_use(customer.rows[ADDRESS], "party"),
        }
        parents = [(0, (str(row["id"]),)) for row in customer.parties]
        number = {place: n for n, place in enumerate(self.models)}
        for model in _NEEDS:
            for row in customer.rows.get(model, ()):
                if model == ADDRESS and not (customers.lines(row) or customers.country(row)):
                    continue
                place = model if row["id"] in needed.get(model, {row["id"]}) else _FURTHER_MODELS[model]
                parents.append((number[place], (str(row["id"]),)))
                known = customers.assignment(row) if model == ASSIGNMENT else None
                yield Record(
                    self._shape_of[place],
                    (str(row["id"]),),
                    holders=(known.value,) if known else (),
                    valid=(known.since, known.until) if known else (None, None),
                    parents=((0, (str(head),)),),
                    data=self._data(model, row) if data else None,
                    ref=RowRef(customer, row, task),
                )
        if self.grounds and not data:
            yield from self._invoices(customer.party, parents)

    def unproven(self, customer: Customer, task: Task, doubt: bool | Refused) -> Iterator[Record]:  # noqa: FBT001
        """Its parties, of which nothing shows that they are the subject."""
        for row in customer.parties:
            yield Record(self._shape_of[PARTY], (str(row["id"]),), proved_owners={task.task_id: doubt})

    def parties(self, customer: Customer, task: Task, *, data: bool) -> Iterator[Record]:
        """Its parties, the one first into which the others were merged."""
        holders = tuple(_found_by(customer, task.identities, each.type) for each in self._shape_of[PARTY].holders)
        for row in customer.parties:
            restricted, silent = bool(row["restricted"]), bool(row["marketing_opt_out"])
            # In a copy one is not for an erasure that is restricted for another reason: it is still reached.
            left = restricted and not (data and any(customer.rows[model] for model in (CONTACT, ASSIGNMENT)))
            yield Record(
                self._shape_of[PARTY],
                (str(row["id"]),),
                holders=holders,
                anchors=(self._ended(customer.party),) if self.grounds else (),
                states=self._states(customer.party, self._of_party, used=self._is_used(customer, task.at)),
                parents=((0, (str(customer.party["id"]),)),) if row is not customer.party else (),
                filled=(bool(row["name"]),),
                flags=(restricted, silent, left),
                person=str(customer.party["id"]),
                data=self._data(PARTY, row, self._correctable(customer, row, task)) if data else None,
                ref=RowRef(customer, row, task),
                proved_owners={task.task_id: True},
            )

    def _ended(self, row: Row) -> date | None:
        """The day on which the contract of a party ended."""
        grounds = self.grounds
        return customers.day(row.get(grounds.ended_on)) if grounds and row.get(grounds.contract) == "ended" else None

    def _invoices(self, row: Row, parents: Sequence[tuple[int, tuple[str]]]) -> Iterator[Record]:
        """Yields what a party shows of its invoices, if there are any."""
        states, ended = self._states(row, self._of_invoices), self._ended(row)
        if ended or any(lasts is not False for lasts in states):
            key = (str(row["id"]),)
            yield Record(self._shape_of[INVOICES], key, anchors=(ended,), states=states, parents=tuple(parents))

    def swept(self, row: Row, *, assigned: bool = False) -> Record:
        """A party that is past its day; ``assigned``: a number was theirs after that day."""
        states = self._states(row, self._reported, used=assigned or self._has_credit(row))
        return Record(self._swept, (str(row["id"]),), states=states)

    def _is_used(self, customer: Customer, now: datetime | None) -> bool:
        """Whether a number is assigned to a customer, or they have prepaid credit."""
        return customer.has_number(now) or self._has_credit(customer.party)

    def _has_credit(self, row: Row) -> bool:
        return bool(self.grounds and self.grounds.credit and customers.amount(row.get(self.grounds.credit)) > 0)

    def _states(self, row: Row, fields: Mapping[str, str], *, used: bool = False) -> tuple[bool | None, ...]:
        """Whether each lasts; what is ``used`` is under contract.

        An ended contract is not known to have ended without its day, or while it is used.
        """
        states = {each: _STATE_VALUES[each].get(str(row.get(name))) for each, name in fields.items()}
        if (grounds := self.grounds) and "contract" in states:
            if row.get(grounds.contract) == "ended":
                states["contract"] = None if used or not customers.day(row.get(grounds.ended_on)) else False
            elif used:
                states["contract"] = True
        return tuple(states.values())

    @staticmethod
    def _correctable(customer: Customer, row: Row, task: Task) -> Mapping[str, str | None]:
        rectifies = task.operation is Operation.RECTIFY and row is customer.party
        return correctable(customer, task.changes) if rectifies else {}

    def _data(self, model: str, row: Row, correctable: Mapping[str, str | None] = {}) -> tuple[Any, ...]:
        """A row in words that the customer reads."""
        known = _SHOWN[model](row)
        if model == PARTY and self.grounds:
            grounds = {name: row.get(name) for name in self.grounds.names}
            known |= {name: customers.readable(value) for name, value in grounds.items() if value}
        fields = self._shape_of[model].fields
        return tuple((correctable if each.rectifies else known).get(each.column, ABSENT) for each in fields)


def _found_by(customer: Customer, identities: Sequence[Identity], kind: IdentityType) -> str | None:
    """Returns the best proved identity of the subject in a customer's rows."""
    matching = sorted(
        (each for each in identities if each.type is kind and customer.has(each)), key=lambda each: each.level
    )
    if matching:
        return matching[-1].value
    return next(iter(customer.codes), None) if kind is IdentityType.ACCOUNT_ID else None


def _as_it_is(value: Any) -> Any:
    return value


def _party(row: Row) -> dict[str, Any]:
    flags = {"processing_restricted": bool(row["restricted"]), "no_marketing": bool(row["marketing_opt_out"])}
    return {"customer_number": row["code"] or "", "name": row["name"] or "", "active": row["active"], **flags}


def _assignment(row: Row) -> dict[str, Any]:
    known = customers.assignment(row)
    period = {"assigned_from": known.since, "assigned_until": known.until}
    dated = {name: moment.isoformat() for name, moment in period.items() if moment}
    return {"number": row["number"], "line": row["line"], **dated}


def _address(row: Row) -> dict[str, Any]:
    lines = {"street": row["street"], **customers.lines(row), "country": customers.country(row)}
    return {name: text for name, text in lines.items() if text}


_SHOWN: Final[Mapping[str, Callable[[Row], dict[str, Any]]]] = {
    PARTY: _party,
    CONTACT: lambda row: {"kind": row["type"], "value": row["value"] or "", "in_use": row["active"]},
    ASSIGNMENT: _assignment,
    ADDRESS: _address,
    IDENTIFIER: lambda row: {"kind": row["type"] or "", "code": row["code"] or ""},
}
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    PARTY: ("customer_number", "name", "active", "processing_restricted", "no_marketing"),
    CONTACT: ("kind", "value", "in_use"),
    ASSIGNMENT: ("number", "line", "assigned_from", "assigned_until"),
    ADDRESS: (
        *("street", "party_name", "attn", "post_box", "private_bag", "post_office", "postal_code", "city", "country"),
    ),
    IDENTIFIER: ("kind", "code"),
}
_OURS: Final = {"active", "processing_restricted", "no_marketing", *_COLUMNS[ASSIGNMENT]}
"""Fields not provided by the person, so not portable (Art. 20): our flags, and numbers that we assigned."""


class TrytonUnit(NonTransactionalUnit, TrytonSteps):
    """A unit without transaction; ``everybody``: it returns all possible subjects, and proves none."""

    def __init__(self, system: str, search: CustomerSearch, places: CrmPlaces, *, everybody: bool = False) -> None:
        NonTransactionalUnit.__init__(self)
        TrytonSteps.__init__(self, search, places.models)
        self._system, self._search, self._places, self._everybody = system, search, places, everybody
        self.shapes: Sequence[Shape] = places.shapes
        self.order: Sequence[str] = [shape.place for shape in reversed(places.shapes)]

    async def find(
        self, subjects: Sequence[SubjectSearch], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        """The records of the customers who are proven to be each subject, and those of whom nothing shows that."""
        del lock, most
        tasks = [subject.task for subject in subjects]
        known = _by_identity(await self._search.find([i for task in tasks for i in task.identities]))
        for task in tasks:
            hits = _hits(known, task)
            doubt: bool | Refused = False
            try:
                proven = hits if self._everybody else customers.proven_customers(self._system, task.identities, hits)
            except WrongPersonMatch as reason:
                proven, doubt = [], reason
            if proven or doubt:
                others = (each for each in hits if each not in proven)
                yield [record for each in others for record in self._places.unproven(each, task, doubt)]
            for each in proven:
                yield [*self._places.records(each, task, data=data)]

    async def again(self, records: Sequence[Record], *, data: bool = False) -> Sequence[Record]:
        """Reads the parties of these."""
        wanted = {record.name: record for record in records}
        ids = {row["id"] for record in records for row in record.ref.customer.parties}
        loaded = await self._search.load(ids) if records else ()
        now = (r for each in loaded for r in self._places.parties(each, records[0].ref.task, data=data))
        known = ((record, wanted[record.name]) for record in now if record.name in wanted)
        return [
            record._replace(holders=b.holders, proved_owners=b.proved_owners, parents=b.parents) for record, b in known
        ]

    async def apply(self, changes: Sequence[RecordChange], *, skip_referenced: bool = False) -> AppliedChanges:
        """Changes parties as they were read, or deletes them with their merged duplicates."""
        del skip_referenced
        rows: list[int] = []
        values: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        versions: dict[str, str] = {}
        for each in changes:
            if each.kind is ChangeKind.DELETE:
                seen = {f"{PARTY},{record.key[0]}": record.ref for record in each.records}
                rows.append(await self.let_go([int(record.key[0]) for record in each.records], seen))
                continue
            for record in each.records:
                customer, row, task = record.ref
                marked = {FLAGGED[each.flag]: each.kind is ChangeKind.MARK} if each.flag else None
                values[row["id"]] |= marked or written(customer, dict(each.values), task.changes)
                versions |= customer.versions
            rows.append(len(each.records))
        alike: defaultdict[bytes, list[int]] = defaultdict(list)
        for party, changed in values.items():
            alike[orjson.dumps(changed, option=orjson.OPT_SORT_KEYS)].append(party)
        for changed_to, parties in alike.items():
            await self._search.rpc.write(PARTY, sorted(parties), orjson.loads(changed_to), versions)
        return AppliedChanges(rows, {})

    async def reference(self, records: Sequence[Record]) -> Sequence[str]:
        """Its id means nothing elsewhere."""
        return [str(record.key[0]) for record in records]

    async def size(self, place: str) -> int:
        """Counts the rows of the model."""
        return int(await self._search.rpc.call(f"model.{place}.search_count", []))

    async def past(self, due: DueRecords, after: Record | None, *, most: int) -> Page:
        """The next parties whose day lies before it; of those for marketing alone none that has or had a number."""
        grounds, last = self._places.grounds or DeclaredGrounds(), int(after.key[0]) if after else 0
        ended, since = due.anchor == RELATIONSHIP_END, datetime.combine(due.first_kept, time(), due.zone)
        contract, day = ("ended", grounds.ended_on) if ended else ("none", grounds.last_activity)
        domain = [[grounds.contract, "=", contract], [day, "<", _day(due.first_kept)], ["replaced_by", "=", None]]
        while True:
            rows = await self._search.rpc.search(
                PARTY, [*domain, ["id", ">", last]], ["id", VERSION], min(most, _PAGE), more=grounds.names
            )
            ids = {row["id"] for row in rows}
            held = await self._search.rpc.search_in(ASSIGNMENT, "party", ids, ("party", *_ASSIGNED)) if ids else []
            if not ended:
                ids -= {row["party"] for row in held}
            if ids or not rows:
                later = {row["party"] for row in held if customers.assignment(row).lasts(since)}
                due_here = [(row, self._places.swept(row, assigned=row["id"] in later)) for row in rows]
                return [record._replace(ref=row[VERSION]) for row, record in due_here if row["id"] in ids]
            last = rows[-1]["id"]


def _by_identity(found: Sequence[Customer]) -> Mapping[tuple[IdentityType, str], Sequence[Customer]]:
    known: defaultdict[tuple[IdentityType, str], list[Customer]] = defaultdict(list)
    for each in found:
        for code in each.codes:
            known[IdentityType.ACCOUNT_ID, code].append(each)
        for kind, value, *_ in each.known:
            known[kind, value].append(each)
    return known


def _hits(known: Mapping[tuple[IdentityType, str], Sequence[Customer]], task: Task) -> list[Customer]:
    """The customers who have one of the subject's identities, in whatever period."""
    hits = (each for identity in task.identities for each in known.get((identity.type, identity.value), ()))
    return [*{id(each): each for each in hits}.values()]


def _day(day: date) -> Mapping[str, Any]:
    """A day as Tryton's JSON has it."""
    return {"__class__": "date", "year": day.year, "month": day.month, "day": day.day}


class TrytonSystem(SingleUnitSystem[TrytonUnit]):
    """Serves one CRM."""
