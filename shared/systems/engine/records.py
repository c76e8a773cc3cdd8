"""Defines the interface of adapters and the engine: records, changes, and the operations of a system.

An adapter reads and writes its system, and knows nothing of the law. It guarantees:

- ``find`` yields every record that may be a subject's: each that holds one of their values, at any time and in any
  spelling (the engine compares exactly), and each that leads to such a record by a join. Records that others lead to
  come first. A link that ``shares`` names every record that it leads to; the engine attributes those that were not
  found to other people.
- Tuples of a record are in the order of its shape, always of the same length. Dicts are avoided, since one person may
  have 20,000 records.
- With ``lock``, found records cannot be changed by others until the unit ends.
- ``apply`` changes exactly the records with these keys, in the order that the system needs, or raises and changes
  nothing. A record that is already gone counts as 0.
- A unit is one transaction where the system has transactions: committed when its block ends, rolled back if it raises.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, Protocol, runtime_checkable
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from shared.domain.errors import LimitExceeded, Refused, Unavailable, WrongPersonMatch
from shared.domain.identities import IdentityType
from shared.systems.contract import Task
from shared.systems.sweepable import DueRecords

ABSENT: Final = object()
"""Marks a field in ``Record.data`` that a record does not have."""
Key = tuple[Any, ...]
"""The primary key of a record, in the terms of its system."""
PartyRole = str | None
"""The role of a person in a record of several people; None: the record is about one person."""
RecordTime = datetime | date
"""An instant, a time on a wall clock, or a day, as the clock of its shape says."""


def as_text(value: object) -> str | None:
    """Returns a value in the form in which it is compared; bytes are decoded."""
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case bytes():
            return value.decode("utf-8", "surrogateescape")
        case _:
            return str(value)


class TimeFormat(NamedTuple):
    """The notation of times in a place; ``zone``: for times without a zone."""

    kind: Literal["instant", "wall", "day"]
    zone: ZoneInfo


class Holder(NamedTuple):
    """A column with an identity of a party.

    ``finds``: subjects are searched by it; otherwise it only identifies the party. ``yields``: other systems may be
    searched by it. ``record``: the record is that of the account or person itself.
    """

    column: str
    party: PartyRole
    type: IdentityType
    finds: bool = True
    yields: bool = False
    record: bool = False


class Link(NamedTuple):
    """A join from this place to another, or a foreign key.

    ``owns``: the record at its end decides whose this one is, as party ``of`` there and ``party`` here; otherwise the
    two records only stay together. ``shares``: it may lead to several records, which are all named. ``joins``: it is
    declared as a join, and is not only a foreign key. ``fields``: fields of rules that the record at the end holds: it
    stays where a rule keeps one of them.
    """

    place: str
    owns: bool = True
    joins: bool = True
    party: PartyRole = None
    of: PartyRole = None
    shares: bool = False
    fields: frozenset[str] = frozenset()


class ColumnGroup(NamedTuple):
    """Columns of a record that are always blanked together.

    ``blank``: their new values. ``fields``: fields of rules that it holds; a kept record retains it for them.
    ``identifies_party``: it identifies its party. ``found_by``: a record of one person is found or identified by it, so
    a kept record retains it. ``shows_state``: it shows whether a state lasts. ``blanked_on_erasure``: it is blanked
    when the record outlives its person; otherwise only when a rule reduces the record.
    """

    party: PartyRole
    blank: tuple[tuple[str, str | None], ...]
    fields: frozenset[str] = frozenset()
    identifies_party: bool = False
    found_by: bool = False
    shows_state: bool = False
    blanked_on_erasure: bool = True


class RecordState(NamedTuple):
    """A state in which a record must stay: the word of the dataset, and that of the policy if there is one."""

    reason: str
    word: str | None


class Flag(NamedTuple):
    """A flag that readers obey; ``permanent``: it is never lifted. ``value``: the value of its column when set."""

    column: str = ""
    permanent: bool = False
    value: str | None = None


class RecordField(NamedTuple):
    """A column in ``Record.data``: how it is shown and corrected; without a name it is the whole record.

    ``readable``: formats a value. ``kind``: its class. ``shown``: it is part of a copy. ``open``: other parties see it
    too. ``portable``: the person provided it. ``rectifies``: the field of a correction that it holds. ``fact``: it
    holds a current fact, which may have to be corrected. ``part``: an optional part of a document. ``dialled``: the
    position of the same number in E.164, which is shown instead. ``same``: compares two spellings; None: equality.
    """

    column: str
    label: str
    readable: Callable[[Any], JsonValue]
    party: PartyRole = None
    kind: Literal["A", "B", "M", "C", "T"] = "M"
    shown: bool = True
    open: bool = False
    portable: bool = True
    rectifies: str | None = None
    identity: IdentityType | None = None
    fact: bool = False
    part: bool = False
    dialled: int | None = None
    same: Callable[[str, str], bool] | None = None


class PartyShape(NamedTuple):
    """A party of a record; ``withheld``: the position of the field that says whether they withheld their number.

    ``open_words``: words there that withhold nothing. ``placeholders``: values that name no person. ``seen_by``: who
    may see this party; None: all. ``same_as``: the party that it usually equals.
    """

    placeholders: tuple[str, ...] = ("",)
    withheld: int | None = None
    open_words: tuple[str, ...] = ("none",)
    seen_by: tuple[str, ...] | None = None
    same_as: str | None = None


FLAGS: Final = ("restriction", "marketing", "kept")
"""The order of ``Shape.flags`` and ``Record.flags``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Shape:
    """A place of a system (a table, a kind of record), with the properties that all of its records share.

    - ``anchors``: start times of periods, by the policy's names, with their clocks
    - ``owners``: the values that identify each tenant's records (None: the company's own)
    - ``clock``: how it writes the time of a record; ``valid``: how it writes the period in which a record holds
    - ``separates_people``: a column separates people: ``declared`` for all places together, or ``taken`` for this place
      alone
    - ``one_account``: each account is one person; ``key_is_account``: the key is the account
    - ``kept_fields``: the fields to which a rule reduces a record; ``bill_of``: the party whose bill needs the record
    - ``outlives_person``: a record outlives its person; otherwise it is deleted unless another party is left
    - ``anonymise``: the policy may have it anonymised; ``kept_complete``: kept records stay complete, and no period
      keeps any
    - ``stated``: statements are stored with its records
    - ``countries``: countries whose law may apply, in the policy's words; None: the records do not say
    - ``used_for_marketing``: it may be used for marketing, even without a flag
    - ``unattributed``: it may hold numbers of unknown owner; ``periods``: it knows who had a number when
    - ``deleted_with_parent``: a record goes with the one that it leads to, and no limit counts it
    - ``assigns``: a record proves that its first holder was assigned to the person
    - ``shows_states_only``: its records only show what keeps those that they lead to; ``never_kept``: no rule needs its
      records
    """

    place: str
    category: str
    holders: tuple[Holder, ...] = ()
    links: tuple[Link, ...] = ()
    parties: Mapping[str, PartyShape]
    parts: tuple[ColumnGroup, ...] = ()
    states: tuple[RecordState, ...] = ()
    flags: tuple[Flag | None, Flag | None, Flag | None] = (None, None, None)
    anchors: tuple[tuple[str, TimeFormat], ...] = ()
    fields: tuple[RecordField, ...] = ()
    clock: TimeFormat | None = None
    valid: TimeFormat | None = None
    owners: Mapping[str | None, Collection[str]] | None = None
    countries: frozenset[str] | None = None
    separates_people: Literal["declared", "taken"] | None = None
    one_account: bool = False
    key_is_account: bool = False
    kept_fields: frozenset[str] | None = None
    bill_of: PartyRole = None
    outlives_person: bool = False
    anonymise: bool = False
    stated: bool = False
    kept_complete: bool = False
    used_for_marketing: bool = False
    unattributed: bool = False
    deleted_with_parent: bool = False
    periods: bool = False
    assigns: bool = False
    shows_states_only: bool = False
    never_kept: bool = False


NO_LINE: Final = ""
"""The country of a record that shows no line that could be billed."""


class Statement(NamedTuple):
    """A person's statement about their record; ``column``: the column that identifies them there."""

    column: str
    field: str
    text: str
    stated_on: date


class Record(NamedTuple):
    """One row, ticket, party or contact as it is now.

    - ``holders``: identities in the form in which they are compared
    - ``at``, ``anchors``: times as the system writes them
    - ``states``: whether each lasts; None: unknown
    - ``tenant``: the customer for whom it is processed, in lower case; ``country``: whose law applies, or that of the
      line that is billed; ``NO_LINE``: it is on no bill
    - ``parents``: keys of the records that it leads to, each with the number of its link
    - ``filled``: for each part, whether there is something to blank
    - ``flags``: whether each is set; None: unknown, or the place has none
    - ``data``: values of the fields, if asked for; ``ref``: what the adapter needs to find it again
    - ``proved_owners``: by task, whether its system proved it to be the subject's, or why not; None: its holders decide
    - ``rows``: the number of records that it stands for, in a system that reports counts only
    """

    shape: Shape
    key: Key
    holders: tuple[str | None, ...] = ()
    at: RecordTime | None = None
    anchors: tuple[RecordTime | None, ...] = ()
    states: tuple[bool | None, ...] = ()
    tenant: str | None = None
    country: str | None = None
    parents: tuple[tuple[int, Key], ...] = ()
    filled: tuple[bool, ...] = ()
    flags: tuple[bool | None, bool | None, bool | None] = (None, None, None)
    person: str | None = None
    valid: tuple[RecordTime | None, RecordTime | None] = (None, None)
    data: tuple[Any, ...] | None = None
    stated: tuple[Statement, ...] = ()
    ref: Any = None
    proved_owners: Mapping[UUID, bool | Refused] | None = None
    rows: int = 1

    @property
    def name(self) -> "RecordName":
        """Returns its unique name in the system."""
        return self.shape.place, self.key


Page = Sequence[Record]
RecordName = tuple[str, Key]
"""The unique name of a record in its system: place and key."""


class SearchKey(NamedTuple):
    """A value to search for in a place; ``since``/``until``: half-open, by the clock of the place."""

    type: IdentityType
    value: str
    since: RecordTime | None = None
    until: RecordTime | None = None


class SubjectSearch(NamedTuple):
    """A task and its search keys by place (``ownership.subject``)."""

    task: Task
    keys: Mapping[str, tuple[SearchKey, ...]]


class ChangeKind(StrEnum):
    """Kinds of change."""

    DELETE = "delete"
    SET = "set"  # columns get these values: blanked, reduced or corrected
    ANONYMISE = "anonymise"  # as is declared of each column
    MARK = "mark"
    UNMARK = "unmark"
    STATE = "state"  # a statement is stored with them


class RecordChange(NamedTuple):
    """One change of many records of a place.

    ``values``: new values by column, as text. ``flag``: the flag to set or lift. ``statement``: the statement to store
    with the records.
    """

    kind: ChangeKind
    shape: Shape
    records: Sequence[Record]
    values: tuple[tuple[str, str | None], ...] = ()
    flag: str = ""
    request: UUID | None = None
    statement: Statement | None = None


class NumberPeriod(NamedTuple):
    """A number in a period, UTC, half-open."""

    number: str
    since: datetime | None
    until: datetime | None


HiddenNumber = tuple[UUID, NumberPeriod]
"""A number and period that a request hides from readers."""


class HiddenNumbers(Protocol):
    """A side list of numbers and periods, which readers hide (Art. 18)."""

    @property
    def place(self) -> str: ...

    async def listed(self, requests: Collection[UUID]) -> Sequence[HiddenNumber]:
        """Returns the entries of these requests."""

    async def put(self, spans: Sequence[HiddenNumber], *, kept: bool = False) -> int:
        """Adds missing entries and returns their number; ``kept``: for records that an erasure left."""

    async def take(self, request: UUID, spans: Sequence[NumberPeriod] | None = None) -> int:
        """Removes these entries, or all of the request, and returns their number."""

    async def kept(self, numbers: Collection[str]) -> Sequence[NumberPeriod]:
        """Returns the periods of these numbers in which an erasure left records."""


class AppliedChanges(NamedTuple):
    """Number of records changed by each change; ``emptied``: by deleted record, rows whose reference was emptied."""

    rows: Sequence[int]
    emptied: Mapping[RecordName, Mapping[str, int]]


class StillReferenced(WrongPersonMatch):
    """Records that stay refer to records that were to be deleted; ``why``: a sentence for each of the latter."""

    def __init__(self, why: Mapping[RecordName, str]) -> None:
        super().__init__(next(iter(why.values())))
        self.why = why


class LockConflict(Unavailable):
    """Another transaction holds a needed lock; nothing was changed, and it is tried again."""


class TaskNote(NamedTuple):
    """Counts of a task in a transaction, by category; ``first``: a repeat keeps the first counts."""

    task: Task
    counts: Mapping[str, int]
    first: bool = False


class Unit(Protocol):
    """A transaction, or a moment, of a system."""

    @property
    def shapes(self) -> Sequence[Shape]:
        """The places of the system; places that others lead to come first."""

    @property
    def order(self) -> Sequence[str]:
        """The places in the order in which records can be deleted: referring records first."""

    @property
    def numbers(self) -> HiddenNumbers | None:
        """The side list of numbers, if there is one."""

    @property
    def remembers(self) -> bool:
        """Whether counts are noted in the store; otherwise they are in the task's progress."""

    def find(
        self, subjects: Sequence[SubjectSearch], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        """Yields all records that may be one of the subjects', in pages of about 2,500 at most.

        ``most``: once there are more than that, the rest need not be read.
        """

    async def unchanged(self, records: Sequence[Record]) -> Sequence[Record]:
        """Locks these records and returns those that are unchanged."""

    async def again(self, records: Sequence[Record], *, data: bool = False) -> Sequence[Record]:
        """Reads these records again; deleted ones are left out, and ``parents`` are copied."""

    async def apply(self, changes: Sequence[RecordChange], *, skip_referenced: bool = False) -> AppliedChanges:
        """Changes these records; ``skip_referenced``: leaves out records that others refer to.

        Raises:
            Tied: others refer to records to be deleted; nothing was changed yet
            WrongPersonMatch: a key is not unique
        """

    async def note(self, notes: Sequence[TaskNote]) -> Mapping[UUID, Counter[str]]:
        """Notes counts in this transaction and returns the totals of each task.

        A task that is missing in the answer was overtaken; the transaction must then be rolled back.
        """

    async def dangling(self, deleted: Sequence[Record]) -> Collection[RecordName]:
        """Returns the deleted records that a record of the subject still leads to."""

    async def unattributed(self) -> int:
        """Counts records with a number of unknown owner, up to a limit."""

    async def reference(self, records: Sequence[Record]) -> Sequence[str]:
        """Returns a stable digest of each record, prefixed with its place."""

    async def size(self, place: str) -> int:
        """Counts all records of a place."""

    async def past(self, due: DueRecords, after: Record | None, *, most: int) -> Page:
        """Locks and returns the next records past their day, oldest first; those that need no change are left out."""


@runtime_checkable
class BulkDelete(Protocol):
    """A unit that can also delete unread, by search keys or by age, where records need no judgement."""

    def clears(self, subjects: Sequence[SubjectSearch]) -> bool:
        """Whether the search keys find only the subjects' records, and nothing leads or refers to them."""

    async def count(self, subjects: Sequence[SubjectSearch]) -> Sequence[int]:
        """Counts the records of each subject."""

    async def clear(self, subjects: Sequence[SubjectSearch], most: int) -> Sequence[Counter[str]]:
        """Deletes at most so many; returns the counts of each subject, by place."""

    def clears_past(self, due: DueRecords) -> bool:
        """Whether every record past that day can be deleted, and nothing leads or refers to it."""

    async def count_past(self, due: DueRecords) -> int:
        """Counts the records past that day."""

    async def clear_past(self, due: DueRecords, most: int) -> int:
        """Deletes at most so many of the oldest, and returns their number."""


class System(Protocol):
    """A system: its name, its limits, and units for the company's data or for one tenant's."""

    @property
    def name(self) -> str: ...

    def knows(self, tenant: str | None) -> bool:
        """Whether it can separate that tenant's data; None: the company's own."""

    @property
    def incarnation(self) -> str:
        """The identity of the store, as the last changing unit found it."""

    @property
    def limits(self) -> "RequestLimits": ...

    @property
    def part(self) -> int:
        """Most records of one copy in memory; larger copies are handed over in parts."""

    def unit(
        self, tenant: str | None = None, *, reading: bool = False, known: bool = False
    ) -> AbstractAsyncContextManager[Unit]:
        """Opens a transaction; ``reading``: it changes nothing, and checks the declaration more strictly.

        ``known``: an earlier unit of the same call has compared the system with its declaration.

        Raises:
            Unavailable: the system is away or busy
            Refused: the system differs from its declaration, or is not prepared for changes
        """


class RequestLimits(Protocol):
    """Limits of one request."""

    @property
    def rounds(self) -> int:
        """Most rounds of an erasure in which new records keep arriving."""

    def excess(self, task: Task, *, rows: int = 0, people: int = 0) -> LimitExceeded | None: ...
