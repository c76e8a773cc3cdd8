"""Attributes records to subjects: compares every found value again with the subject's identities; pure.

A number counts for the period in which it was theirs, by the clock of the place. An account leads only to rows that
name no other person (``claims.py``). A join attributes a record to the subject's party at its end only.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.domain.assignments import NUMBERS, lacking
from shared.domain.errors import Refused, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, Unsearched
from shared.domain.text import forms
from shared.systems.contract import Task
from shared.systems.engine import claims
from shared.systems.engine.claims import Row, RowIdentity
from shared.systems.engine.records import (
    Clock,
    Key,
    Limits,
    Moment,
    Name,
    Party,
    Record,
    SearchKey,
    Shape,
    Span,
    Subject,
)

_UTC = ZoneInfo("UTC")
_SECOND = timedelta(seconds=1)
_ACCOUNT = frozenset({IdentityType.ACCOUNT_ID})
_NO_PARTIES = frozenset[Party]()


# Search keys.


def subject(task: Task, shapes: Sequence[Shape]) -> Subject:
    """Returns the search keys of a task, by place."""
    return Subject(task, {shape.place: keys for shape in shapes if (keys := _keys(task, shape))})


def _keys(task: Task, shape: Shape) -> tuple[SearchKey, ...]:
    """Returns the search keys of one task in a place (REQ-N1).

    In a place with times a number or SIP address finds only records of its period, so one without ``valid_from`` finds
    nothing. A place without times shows the present: there only current identities are searched for. Text that is not
    ASCII is searched for in both normal forms (NFC, NFD).
    """
    types = {holder.type for holder in shape.holders if holder.finds}
    keys: list[SearchKey] = []
    for identity in (each for each in task.identities if each.type in types):
        if shape.clock is None:
            if identity.valid_to is None or shape.periods:
                keys += [SearchKey(identity.type, form) for form in forms(identity.value)]
        elif identity.valid_from is not None or identity.type not in NUMBERS:
            since, until = _in_own_time(identity, shape.clock)
            keys += [SearchKey(identity.type, form, since, until) for form in forms(identity.value)]
    return tuple(dict.fromkeys(keys))


def _in_own_time(identity: Identity, clock: Clock) -> tuple[Moment | None, Moment | None]:
    """Returns the period of an identity by the clock of a place; the shorter one in doubt."""
    since, until = identity.valid_from, identity.valid_to
    match clock.kind:
        case "day":
            begun, ended = (moment and moment.astimezone(clock.zone) for moment in (since, until))
            whole = begun and begun.date() + timedelta(days=begun.time() > time())
            return whole, ended and ended.date()
        case "wall":
            earlier = until and wall_clock(until, clock.zone, earliest=True)
            return since and wall_clock(since, clock.zone, earliest=False), earlier
        case "instant":
            return since, until


def wall_clock(moment: datetime, zone: ZoneInfo, *, earliest: bool) -> datetime:
    """Returns a moment as local time without a zone, as a telephone switch writes it.

    In the hour that autumn repeats, a record can be before or after the moment. The bound moves to the edge of that
    hour, so that a doubtful record is attributed to no one.
    """
    if zone is _UTC:
        return moment.astimezone(UTC).replace(tzinfo=None)
    naive = moment.astimezone(zone).replace(tzinfo=None)
    first, second = naive.replace(tzinfo=zone, fold=0), naive.replace(tzinfo=zone, fold=1)
    gained = (first.utcoffset() or timedelta()) - (second.utcoffset() or timedelta())
    if gained <= timedelta():
        return naive
    low, high = first.astimezone(UTC), second.astimezone(UTC)
    before = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    turned_back = high.replace(microsecond=0).astimezone(zone).replace(tzinfo=None)
    return turned_back if earliest else turned_back + gained


def as_utc(moment: date, zone: ZoneInfo) -> datetime:
    """Returns a time of a system in UTC; one without a zone is read in ``zone`` (REQ-N4). A day is its start."""
    instant = moment if isinstance(moment, datetime) else datetime.combine(moment, time())
    return (instant if instant.tzinfo else instant.replace(tzinfo=zone)).astimezone(UTC)


def _covers(key: SearchKey, at: Moment | None) -> bool:
    """Whether a record's time lies in the period of a key; a record without a time lies in none."""
    if key.since is None and key.until is None:
        return True
    return at is not None and (key.since is None or key.since <= at) and (key.until is None or at < key.until)


# Whose records there are.


@dataclass(slots=True)
class Mine:
    """A record of a subject: their parties in it, and their records that its links lead to, by number of the link.

    ``shared``: an owning link of it leads to a record of another person.
    """

    record: Record
    parties: frozenset[Party] = frozenset()
    ends: tuple[tuple[int, "Mine"], ...] = ()
    shared: bool = False


@dataclass(slots=True)
class Attribution:
    """All records of one subject in a system, by place and key."""

    task: Task
    records: dict[Name, Mine] = field(default_factory=dict)
    unproven: set[Name] = field(default_factory=set)
    """Records with an identity of the subject that the system has not proved to be theirs."""
    doubt: Refused | None = None
    """The reason that the system gives."""

    def counts(self) -> Counter[str]:
        """Counts the records by category."""
        return Counter([m.record.shape.category for m in self.records.values() if not m.record.shape.facts])


_ABOUT: frozenset[Party] = frozenset({None})
_Owners = Mapping[str, Sequence[tuple[int, SearchKey, bool]]]
"""Subjects by identity value: position, key, and whether the key has no period."""


class Attributor:
    """Attributes records to subjects, page by page: records that others lead to come first.

    ``hidden``: numbers in periods in which an erasure left calls for another party's bill (REQ-R5); they find no one
    there.
    """

    def __init__(self, subjects: Sequence[Subject], shapes: Sequence[Shape], hidden: Sequence[Span] = ()) -> None:
        self.found = [Attribution(subject.task) for subject in subjects]
        self._subjects = subjects
        self._hidden: defaultdict[str, list[Span]] = defaultdict(list)
        for span in hidden:
            self._hidden[span.number].append(span)
        self._finders = {shape.place: self._finders_of(shape) for shape in shapes}
        self._positions = {subject.task.task_id: position for position, subject in enumerate(subjects)}
        self._led_to = frozenset(link.place for shape in shapes for link in shape.links)
        self._whose: defaultdict[Name, set[int]] = defaultdict(set)

    def _finders_of(self, shape: Shape) -> Sequence[tuple[int, frozenset[Party], _Owners]]:
        by_type: dict[IdentityType, dict[str, list[tuple[int, SearchKey, bool]]]] = {}
        for position, each in enumerate(self._subjects):
            for key in each.keys.get(shape.place, ()):
                always = key.since is None and key.until is None
                by_type.setdefault(key.type, {}).setdefault(key.value, []).append((position, key, always))
        own = ((n, h.party, by_type[h.type]) for n, h in enumerate(shape.holders) if h.finds and h.type in by_type)
        return [(n, frozenset({party}), known) for n, party, known in own]

    def add(self, page: Iterable[Record]) -> list[tuple[int, Mine]]:
        """Attributes a page of records; returns those of a subject, each with the subject's position."""
        theirs: list[tuple[int, Mine]] = []
        for record in page:  # of one person there may be 20,000
            shape = record.shape
            if record.whose is not None:
                theirs += self._proved(record, record.whose)
                continue
            owners: dict[int, frozenset[Party]] = {}
            for place, party, known in self._finders[shape.place]:
                if (value := record.holders[place]) is None or (keys := known.get(value)) is None:
                    continue
                for position, key, always in keys:
                    if (always or _covers(key, record.at)) and not (self._hidden and self._hides(record, party, value)):
                        owners[position] = party | owners[position] if position in owners else party
            if owners and shape.owners is not None:
                owners = {position: each for position, each in owners.items() if self._is_tenants(record, position)}
            leads = self._lead(record, owners) if record.parents else {}
            for position in owners.keys() | leads.keys() if leads else owners:
                mine = leads.get(position) or Mine(record, owners[position])
                self.found[position].records[shape.place, record.key] = mine
                if shape.place in self._led_to:
                    self._whose[record.name].add(position)
                theirs.append((position, mine))
        return theirs

    def _proved(self, record: Record, whose: Mapping[UUID, bool | Refused]) -> list[tuple[int, Mine]]:
        """Attributes a record by the proof of its system; notes it for the subjects without proof."""
        proved: dict[int, frozenset[Party]] = {}
        for task_id, is_theirs in whose.items():
            found = self.found[self._positions[task_id]]
            if is_theirs is True:
                proved[self._positions[task_id]] = _ABOUT
            else:
                found.unproven.add(record.name)
                found.doubt = is_theirs or found.doubt
        leads = self._lead(record, proved) if record.parents else {}
        theirs = [(position, leads.get(position) or Mine(record, parties)) for position, parties in proved.items()]
        for position, mine in theirs:
            self.found[position].records[record.name] = mine
            self._whose[record.name].add(position)
        return theirs

    def forget(self, theirs: Iterable[tuple[int, Mine]]) -> None:
        """Drops records, except those that others may lead to, whose data are dropped."""
        for position, mine in theirs:
            if mine.record.shape.place in self._led_to:
                mine.record = mine.record._replace(data=None, ref=None)
            else:
                del self.found[position].records[mine.record.name]

    def _is_tenants(self, record: Record, position: int) -> bool:
        owners = record.shape.owners
        return owners is None or record.tenant in owners.get(self._subjects[position].task.tenant, ())

    def _hides(self, record: Record, party: frozenset[Party], value: str) -> bool:
        shape = record.shape
        if shape.bill_of is None or shape.bill_of in party or shape.clock is None or record.at is None:
            return False
        at = as_utc(record.at, shape.clock.zone)
        spans = self._hidden.get(value, ())
        return any((s.since is None or s.since <= at) and (s.until is None or at < s.until) for s in spans)

    def _lead(self, record: Record, owners: Mapping[int, frozenset[Party]]) -> dict[int, Mine]:
        """Attributes a record by those that its links lead to, and notes whether all of them are the subject's."""
        links = record.shape.links
        ends = [(n, links[n], (links[n].place, key)) for n, key in record.parents]
        sharing = [(n, link.party, name) for n, link, name in ends if link.owns and link.shares]
        led: dict[int, Mine] = {}
        for position in {*owners}.union(*[self._whose.get(name, ()) for _, _, name in ends]):
            records = self.found[position].records
            theirs: list[tuple[int, Mine]] = []
            by = _NO_PARTIES
            for n, link, name in ends:
                end = records.get(name)
                if end is None or (link.owns and link.of is not None and link.of not in end.parties):
                    continue
                theirs.append((n, end))
                if link.owns and link.party not in by:
                    by |= {link.party}
            if position not in owners and not (by and self._is_tenants(record, position)):
                continue
            known = {(n, end.record.key) for n, end in theirs} if sharing else set[tuple[int, Key]]()
            shared = any(party in by and (n, name[1]) not in known for n, party, name in sharing)
            led[position] = Mine(record, owners[position] | by if position in owners else by, tuple(theirs), shared)
        return led


# Refusals.


class Refusing:
    """Collects what in a task's records stops it: links to other people's records, or records of too many people.

    Places that declare how to separate people share one list of people; any other place has its own.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._shared: str | None = None
        self._people: dict[str, set[str]] = {}
        self._said: dict[Row, None] = {}
        self._has_account = any(each.type is IdentityType.ACCOUNT_ID for each in task.known)

    def judges(self, shapes: Iterable[Shape]) -> bool:
        """Whether any record of these places could stop the task."""
        return any(shape.apart or any(link.shares for link in shape.links) or self._compares(shape) for shape in shapes)

    def _compares(self, shape: Shape) -> bool:
        return self._has_account and bool(
            shape.links or any(each.type is IdentityType.ACCOUNT_ID for each in shape.holders)
        )

    def add(self, mine: Mine) -> None:
        """Adds a record of the subject."""
        record, shape = mine.record, mine.record.shape
        if mine.shared and self._shared is None:
            self._shared = shape.place
        if shape.apart == "declared":
            self._people.setdefault("", set()).add(str(record.person))
        elif shape.apart and (said := " ".join((record.person or "").casefold().split())):
            self._people.setdefault(shape.place, set()).add(said)
        if self._compares(shape):
            self._said.update(dict.fromkeys(identities_of(mine)))

    def refused(self, limits: Limits) -> Refused | None:
        """Returns why the task must stop, if it must."""
        if self._task.operation is Operation.LIFT:
            return None
        if self._shared:
            return WrongPersonMatch(
                f"{self._shared}: a row leads to other people as well; nothing was done. Say in the dataset which joins"
                " are whose: belongs_to below each of the parties"
            )
        excess = limits.excess(self._task, people=max(map(len, self._people.values()), default=0))
        return excess or claims.beyond(self._task, self._said)


def refusal(found: Attribution, limits: Limits) -> Refused | None:
    """Returns why a task must stop with what was found, if it must."""
    if doubt := unproven(found):
        return doubt
    refusing = Refusing(found.task)
    for mine in found.records.values():
        refusing.add(mine)
    return refusing.refused(limits)


def unproven(found: Attribution) -> Refused | None:
    """Returns why a task must stop whose subject may be among the records found, but is not proved to be."""
    if found.records or not found.unproven:
        return None
    count = len(found.unproven)
    return found.doubt or WrongPersonMatch(
        f"{count} records have an identity of the subject, and none is proven to be theirs"
    )


def identities_of(mine: Mine) -> Iterator[Row]:
    """Yields the identities of each party that the subject is in a record, with those of records that it leads to."""
    shape = mine.record.shape
    recorded = any(each.record for each in shape.holders)
    for party in sorted(mine.parties, key=str):
        ends = (
            each._replace(record=recorded and each.type is not IdentityType.ACCOUNT_ID) for each in _ends(mine, party)
        )
        yield (*_named(mine, party), *ends)


def _named(mine: Mine, party: Party, *, names: bool = True) -> Iterator[RowIdentity]:
    shape = mine.record.shape
    for holder, value in zip(shape.holders, mine.record.holders, strict=True):
        if holder.party == party and (names or holder.type is not IdentityType.NAME):
            yield RowIdentity(holder.type, value, shape.one_account, holder.record)


def _ends(mine: Mine, party: Party) -> Iterator[RowIdentity]:
    for number, end in mine.ends:
        link = mine.record.shape.links[number]
        if link.owns and link.party == party:
            for of in sorted(end.parties, key=str) if link.of is None else (link.of,):
                yield from _named(end, of, names=False)
                yield from _ends(end, of)


# Coverage: what was searched, and what could not be.


class Coverage:
    """The places in which a task is searched, and why not in all."""

    def __init__(self, sought: Subject, shapes: Sequence[Shape]) -> None:
        self._task = sought.task
        self._shapes = shapes
        self._own = {s.place: frozenset(h.type for h in s.holders if h.finds) for s in shapes}
        searched = set[str]()
        self._types: dict[str, frozenset[IdentityType]] = {}
        for shape in shapes:  # the ends of paths come first
            ends = [link.place for link in shape.links if link.owns]
            self._types[shape.place] = self._own[shape.place].union(*(self._types.get(end, ()) for end in ends))
            if sought.keys.get(shape.place) or not searched.isdisjoint(ends):
                searched.add(shape.place)
        self.searched = searched

    @property
    def categories(self) -> tuple[str, ...]:
        """Returns the categories searched, with or without a match."""
        return tuple(sorted({each.category for each in self._shapes if each.place in self.searched}))

    @property
    def by_account(self) -> tuple[str, ...]:
        """Returns the categories not searched because they are filed by account and no account is known."""
        alone = (each for each in self._shapes if self._own[each.place] == _ACCOUNT and each.place not in self.searched)
        return tuple(sorted({each.category for each in alone}))

    @property
    def reason(self) -> Unsearched | None:
        """Returns why a place could not be searched by all known identities; None if all could.

        A number without its period finds nothing where records have times (REQ-N1, REQ-N2). Identities yielded by a
        searched place reach the others. Only the places that a stop of marketing changes count for it.
        """
        identities = self._task.identities
        dated = {(each.type, each.value) for each in identities if each.type in NUMBERS and each.valid_from is not None}
        undated = {each.type for each in identities if each.type in NUMBERS and (each.type, each.value) not in dated}
        changed = self._changed()
        if any(undated & self._types[shape.place] for shape in changed if shape.clock):
            return Unsearched.NUMBER_WITHOUT_PERIOD
        known = {each.type for each in identities}
        searched = (s.holders for s in self._shapes if known & self._own[s.place])
        known = known.union(*({holder.type for holder in holders if holder.yields} for holders in searched))
        needed = [own for shape in changed if (own := self._own[shape.place]) and not known & own]
        return lacking(frozenset().union(*needed)) if needed else None

    def _changed(self) -> Sequence[Shape]:
        """Returns the places that a task may change; all of them if joins lead to one."""
        if self._task.operation is not Operation.SUPPRESS:
            return self._shapes
        ends = ending(self._task)
        changed = [shape for shape in self._shapes if shape.flags[1] or shape.category in ends]
        return self._shapes if any(link.owns for shape in changed for link in shape.links) else changed


def ending(task: Task) -> Collection[str]:
    """Returns the categories that are erased with a withdrawn consent."""
    named = task.details.get("ends")
    return frozenset(map(str, named)) if isinstance(named, list) else frozenset()
