"""What an adapter and the engine tell each other: records, changes, and what a system must be able to do.

An adapter knows how to read and write its system, and nothing of the law. It promises:

- ``find`` yields every record that may be a subject's: all that holds one of their values, at whatever time and
  whosever it is by another spelling (the engine compares exactly), and all that leads to such a record by a join. The
  ends of a path come before what leads to them. Where a link ``shares``, it names every record to which it leads, and
  the engine takes those that were not found for other people's.
- Tuples of a record stand in the order of its shape, always of the same length. Nothing is a dict: of one person there
  may be 20,000 records.
- With ``lock``, nobody else changes what was found before the unit ends.
- ``apply`` changes exactly the records with these keys, in an order that the system needs, or raises and changes
  nothing. A record that is gone already counts as 0.
- A unit is one transaction where the system has them: it is kept if its block ends, and undone if that raises.
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

from shared.domain.errors import BlastRadius, ForeignHit, Refused, Unavailable
from shared.domain.identities import IdentityType
from shared.systems.contract import Task
from shared.systems.sweepable import Due

ABSENT: Final = object()
"""What stands in ``Record.data`` for a field that a record has not."""
Key = tuple[Any, ...]
"""The primary key of a record, in the terms of its system."""
Party = str | None
"""As whom somebody stands in a record of several people; None: it is about one."""
Moment = datetime | date
"""An instant, a time on a wall clock, or a day, as the clock of its shape says."""


def as_text(value: object) -> str | None:
    """Returns a value as it is compared; of bytes what they spell."""
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case bytes():
            return value.decode("utf-8", "surrogateescape")
        case _:
            return str(value)


class Clock(NamedTuple):
    """How a place writes when something happened; ``zone``: of what has none."""

    kind: Literal["instant", "wall", "day"]
    zone: ZoneInfo


class Holder(NamedTuple):
    """A column that names somebody: as which party, by which type of identity.

    ``finds``: subjects are searched by it; else it only tells whom the record names. ``yields``: it may be told to
    other systems. ``record``: it stands in the record of that account or person itself.
    """

    column: str
    party: Party
    type: IdentityType
    finds: bool = True
    yields: bool = False
    record: bool = False


class Link(NamedTuple):
    """A join from this place to another, or a foreign key.

    ``owns``: the record at its end tells whose this one is, as ``of`` there and as ``party`` here; else that one must
    only stay with this one: it is on the way, or is referred to. ``shares``: it may lead to several records, so that
    all of them are named. ``joins``: it is declared as a join, and not a foreign key alone. ``fields``: the fields of
    rules that are there, and not in this record: what is at the end keeps them, and stays where a rule keeps one.
    """

    place: str
    owns: bool = True
    joins: bool = True
    party: Party = None
    of: Party = None
    shares: bool = False
    fields: frozenset[str] = frozenset()


class Part(NamedTuple):
    """Columns of a record that are always emptied together.

    ``blank``: what each becomes. ``fields``: the fields of rules that it holds, by which a kept record retains it.
    ``names``: it identifies its party. ``found_by``: a record of one person is found or told apart by it, so that it
    stays in one that is kept. ``tells``: it says whether a state lasts. ``goes``: it is emptied where the record
    outlives its person; else only where a rule reduces it.
    """

    party: Party
    blank: tuple[tuple[str, str | None], ...]
    fields: frozenset[str] = frozenset()
    names: bool = False
    found_by: bool = False
    tells: bool = False
    goes: bool = True


class State(NamedTuple):
    """A state in which a record must stay: the word of the dataset for it, and that of the policy if it has one."""

    reason: str
    word: str | None


class Flag(NamedTuple):
    """A mark that readers obey; ``stays``: nothing lifts it. ``value``: what its column holds then, if it is one."""

    column: str = ""
    stays: bool = False
    value: str | None = None


class Field(NamedTuple):
    """A column in ``Record.data``: how people see it, and how it is corrected; one without a name is the whole record.

    ``readable``: how a value is shown. ``kind``: its class. ``shown``: it is part of a copy. ``open``: another party
    sees it too. ``portable``: it was provided by the person. ``rectifies``: the field of a correction that it holds.
    ``fact``: it holds a fact of today, which may have to be corrected. ``part``: it is a part of a document, which
    stays without it where it has none. ``dialled``: the position of the field with the same number in E.164, which is
    shown instead. ``same``: whether two spellings are one value; None: they must be equal.
    """

    column: str
    label: str
    readable: Callable[[Any], JsonValue]
    party: Party = None
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
    """A party of a record; ``withheld``: the position of the field that says whether they hid their number.

    ``open_words``: the words there that hide nothing. ``nobody``: values that name nobody. ``seen_by``: the parties
    that are shown it; None: all. ``same_as``: the party that it mostly is.
    """

    nobody: tuple[str, ...] = ("",)
    withheld: int | None = None
    open_words: tuple[str, ...] = ("none",)
    seen_by: tuple[str, ...] | None = None
    same_as: str | None = None


FLAGS: Final = ("restriction", "marketing", "kept")
"""The order of ``Shape.flags`` and ``Record.flags``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Shape:
    """A place of a system (a table, a kind of record): what all of its records have in common, said once.

    ``anchors``: what the policy calls the
    beginnings of its periods, with their clocks. ``owners``: what tells a tenant's records apart (None: ours), where
    they say it. ``valid``: they say from when to when they hold, by this clock. ``person``: one column tells people
    apart; ``declared_person``: it is declared so, for all places together. ``one_account``: each account is one
    person's. ``keeps``: what a rule keeps is reduced to its fields. ``bill_of``: the party whose bill needs it.
    ``blanks``: it outlives a person; else it is deleted with them, unless another party is left. ``anonymise``: it is
    rewritten without its people where the policy says so. ``stated``: statements stand beside its records.
    ``countries``: by country of whose law its records may be, in the words of the policy; None: they do not say.
    ``key_is_account``: its key is the account. ``whole``: what a state or a hold keeps stays as it is, and no period
    keeps anything. ``mails``: it may be used for marketing, also where nothing marks who wants none.
    ``unattributed``: it may have numbers of which nobody can tell whose. ``attached``: it goes with the record to which
    it leads, and no limit counts it. ``periods``: it knows whose a number was when, so that former ones are asked for.
    ``assigns``: a record says that its first holder was assigned to them. ``facts``: its records only tell what keeps
    those to which they lead. ``spare``: no rule needs its records.
    """

    place: str
    category: str
    holders: tuple[Holder, ...] = ()
    links: tuple[Link, ...] = ()
    parties: Mapping[str, PartyShape]
    parts: tuple[Part, ...] = ()
    states: tuple[State, ...] = ()
    flags: tuple[Flag | None, Flag | None, Flag | None] = (None, None, None)
    anchors: tuple[tuple[str, Clock], ...] = ()
    fields: tuple[Field, ...] = ()
    clock: Clock | None = None
    valid: Clock | None = None
    owners: Mapping[str | None, Collection[str]] | None = None
    countries: frozenset[str] | None = None
    apart: Literal["declared", "taken"] | None = None
    one_account: bool = False
    key_is_account: bool = False
    keeps: frozenset[str] | None = None
    bill_of: Party = None
    blanks: bool = False
    anonymise: bool = False
    stated: bool = False
    whole: bool = False
    mails: bool = False
    unattributed: bool = False
    attached: bool = False
    periods: bool = False
    assigns: bool = False
    facts: bool = False
    spare: bool = False


class Statement(NamedTuple):
    """What a person has stated beside a record of theirs; ``column``: by which they stand in it."""

    column: str
    field: str
    said: str
    stated_on: date


class Record(NamedTuple):
    """One row, ticket, party or contact as it is now.

    ``holders``: the values as they are compared. ``anchors``, ``at``: as they are written there. ``states``: whether
    each lasts; None: it does not say. ``tenant``: for whom it is processed, in small letters. ``country``: under whose
    law it is, where it says that. ``parents``: each with the number of its link. ``filled``: by part, whether there is
    anything to empty: a value that is neither what it becomes, nor (of a part that ``names``) a word for nobody.
    ``flags``: whether each is set; None: neither its word nor its opposite stands there, or nothing can bear it.
    ``data``: the values of its fields, where that was asked for. ``ref``: whatever the adapter needs to know it again.
    ``whose``: by task whether its system has proved it to be that subject's, or why it has not; None: its holders tell.
    ``rows``: for how many it stands, of a system that tells no more than counts.
    """

    shape: Shape
    key: Key
    holders: tuple[str | None, ...] = ()
    at: Moment | None = None
    anchors: tuple[Moment | None, ...] = ()
    states: tuple[bool | None, ...] = ()
    tenant: str | None = None
    country: str | None = None
    parents: tuple[tuple[int, Key], ...] = ()
    filled: tuple[bool, ...] = ()
    flags: tuple[bool | None, bool | None, bool | None] = (None, None, None)
    person: str | None = None
    valid: tuple[Moment | None, Moment | None] = (None, None)
    data: tuple[Any, ...] | None = None
    stated: tuple[Statement, ...] = ()
    ref: Any = None
    whose: Mapping[UUID, bool | Refused] | None = None
    rows: int = 1

    @property
    def name(self) -> "Name":
        """What tells it from all others of its system."""
        return self.shape.place, self.key


Page = Sequence[Record]
Name = tuple[str, Key]
"""What tells a record from all others of its system."""


class SearchKey(NamedTuple):
    """One value by which a subject is searched in a place; ``since``/``until``: half-open, in its own clock."""

    type: IdentityType
    value: str
    since: Moment | None = None
    until: Moment | None = None


class Subject(NamedTuple):
    """Whose records are sought: a task, and by place what finds theirs (``ownership.subject``)."""

    task: Task
    keys: Mapping[str, tuple[SearchKey, ...]]


class Kind(StrEnum):
    """What becomes of records."""

    DELETE = "delete"
    SET = "set"  # columns get these values: blanked, reduced or corrected
    ANONYMISE = "anonymise"  # as is declared of each column
    MARK = "mark"
    UNMARK = "unmark"
    STATE = "state"  # a statement is put beside them


class Change(NamedTuple):
    """The same change of many records of one place.

    ``values``: by column, as text. ``flag``: which of the flags is set or lifted. ``statement``: what a request
    puts beside them.
    """

    kind: Kind
    shape: Shape
    records: Sequence[Record]
    values: tuple[tuple[str, str | None], ...] = ()
    flag: str = ""
    request: UUID | None = None
    statement: Statement | None = None


class Span(NamedTuple):
    """A number in a period, UTC, half-open."""

    number: str
    since: datetime | None
    until: datetime | None


Listed = tuple[UUID, Span]
"""A number that a request hides from readers in a period."""


class Numbers(Protocol):
    """A list beside the data of numbers that readers do not see, each in its period (Art. 18)."""

    @property
    def place(self) -> str: ...

    async def listed(self, requests: Collection[UUID]) -> Sequence[Listed]:
        """What stands there for these requests."""

    async def put(self, spans: Sequence[Listed], *, kept: bool = False) -> int:
        """Adds what is missing; ``kept``: for what an erasure has left. How many were new."""

    async def take(self, request: UUID, spans: Sequence[Span] | None = None) -> int:
        """Removes these, or all of the request; how many."""

    async def kept(self, numbers: Collection[str]) -> Sequence[Span]:
        """In which times an erasure has left what these numbers find."""


class Applied(NamedTuple):
    """How many records each change has changed; ``emptied``: by record that went, what others refer to nobody now."""

    rows: Sequence[int]
    emptied: Mapping[Name, Mapping[str, int]]


class Tied(ForeignHit):
    """Records refer to some that were to go, and do not go with them; ``why``: a sentence for each of the latter."""

    def __init__(self, why: Mapping[Name, str]) -> None:
        super().__init__(next(iter(why.values())))
        self.why = why


class Collided(Unavailable):
    """Somebody else holds a lock that was needed; nothing was changed, and it is tried again."""


class Note(NamedTuple):
    """What a transaction has done of a task, by category; ``first``: a repeat keeps what was noted first."""

    task: Task
    counts: Mapping[str, int]
    first: bool = False


class Unit(Protocol):
    """A transaction, or a moment, of a system."""

    @property
    def shapes(self) -> Sequence[Shape]:
        """Its places as they are today, the ends of paths before what leads to them."""

    @property
    def order(self) -> Sequence[str]:
        """The same places, those whose records refer to others before these: in that order records can go."""

    @property
    def numbers(self) -> Numbers | None:
        """The list of numbers beside the data, if there is one."""

    @property
    def remembers(self) -> bool:
        """Whether it notes what it does of a task with the data; else the progress of the task has it."""

    def find(
        self, subjects: Sequence[Subject], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        """All records that may be one of the subjects', in pages of at most 2,500 or so.

        ``most``: once there are more than that, the rest need not be read.
        """

    async def unchanged(self, records: Sequence[Record]) -> Sequence[Record]:
        """Locks these, and returns those that are still as they were."""

    async def again(self, records: Sequence[Record], *, data: bool = False) -> Sequence[Record]:
        """The same as they are now; those that are gone are left out. ``parents`` are taken over."""

    async def apply(self, changes: Sequence[Change], *, skip_tied: bool = False) -> Applied:
        """Changes these records; ``skip_tied``: leaves those to which others refer that do not go.

        Raises:
            Tied: others refer to records that go; nothing was changed yet.
            ForeignHit: a key does not tell records apart.
        """

    async def note(self, notes: Sequence[Note]) -> Mapping[UUID, Counter[str]]:
        """Notes in this transaction what it does; all that was noted of each task so far.

        A task that is missing was overtaken: then the transaction must not be kept.
        """

    async def strays(self, gone: Sequence[Record]) -> Collection[Name]:
        """Those of these records, which are gone, to which a record still leads that counts."""

    async def unattributed(self) -> int:
        """How many records have a number that may be anybody's, up to a limit."""

    async def reference(self, records: Sequence[Record]) -> Sequence[str]:
        """A digest of each, with the place before it: the same as long as the system is the same."""

    async def size(self, place: str) -> int:
        """How many records there are in a place, whosever they are."""

    async def past(self, due: Due, after: Record | None, *, most: int) -> Page:
        """The next records whose anchor lies before a day, by age, locked; those that need nothing are left out."""


@runtime_checkable
class Clearing(Protocol):
    """A unit that also deletes by what finds records, of subjects or past a day, where nothing is judged of each."""

    def clears(self, subjects: Sequence[Subject]) -> bool:
        """Whether what finds the subjects' records finds these alone, and nothing leads or refers to them."""

    async def count(self, subjects: Sequence[Subject]) -> Sequence[int]:
        """How many there are of each."""

    async def clear(self, subjects: Sequence[Subject], most: int) -> Sequence[Counter[str]]:
        """Deletes them, as many at most; how many of each, by place."""

    def clears_past(self, due: Due) -> bool:
        """Whether every record that is past that day can go, and nothing leads or refers to it."""

    async def count_past(self, due: Due) -> int:
        """How many there are."""

    async def clear_past(self, due: Due, most: int) -> int:
        """Deletes the oldest of them, as many at most; how many."""


class System(Protocol):
    """What a system has besides: its name, its limits, and units for our data or for one tenant's."""

    @property
    def name(self) -> str: ...

    def knows(self, tenant: str | None) -> bool:
        """Whether it tells that tenant's data apart; None: ours."""

    @property
    def incarnation(self) -> str:
        """Which store it is, as the last unit that changes has found it."""

    @property
    def limits(self) -> "Limits": ...

    @property
    def part(self) -> int:
        """How many records of one copy are held, and handed over together where there are more."""

    def unit(
        self, tenant: str | None = None, *, reading: bool = False, known: bool = False
    ) -> AbstractAsyncContextManager[Unit]:
        """One transaction; ``reading``: it changes nothing, and is stricter about what is not declared.

        ``known``: an earlier unit of the same call has looked whether the system is as declared.

        Raises:
            Unavailable: it is away or busy.
            Refused: it is not as declared, or not prepared for being changed.
        """


class Limits(Protocol):
    """How much one request may touch."""

    @property
    def rounds(self) -> int:
        """How often records that keep arriving are chased."""

    def excess(self, task: Task, *, rows: int = 0, people: int = 0) -> BlastRadius | None: ...
