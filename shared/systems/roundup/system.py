"""A tracker as the engine has it: users, and what belongs to them; it finds, reads, changes and removes.

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
    Applied,
    Change,
    Field,
    Flag,
    Holder,
    Key,
    Kind,
    Link,
    Page,
    Record,
    Shape,
    Subject,
)
from shared.systems.engine.stepwise import Going, Journal, Moments, OneUnit
from shared.systems.http_client import together
from shared.systems.roundup.copies import CATEGORIES, HISTORY, copy, fields_of, history
from shared.systems.roundup.erasing import Overwriting, by_class
from shared.systems.roundup.people import USER as NAMED
from shared.systems.roundup.people import Candidates, Person, judged, matches_of, same_number
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
from shared.systems.sweepable import Due

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


def _is_same(written: str, said: str) -> bool:
    return bool(written) and _plain(written) == _plain(said)


def _field(column: str, rectifies: str, same: Callable[[str, str], bool], *, part: bool = False) -> Field:
    return Field(column, column, str, rectifies=rectifies, same=same, part=part)


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
    apart="declared",
    whole=True,
)
_BELONGING: Final = [
    Shape(place=name, category=held, parties={}, links=(Link("user", joins=False),), whole=True)
    for name, held in CATEGORIES.items()
    if name != "user"
]
_CHANGE: Final = Shape(
    place=HISTORY,
    category=HISTORY,
    parties={},
    links=tuple(Link(name, joins=False) for name in CATEGORIES),
    whole=True,
    attached=True,
)
_SHAPES: Final = {each.place: each for each in (USER, *_BELONGING, _CHANGE)}


_SHOWN: Final = [*CATEGORIES]
Name = tuple[str, str]
"""The class and the id of a record."""
_Owners = dict[Name, dict[UUID, str]]
"""Owning users, by record and task."""


class _Known(NamedTuple):
    """A user, and the task that found them."""

    task: Task
    fields: Item


@dataclass(frozen=True)
class _Theirs:
    """The subjects of tasks: ``people``: by task the users who are that, by id."""

    tasks: Mapping[UUID, Task]
    people: Mapping[UUID, Mapping[str, Person]]
    _matched: dict[tuple[UUID, str], tuple[Match, ...]] = field(default_factory=dict)

    @property
    def telling(self) -> frozenset[UUID]:
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
        whose: defaultdict[str, list[UUID]] = defaultdict(list)
        for task_id, one in ((task_id, one) for task_id, people in self.people.items() for one in people):
            whose[one].append(task_id)
        for kind in (kind for kind in CATEGORIES if kind in pairs):
            for one, owner in sorted({*pairs[kind]}, key=lambda pair: (int(pair[0]), int(pair[1]))):
                for task_id in whose.get(owner, ()):
                    found.setdefault((kind, one), {}).setdefault(task_id, owner)
        return found

    def record(self, name: Name, task_id: UUID, owner: str, read: CopiedRecord | None = None) -> Record:
        """A record that belongs to a user."""
        kind, one = name
        if kind == "user":
            holders = _holders(self.people[task_id][one])
            return Record(USER, (one,), holders, person=one, ref=read, whose={task_id: True})
        return Record(_SHAPES[kind], (one,), parents=((0, (owner,)),), ref=read, whose={task_id: True})


class TicketUnit(Moments):
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
        self, subjects: Sequence[Subject], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        """The users who are each, and what belongs to them; ``data``: each record as they read it."""
        del lock
        tasks, found = [each.task for each in subjects], 0
        hits = await Candidates.search(self._tracker, chain.from_iterable(task.identities for task in tasks))
        if self._scope == "desk":
            yield await self._spared(tasks, hits)
            return
        proofs = {task.task_id: judged(hits.of(task.identities), task.identities) for task in tasks}
        if self._scope != "all":
            yield await self._users(tasks, hits, proofs)
            return
        yield [_unproven(task, one) for task in tasks for one, proved in proofs[task.task_id].items() if not proved]
        of_each = ((task, hits.of(task.identities)) for task in tasks)
        people = {task.task_id: {p.id: p for p in some if proofs[task.task_id].get(p.id)} for task, some in of_each}
        theirs = _Theirs({task.task_id: task for task in tasks}, people)
        async for page in self._read(theirs) if data else self._named(theirs):
            found += len(page)
            yield page
            if most is not None and found > most:
                return
        yield await self._arrived({task.task_id for task in tasks} & self._erasing.keys())

    async def _arrived(self, tasks: Collection[UUID]) -> list[Record]:
        """Records that arrived while their users were overwritten: no search by identity finds them any more."""
        journals = {key: self._erasing[key] for key in tasks}
        people = {key: {str(each.id) for each in journal.of_place("user")} for key, journal in journals.items()}
        known = {key: {each.name for each in journal.noted.going} for key, journal in journals.items()}
        if not (users := sorted(set[str]().union(*people.values()), key=int)):
            return []
        asked = {"people": users, "staff": self._tracker.staff_roles}
        owned = await self._tracker.privacy("records", asked, BELONGINGS)
        return [
            Record(_SHAPES[kind], (one,), parents=((0, (owner,)),), whose={key: True})
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

    async def _owned(self, theirs: _Theirs) -> tuple[_Owners, _Owners]:
        """Returns the subjects' records in the order of reading, and records of third parties on their tickets."""
        owners = sorted({one for people in theirs.people.values() for one in people}, key=int)
        if not owners:
            return {}, {}
        asked = {"people": owners, "staff": self._tracker.staff_roles}
        owned, third = await together(
            *(self._tracker.privacy(each, asked, BELONGINGS) for each in ("records", "others"))
        )
        mine, others = (theirs.by_record(pairs) for pairs in ({**owned, "user": [(one, one) for one in owners]}, third))
        for name, tasks in mine.items():
            others[name] = {task_id: one for task_id, one in others.get(name, {}).items() if task_id not in tasks}
        self.others = Counter(task_id for tasks in others.values() for task_id in tasks)
        return mine, others

    async def _named(self, theirs: _Theirs) -> AsyncGenerator[Page]:
        """Yields the subjects' records, and then the number of rows in their history."""
        mine, _ = await self._owned(theirs)
        yield [theirs.record(name, *whose) for name, tasks in mine.items() for whose in tasks.items()]
        rows = await self._tracker.of_records("history", by_class(mine), ROWS) if mine else {}
        yield [
            _change(name, n, task_id)
            for name, tasks in mine.items()
            for task_id in tasks
            for n in range(rows.get(name[0], {}).get(name[1], 0))
        ]

    async def _read(self, theirs: _Theirs) -> AsyncGenerator[Page]:
        """The same as they read it, so many at a time."""
        mine, others = await self._owned(theirs)
        shown = mine
        if self.shows_others:
            self.others = {}
            shown = {name: {**others.get(name, {}), **mine.get(name, {})} for name in {**mine, **others}}
        for kind in CATEGORIES:
            names = [name for name in shown if name[0] == kind]
            for some in batches(names, _FILES if kind == "file" else _ITEMS):
                yield await self._copied(kind, some, shown, theirs)
                for few in batches([name for name in some if theirs.telling & mine.get(name, {}).keys()], CHUNK):
                    yield await self._changes(few, mine, theirs)

    async def _copied(self, kind: str, names: Sequence[Name], shown: _Owners, theirs: _Theirs) -> list[Record]:
        resolved_on = self._settings.resolved_on
        items = await self._tracker.read(kind, [one for _, one in names], fields_of(kind, resolved_on))
        contents: Sequence[bytes | None] = [None] * len(items)
        if kind == "file":
            contents = await together(*(self._tracker.content(item["id"]) for item in items))
        page: list[Record] = []
        for item, content in zip(items, contents, strict=True):
            name = (kind, str(item["id"]))
            for task_id, owner in shown[name].items():
                by, people = theirs.matched(task_id, owner), theirs.people[task_id]
                read = copy(self._tracker.system, kind, item, people, by, resolved_on=resolved_on, content=content)
                page.append(theirs.record(name, task_id, owner, read))
        return page

    async def _changes(self, names: Sequence[Name], mine: _Owners, theirs: _Theirs) -> list[Record]:
        said, page = await self._tracker.of_records("changes", by_class(names), CHANGES), list[Record]()
        for name in names:
            changes = said.get(name[0], {}).get(name[1], [])
            for task_id, owner in mine[name].items():
                by, people = theirs.matched(task_id, owner), theirs.people[task_id]
                rows = history(self._tracker.system, name, changes, people, by) if task_id in theirs.telling else ()
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

    async def apply(self, changes: Sequence[Change], *, skip_tied: bool = False) -> Applied:
        """Changes users one by one, or removes tickets that are past their day.

        A correction leaves the former value in the history: Art. 16 asks for no more, and an erasure removes it.
        """
        del skip_tied
        return Applied([await self._apply(each) for each in changes], {})

    async def _apply(self, change: Change) -> int:
        if change.kind is Kind.DELETE:
            return await self._expire(change.records)
        for record in change.records:
            marks = {MARKS[change.flag]: change.kind is Kind.MARK} if change.flag else {}
            # A worker that slept looks at its task between reading a version and changing it.
            look = partial(self._save_progress, {record.ref.task.task_id: {}})
            values = marks or _corrected(record, dict(change.values))
            await self._tracker.change("user", record.key[0], values, look=look)
        return len(change.records)

    # Erasing, step by step.

    def going(self, record: Record) -> Going:
        """Returns the journal entry of a record."""
        return Going(place=record.shape.place, id=record.key[0])

    async def carry(self, journals: Sequence[Journal], note: Callable[[], Awaitable[None]]) -> Mapping[UUID, Result]:
        """Overwrites all that was noted, and looks at it."""
        del note
        self._erasing = {each.task.task_id: each for each in journals}
        return await Overwriting(self._tracker, self._save_progress).carry(journals)

    # What is past its day.

    async def past(self, due: Due, after: Record | None, *, most: int) -> Page:
        """The next tickets that were resolved before a day, retired ones too."""
        del most
        began = datetime.combine(due.first_kept, time(), due.zone).astimezone(UTC)
        said = {"field": self._settings.resolved_on, "before": began.strftime(_DATE)}
        answer = await self._tracker.privacy("past", {**said, "after": after.key[0] if after else "0"}, FIELDS)
        self._rows = member(answer, "rows", COUNT, self._tracker.system)
        ids = member(answer, "tickets", IDS, self._tracker.system)
        return [Record(_SHAPES["issue"], (one,), ref=said) for one in ids]

    async def size(self, place: str) -> int:
        """Returns the number of tickets reported with the last page."""
        del place
        return self._rows

    async def _expire(self, records: Sequence[Record]) -> int:
        """Removes tickets with their history; one that was opened again meanwhile stays."""
        gone: set[str] = set()
        for some in batches(records, CHUNK):
            ids = [record.key[0] for record in some]
            answer = await self._tracker.privacy("expire", {"tickets": ids, **some[0].ref}, FIELDS)
            gone |= {*member(answer, "gone", IDS, self._tracker.system)} & {*ids}
        return len(gone)

    async def _spared(self, tasks: Sequence[Task], hits: Candidates) -> list[Record]:
        """The tickets of people whose data stay, and those on which they wrote: rather too many than too few."""
        people = [person.id for person in hits.of(chain.from_iterable(task.identities for task in tasks))]
        asked = {"people": people, "staff": self._tracker.staff_roles}
        owned = await self._tracker.privacy("records", asked, BELONGINGS) if people else {}
        tickets = {one for one, _ in owned.get("issue", ())}
        for some in batches(sorted({one for one, _ in owned.get("msg", ())}), CHUNK):
            on = await self._tracker.search("issue", "messages", messages=",".join(some))
            tickets |= {str(ticket["id"]) for ticket in on}
        return [Record(_SHAPES["issue"], (one,), whose={tasks[0].task_id: True}) for one in sorted(tickets)]


class TicketSystem(OneUnit[TicketUnit]):
    """Serves one tracker."""

    part = 50


def _holders(person: Person) -> tuple[str | None, ...]:
    addresses = sorted(person.addresses)
    return (*addresses, *[None] * (_ADDRESSES - len(addresses)), person.number, person.name or None)


def _user(item: Item, task: Task, person: Person | None = None) -> Record:
    """A user who is the subject of a task; a person looks whose one with very many addresses is."""
    person = Person.read(item) if item or person is None else person
    if len(person.addresses) > _ADDRESSES:
        return _unproven(task, person.id)
    return Record(
        USER,
        (person.id,),
        _holders(person),
        flags=(bool(item.get("restricted")), bool(item.get("marketing_opt_out")), None),
        person=person.id,
        data=(item.get("realname"), item.get("address"), _alternate(item, task), item.get("phone")),
        ref=_Known(task, item),
        whose={task.task_id: True},
    )


def _unproven(task: Task, one: str) -> Record:
    return Record(USER, (one,), whose={task.task_id: False})


def _change(name: Name, n: int, task_id: UUID, read: CopiedRecord | None = None) -> Record:
    """A row of the history of a record."""
    led: tuple[int, Key] = (_SHOWN.index(name[0]), (name[1],))
    return Record(_CHANGE, (*name, n), parents=(led,), ref=read, whose={task_id: True})


def _alternate(item: Item, task: Task) -> str | None:
    """The alternate address that a correction is about."""
    asked = [change for change in task.changes if change.field == "email"]
    wanted = [*(change.current for change in asked if change.current), *(change.asserted for change in asked)]
    held = str(item.get("alternate_addresses") or "").split()
    return next((each for said in wanted for each in held if _is_same(each, said)), None)


def _corrected(record: Record, values: dict[str, str | None]) -> Item:
    """The values that are written; of several addresses the one that is corrected, where it stands."""
    if right := values.get("alternate_addresses"):
        wrong, held = (record.data or ())[2], str(record.ref.fields.get("alternate_addresses") or "").split()
        values["alternate_addresses"] = "\n".join(right if each == wrong else each for each in held)
    return values
