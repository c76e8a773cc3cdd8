"""Adapts a tracker to the engine: finds, reads, changes and removes users and their records.

Who of its users is the subject it proves itself (``people.py``). Its history keeps every former value in clear, and
REST cannot remove it: that takes the routes in ``deploy/downstreams/roundup/tracker/interfaces.py``.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from functools import partial
from itertools import chain
from typing import Final, Literal, NamedTuple
from uuid import UUID

from shared.domain.identities import IdentityType
from shared.domain.release import Match
from shared.domain.rights import Right
from shared.domain.text import nfc
from shared.systems.contract import Checkpoint, CopiedRecord, Result, Task
from shared.systems.engine.records import (
    AppliedChanges,
    ChangeKind,
    Flag,
    Holder,
    Key,
    Link,
    Page,
    Record,
    RecordChange,
    RecordField,
    Shape,
    SubjectSearch,
)
from shared.systems.engine.stepwise import Journal, NonTransactionalUnit, PendingErasure, SingleUnitSystem
from shared.systems.http_client import run_together
from shared.systems.roundup.copies import CATEGORIES, HISTORY, copy, fields_of, history
from shared.systems.roundup.erasing import TicketEraser, by_class
from shared.systems.roundup.people import USER as NAMED
from shared.systems.roundup.people import Candidates, TrackerUser, matches_of, proven_users, same_number
from shared.systems.roundup.settings import RoundupSettings
from shared.systems.roundup.tracker import (
    BELONGINGS,
    CHANGES,
    CHUNK,
    COUNT,
    FIELDS,
    IDS,
    ROWS,
    Item,
    Tracker,
    batches,
    member,
)
from shared.systems.sweepable import DueRecords

Scope = Literal["names", "flags", "all", "desk"]
"""Selects users alone, users with their marks, users with all that is theirs, or tickets of any user."""
_ADDRESSES: Final = 16
"""The most addresses of one user; with more a person decides whose the user is."""
MARKS: Final = {"restriction": "restricted", "marketing": "marketing_opt_out"}
"""Fields of a user, by flag."""
_READ: Final = ",".join((NAMED, *MARKS.values()))
_ITEMS, _FILES = 1_000, 4
"""Numbers of records, and of files with content, per request."""
_DATE: Final = "%Y-%m-%d.%H:%M:%S"


def _plain(text: str) -> str:
    return nfc(" ".join(text.casefold().split()))


def _is_same(written: str, value: str) -> bool:
    return bool(written) and _plain(written) == _plain(value)


def _field(column: str, rectifies: str, same: Callable[[str, str], bool], *, part: bool = False) -> RecordField:
    return RecordField(column, column, str, rectifies=rectifies, same=same, part=part)


USER = Shape(
    place="user",
    category=CATEGORIES["user"],
    parties={},
    holders=(
        *(Holder("address", None, IdentityType.EMAIL, yields=True) for _ in range(_ADDRESSES)),
        Holder("phone", None, IdentityType.PHONE, yields=True),
        Holder("realname", None, IdentityType.NAME, finds=False, yields=True),
    ),
    flags=(Flag("restricted"), Flag("marketing_opt_out"), None),
    fields=(
        _field("realname", "name", _is_same),
        _field("address", "email", _is_same),
        _field("alternate_addresses", "email", _is_same, part=True),
        _field("phone", "phone", same_number),
    ),
    separates_people="declared",
    kept_complete=True,
)
_OWNED_CLASSES: Final = [
    Shape(place=name, category=held, parties={}, links=(Link("user", joins=False),), kept_complete=True)
    for name, held in CATEGORIES.items()
    if name != "user"
]
_CHANGE: Final = Shape(
    place=HISTORY,
    category=HISTORY,
    parties={},
    links=tuple(Link(name, joins=False) for name in CATEGORIES),
    kept_complete=True,
    deleted_with_parent=True,
)
_SHAPES: Final = {each.place: each for each in (USER, *_OWNED_CLASSES, _CHANGE)}


_SHOWN: Final = [*CATEGORIES]
TrackerName = tuple[str, str]
"""The class and the id of a record."""
_Owners = dict[TrackerName, dict[UUID, str]]
"""Owning users, by record and task."""


class _FoundUser(NamedTuple):
    """A user, and the task that found them."""

    task: Task
    fields: Item


@dataclass(frozen=True)
class _Subjects:
    """The subjects of tasks: ``people``: by task the users who are that, by id."""

    tasks: Mapping[UUID, Task]
    people: Mapping[UUID, Mapping[str, TrackerUser]]
    _matched: dict[tuple[UUID, str], tuple[Match, ...]] = field(default_factory=dict)

    @property
    def history_tasks(self) -> frozenset[UUID]:
        """The tasks that show the history: a portability has what the subject gave (Art. 20)."""
        return frozenset(key for key, each in self.tasks.items() if each.details.get("right") != Right.PORTABILITY)

    def matched(self, task_id: UUID, owner: str) -> tuple[Match, ...]:
        """Returns the values that identify the owner of a record."""
        known = (task_id, owner)
        if known not in self._matched:
            self._matched[known] = matches_of(self.people[task_id][owner], self.tasks[task_id].identities)
        return self._matched[known]

    def by_record(self, pairs: Mapping[str, Iterable[tuple[str, str]]]) -> _Owners:
        """Returns the tasks whose subject owns each record, in the order of reading."""
        found: _Owners = {}
        tasks_of: defaultdict[str, list[UUID]] = defaultdict(list)
        for task_id, one in ((task_id, one) for task_id, people in self.people.items() for one in people):
            tasks_of[one].append(task_id)
        for kind in (kind for kind in CATEGORIES if kind in pairs):
            for one, owner in sorted({*pairs[kind]}, key=lambda pair: (int(pair[0]), int(pair[1]))):
                for task_id in tasks_of.get(owner, ()):
                    found.setdefault((kind, one), {}).setdefault(task_id, owner)
        return found

    def record(self, name: TrackerName, task_id: UUID, owner: str, read: CopiedRecord | None = None) -> Record:
        """A record that belongs to a user."""
        kind, one = name
        if kind == "user":
            holders = _holders(self.people[task_id][one])
            return Record(USER, (one,), holders, person=one, ref=read, proved_owners={task_id: True})
        return Record(_SHAPES[kind], (one,), parents=((0, (owner,)),), ref=read, proved_owners={task_id: True})


class TicketUnit(NonTransactionalUnit):
    """A unit without transaction; ``others``: by task, how much third parties wrote on the subject's tickets."""

    for_many = True
    searched = frozenset({"user"})

    def __init__(
        self,
        tracker: Tracker,
        settings: RoundupSettings,
        scope: Scope,
        save_progress: Checkpoint,
        *,
        shows_others: bool,
    ) -> None:
        super().__init__()
        self._tracker, self._settings, self._scope = tracker, settings, scope
        self._save_progress, self.shows_others = save_progress, shows_others
        self.shapes: Sequence[Shape] = [*_SHAPES.values()] if scope in {"all", "desk"} else [USER]
        self.order: Sequence[str] = [shape.place for shape in reversed(self.shapes)]
        self._rows = 0
        self._erasing: dict[UUID, Journal] = {}

    # Reading.

    async def find(
        self, subjects: Sequence[SubjectSearch], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        """The users who are each, and what belongs to them; ``data``: each record as they read it."""
        del lock
        tasks, found = [each.task for each in subjects], 0
        hits = await Candidates.search(self._tracker, chain.from_iterable(task.identities for task in tasks))
        if self._scope == "desk":
            yield await self._kept_tickets(tasks, hits)
            return
        proofs = {task.task_id: proven_users(hits.of(task.identities), task.identities) for task in tasks}
        if self._scope != "all":
            yield await self._users(tasks, hits, proofs)
            return
        yield [_unproven(task, one) for task in tasks for one, proved in proofs[task.task_id].items() if not proved]
        of_each = ((task, hits.of(task.identities)) for task in tasks)
        people = {task.task_id: {p.id: p for p in some if proofs[task.task_id].get(p.id)} for task, some in of_each}
        subjects_found = _Subjects({task.task_id: task for task in tasks}, people)
        async for page in self._read(subjects_found) if data else self._named(subjects_found):
            found += len(page)
            yield page
            if most is not None and found > most:
                return
        yield await self._arrived({task.task_id for task in tasks} & self._erasing.keys())

    async def _arrived(self, tasks: Collection[UUID]) -> list[Record]:
        """Records that arrived while their users were overwritten: no search by identity finds them any more."""
        journals = {key: self._erasing[key] for key in tasks}
        people = {key: {str(each.id) for each in journal.of_place("user")} for key, journal in journals.items()}
        known = {key: {each.name for each in journal.noted.erasures} for key, journal in journals.items()}
        if not (users := sorted(set[str]().union(*people.values()), key=int)):
            return []
        asked = {"people": users, "staff": self._tracker.staff_roles}
        owned = await self._tracker.privacy("records", asked, BELONGINGS)
        return [
            Record(_SHAPES[kind], (one,), parents=((0, (owner,)),), proved_owners={key: True})
            for kind, pairs in owned.items()
            for one, owner in pairs
            for key in journals
            if owner in people[key] and (kind, (one,)) not in known[key]
        ]

    async def _users(
        self, tasks: Sequence[Task], hits: Candidates, proofs: Mapping[UUID, Mapping[str, bool]]
    ) -> list[Record]:
        """Users alone."""
        wanted = {one for proved in proofs.values() for one, is_theirs in proved.items() if is_theirs}
        reads = self._scope == "flags" and wanted
        items = {str(each["id"]): each for each in await self._tracker.read("user", wanted, _READ)} if reads else {}
        people = {person.id: person for task in tasks for person in hits.of(task.identities)}
        return [
            _user(items.get(one, {}), task, people.get(one)) if is_theirs else _unproven(task, one)
            for task in tasks
            for one, is_theirs in proofs[task.task_id].items()
        ]

    async def _owned(self, subjects: _Subjects) -> tuple[_Owners, _Owners]:
        """Returns the subjects' records in the order of reading, and records of third parties on their tickets."""
        owners = sorted({one for people in subjects.people.values() for one in people}, key=int)
        if not owners:
            return {}, {}
        asked = {"people": owners, "staff": self._tracker.staff_roles}
        owned, third = await run_together(
            *(self._tracker.privacy(each, asked, BELONGINGS) for each in ("records", "others"))
        )
        owned_records, others = (
            subjects.by_record(pairs) for pairs in ({**owned, "user": [(one, one) for one in owners]}, third)
        )
        for name, tasks in owned_records.items():
            others[name] = {task_id: one for task_id, one in others.get(name, {}).items() if task_id not in tasks}
        self.others = Counter(task_id for tasks in others.values() for task_id in tasks)
        return owned_records, others

    async def _named(self, subjects: _Subjects) -> AsyncGenerator[Page]:
        """Yields the subjects' records, and then the number of rows in their history."""
        owned, _ = await self._owned(subjects)
        yield [subjects.record(name, *owner) for name, tasks in owned.items() for owner in tasks.items()]
        rows = await self._tracker.of_records("history", by_class(owned), ROWS) if owned else {}
        yield [
            _change(name, n, task_id)
            for name, tasks in owned.items()
            for task_id in tasks
            for n in range(rows.get(name[0], {}).get(name[1], 0))
        ]

    async def _read(self, subjects: _Subjects) -> AsyncGenerator[Page]:
        """The same as they read it, so many at a time."""
        owned, others = await self._owned(subjects)
        shown = owned
        if self.shows_others:
            self.others = {}
            shown = {name: {**others.get(name, {}), **owned.get(name, {})} for name in {**owned, **others}}
        for kind in CATEGORIES:
            names = [name for name in shown if name[0] == kind]
            for some in batches(names, _FILES if kind == "file" else _ITEMS):
                yield await self._copied(kind, some, shown, subjects)
                for few in batches(
                    [name for name in some if subjects.history_tasks & owned.get(name, {}).keys()], CHUNK
                ):
                    yield await self._changes(few, owned, subjects)

    async def _copied(
        self, kind: str, names: Sequence[TrackerName], shown: _Owners, subjects: _Subjects
    ) -> list[Record]:
        resolved_on = self._settings.resolved_on
        items = await self._tracker.read(kind, [one for _, one in names], fields_of(kind, resolved_on))
        contents: Sequence[bytes | None] = [None] * len(items)
        if kind == "file":
            contents = await run_together(*(self._tracker.content(item["id"]) for item in items))
        page: list[Record] = []
        for item, content in zip(items, contents, strict=True):
            name = (kind, str(item["id"]))
            for task_id, owner in shown[name].items():
                by, people = subjects.matched(task_id, owner), subjects.people[task_id]
                read = copy(self._tracker.system, kind, item, people, by, resolved_on=resolved_on, content=content)
                page.append(subjects.record(name, task_id, owner, read))
        return page

    async def _changes(self, names: Sequence[TrackerName], owned: _Owners, subjects: _Subjects) -> list[Record]:
        records, page = await self._tracker.of_records("changes", by_class(names), CHANGES), list[Record]()
        for name in names:
            changes = records.get(name[0], {}).get(name[1], [])
            for task_id, owner in owned[name].items():
                by, people = subjects.matched(task_id, owner), subjects.people[task_id]
                rows = (
                    history(self._tracker.system, name, changes, people, by)
                    if task_id in subjects.history_tasks
                    else ()
                )
                page += [_change(name, n, task_id, row) for n, row in enumerate(rows)]
        return page

    async def again(self, records: Sequence[Record], *, data: bool = False) -> Sequence[Record]:
        """Reads each by its id."""
        del data
        known = {record.key[0]: record.ref.task for record in records}
        return [_user(each, known[str(each["id"])]) for each in await self._tracker.read("user", known, _READ)]

    async def reference(self, records: Sequence[Record]) -> Sequence[str]:
        """The id of each: it means nothing elsewhere."""
        return [str(record.key[0]) for record in records]

    # Changing.

    async def apply(self, changes: Sequence[RecordChange], *, skip_referenced: bool = False) -> AppliedChanges:
        """Changes users one by one, or removes tickets that are past their day.

        A correction leaves the former value in the history: Art. 16 asks for no more, and an erasure removes it.
        """
        del skip_referenced
        return AppliedChanges([await self._apply(each) for each in changes], {})

    async def _apply(self, change: RecordChange) -> int:
        if change.kind is ChangeKind.DELETE:
            return await self._expire(change.records)
        for record in change.records:
            marks = {MARKS[change.flag]: change.kind is ChangeKind.MARK} if change.flag else {}
            # A worker that slept looks at its task between reading a version and changing it.
            look = partial(self._save_progress, {record.ref.task.task_id: {}})
            values = marks or _corrected(record, dict(change.values))
            await self._tracker.change("user", record.key[0], values, look=look)
        return len(change.records)

    # Erasing, step by step.

    def journal_entry(self, record: Record) -> PendingErasure:
        """Returns the journal entry of a record."""
        return PendingErasure(place=record.shape.place, id=record.key[0])

    async def take_steps(
        self, journals: Sequence[Journal], note: Callable[[], Awaitable[None]]
    ) -> Mapping[UUID, Result]:
        """Overwrites all that was noted, and looks at it."""
        del note
        self._erasing = {each.task.task_id: each for each in journals}
        return await TicketEraser(self._tracker, self._save_progress).take_steps(journals)

    # What is past its day.

    async def past(self, due: DueRecords, after: Record | None, *, most: int) -> Page:
        """The next tickets that were resolved before a day, retired ones too."""
        del most
        began = datetime.combine(due.first_kept, time(), due.zone).astimezone(UTC)
        query = {"field": self._settings.resolved_on, "before": began.strftime(_DATE)}
        answer = await self._tracker.privacy("past", {**query, "after": after.key[0] if after else "0"}, FIELDS)
        self._rows = member(answer, "rows", COUNT, self._tracker.system)
        ids = member(answer, "tickets", IDS, self._tracker.system)
        return [Record(_SHAPES["issue"], (one,), ref=query) for one in ids]

    async def size(self, place: str) -> int:
        """Returns the number of tickets reported with the last page."""
        del place
        return self._rows

    async def _expire(self, records: Sequence[Record]) -> int:
        """Removes tickets with their history; one that was opened again meanwhile stays."""
        removed: set[str] = set()
        for some in batches(records, CHUNK):
            ids = [record.key[0] for record in some]
            answer = await self._tracker.privacy("expire", {"tickets": ids, **some[0].ref}, FIELDS)
            removed |= {*member(answer, "gone", IDS, self._tracker.system)} & {*ids}
        return len(removed)

    async def _kept_tickets(self, tasks: Sequence[Task], hits: Candidates) -> list[Record]:
        """The tickets of people whose data stay, and those on which they wrote: rather too many than too few."""
        people = [person.id for person in hits.of(chain.from_iterable(task.identities for task in tasks))]
        asked = {"people": people, "staff": self._tracker.staff_roles}
        owned = await self._tracker.privacy("records", asked, BELONGINGS) if people else {}
        tickets = {one for one, _ in owned.get("issue", ())}
        for some in batches(sorted({one for one, _ in owned.get("msg", ())}), CHUNK):
            on = await self._tracker.search("issue", "messages", messages=",".join(some))
            tickets |= {str(ticket["id"]) for ticket in on}
        return [Record(_SHAPES["issue"], (one,), proved_owners={tasks[0].task_id: True}) for one in sorted(tickets)]


class TicketSystem(SingleUnitSystem[TicketUnit]):
    """Serves one tracker."""

    part = 50


def _holders(person: TrackerUser) -> tuple[str | None, ...]:
    addresses = sorted(person.addresses)
    return (*addresses, *[None] * (_ADDRESSES - len(addresses)), person.number, person.name or None)


def _user(item: Item, task: Task, person: TrackerUser | None = None) -> Record:
    """A user who is the subject of a task; a person looks whose one with very many addresses is."""
    person = TrackerUser.read(item) if item or person is None else person
    if len(person.addresses) > _ADDRESSES:
        return _unproven(task, person.id)
    return Record(
        USER,
        (person.id,),
        _holders(person),
        flags=(bool(item.get("restricted")), bool(item.get("marketing_opt_out")), None),
        person=person.id,
        data=(item.get("realname"), item.get("address"), _alternate(item, task), item.get("phone")),
        ref=_FoundUser(task, item),
        proved_owners={task.task_id: True},
    )


def _unproven(task: Task, one: str) -> Record:
    return Record(USER, (one,), proved_owners={task.task_id: False})


def _change(name: TrackerName, n: int, task_id: UUID, read: CopiedRecord | None = None) -> Record:
    """A row of the history of a record."""
    parent: tuple[int, Key] = (_SHOWN.index(name[0]), (name[1],))
    return Record(_CHANGE, (*name, n), parents=(parent,), ref=read, proved_owners={task_id: True})


def _alternate(item: Item, task: Task) -> str | None:
    """The alternate address that a correction is about."""
    asked = [change for change in task.changes if change.field == "email"]
    wanted = [*(change.current for change in asked if change.current), *(change.asserted for change in asked)]
    addresses = str(item.get("alternate_addresses") or "").split()
    return next((each for wanted_address in wanted for each in addresses if _is_same(each, wanted_address)), None)


def _corrected(record: Record, values: dict[str, str | None]) -> Item:
    """Returns the values to write; of several addresses it replaces only the corrected one."""
    if right := values.get("alternate_addresses"):
        wrong, addresses = (record.data or ())[2], str(record.ref.fields.get("alternate_addresses") or "").split()
        values["alternate_addresses"] = "\n".join(right if each == wrong else each for each in addresses)
    return values
