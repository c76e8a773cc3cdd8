"""Attributes records to subjects: compares every found value again with the subject's identities; pure.

A number counts for the period in which it was theirs, by the clock of the place. An account leads only to rows that
name no other person (``account_claims.py``). A join attributes a record to the subject's party at its end only.
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
from shared.systems.engine import account_claims
from shared.systems.engine.account_claims import PartyIdentities, RowIdentity
from shared.systems.engine.records import (
    Key,
    NumberPeriod,
    PartyRole,
    Record,
    RecordName,
    RecordTime,
    RequestLimits,
    SearchKey,
    Shape,
    SubjectSearch,
    TimeFormat,
)

_UTC = ZoneInfo("UTC")
_SECOND = timedelta(seconds=1)
_ACCOUNT = frozenset({IdentityType.ACCOUNT_ID})
_NO_PARTIES = frozenset[PartyRole]()


# Search keys.


def subject_search(task: Task, shapes: Sequence[Shape]) -> SubjectSearch:
    """Returns the search keys of a task, by place."""
    return SubjectSearch(task, {shape.place: keys for shape in shapes if (keys := _keys(task, shape))})


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


def _in_own_time(identity: Identity, clock: TimeFormat) -> tuple[RecordTime | None, RecordTime | None]:
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


def _covers(key: SearchKey, at: RecordTime | None) -> bool:
    """Whether a record's time lies in the period of a key; a record without a time lies in none."""
    if key.since is None and key.until is None:
        return True
    return at is not None and (key.since is None or key.since <= at) and (key.until is None or at < key.until)


# Whose records there are.


@dataclass(slots=True)
class OwnedRecord:
    """A record of a subject, with their parties in it.

    ``linked``: the subject's records that its links lead to, by number of the link.

    ``leads_to_others``: an owning link of it leads to a record of another person.
    """

    record: Record
    parties: frozenset[PartyRole] = frozenset()
    linked: tuple[tuple[int, "OwnedRecord"], ...] = ()
    leads_to_others: bool = False


@dataclass(slots=True)
class SubjectRecords:
    """All records of one subject in a system, by place and key."""

    task: Task
    records: dict[RecordName, OwnedRecord] = field(default_factory=dict)
    unproven: set[RecordName] = field(default_factory=set)
    """Records with an identity of the subject that the system has not proved to be theirs."""
    doubt: Refused | None = None
    """The reason that the system gives."""

    def counts(self) -> Counter[str]:
        """Counts the records by category."""
        return Counter([m.record.shape.category for m in self.records.values() if not m.record.shape.shows_states_only])


_ABOUT: frozenset[PartyRole] = frozenset({None})
_Owners = Mapping[str, Sequence[tuple[int, SearchKey, bool]]]
"""Subjects by identity value: position, key, and whether the key has no period."""


class OwnershipResolver:
    """Attributes records to subjects, page by page: records that others lead to come first.

    ``hidden``: numbers in periods in which an erasure left calls for another party's bill (REQ-R5); they find no one
    there.
    """

    def __init__(
        self, subjects: Sequence[SubjectSearch], shapes: Sequence[Shape], hidden: Sequence[NumberPeriod] = ()
    ) -> None:
        self.found = [SubjectRecords(subject.task) for subject in subjects]
        self._subjects = subjects
        self._hidden: defaultdict[str, list[NumberPeriod]] = defaultdict(list)
        for span in hidden:
            self._hidden[span.number].append(span)
        self._subjects_by_value = {shape.place: self._finders_of(shape) for shape in shapes}
        self._positions = {subject.task.task_id: position for position, subject in enumerate(subjects)}
        self._linked_places = frozenset(link.place for shape in shapes for link in shape.links)
        self._owners: defaultdict[RecordName, set[int]] = defaultdict(set)

    def _finders_of(self, shape: Shape) -> Sequence[tuple[int, frozenset[PartyRole], _Owners]]:
        by_type: dict[IdentityType, dict[str, list[tuple[int, SearchKey, bool]]]] = {}
        for position, each in enumerate(self._subjects):
            for key in each.keys.get(shape.place, ()):
                without_period = key.since is None and key.until is None
                by_type.setdefault(key.type, {}).setdefault(key.value, []).append((position, key, without_period))
        finders = ((n, h.party, by_type[h.type]) for n, h in enumerate(shape.holders) if h.finds and h.type in by_type)
        return [(n, frozenset({party}), known) for n, party, known in finders]

    def add(self, page: Iterable[Record]) -> list[tuple[int, OwnedRecord]]:
        """Attributes a page of records; returns those of a subject, each with the subject's position."""
        own: list[tuple[int, OwnedRecord]] = []
        for record in page:  # of one person there may be 20,000
            shape = record.shape
            if record.proved_owners is not None:
                own += self._proved(record, record.proved_owners)
                continue
            owners: dict[int, frozenset[PartyRole]] = {}
            for place, party, known in self._subjects_by_value[shape.place]:
                if (value := record.holders[place]) is None or (keys := known.get(value)) is None:
                    continue
                for position, key, without_period in keys:
                    if (without_period or _covers(key, record.at)) and not (
                        self._hidden and self._is_hidden(record, party, value)
                    ):
                        owners[position] = party | owners[position] if position in owners else party
            if owners and shape.owners is not None:
                owners = {position: each for position, each in owners.items() if self._is_tenants(record, position)}
            linked = self._follow_links(record, owners) if record.parents else {}
            for position in owners.keys() | linked.keys() if linked else owners:
                owned = linked.get(position) or OwnedRecord(record, owners[position])
                self.found[position].records[shape.place, record.key] = owned
                if shape.place in self._linked_places:
                    self._owners[record.name].add(position)
                own.append((position, owned))
        return own

    def _proved(self, record: Record, proofs: Mapping[UUID, bool | Refused]) -> list[tuple[int, OwnedRecord]]:
        """Attributes a record by the proof of its system; notes it for the subjects without proof."""
        proved: dict[int, frozenset[PartyRole]] = {}
        for task_id, is_theirs in proofs.items():
            found = self.found[self._positions[task_id]]
            if is_theirs is True:
                proved[self._positions[task_id]] = _ABOUT
            else:
                found.unproven.add(record.name)
                found.doubt = is_theirs or found.doubt
        linked = self._follow_links(record, proved) if record.parents else {}
        own = [(position, linked.get(position) or OwnedRecord(record, parties)) for position, parties in proved.items()]
        for position, owned in own:
            self.found[position].records[record.name] = owned
            self._owners[record.name].add(position)
        return own

    def forget(self, own: Iterable[tuple[int, OwnedRecord]]) -> None:
        """Drops records, except those that others may lead to, whose data are dropped."""
        for position, owned in own:
            if owned.record.shape.place in self._linked_places:
                owned.record = owned.record._replace(data=None, ref=None)
            else:
                del self.found[position].records[owned.record.name]

    def _is_tenants(self, record: Record, position: int) -> bool:
        owners = record.shape.owners
        return owners is None or record.tenant in owners.get(self._subjects[position].task.tenant, ())

    def _is_hidden(self, record: Record, party: frozenset[PartyRole], value: str) -> bool:
        shape = record.shape
        if shape.bill_of is None or shape.bill_of in party or shape.clock is None or record.at is None:
            return False
        at = as_utc(record.at, shape.clock.zone)
        spans = self._hidden.get(value, ())
        return any((s.since is None or s.since <= at) and (s.until is None or at < s.until) for s in spans)

    def _follow_links(self, record: Record, owners: Mapping[int, frozenset[PartyRole]]) -> dict[int, OwnedRecord]:
        """Attributes a record by those that its links lead to, and notes whether all of them are the subject's."""
        links = record.shape.links
        ends = [(n, links[n], (links[n].place, key)) for n, key in record.parents]
        sharing = [(n, link.party, name) for n, link, name in ends if link.owns and link.shares]
        attributed: dict[int, OwnedRecord] = {}
        for position in {*owners}.union(*[self._owners.get(name, ()) for _, _, name in ends]):
            records = self.found[position].records
            own: list[tuple[int, OwnedRecord]] = []
            by = _NO_PARTIES
            for n, link, name in ends:
                target = records.get(name)
                if target is None or (link.owns and link.of is not None and link.of not in target.parties):
                    continue
                own.append((n, target))
                if link.owns and link.party not in by:
                    by |= {link.party}
            if position not in owners and not (by and self._is_tenants(record, position)):
                continue
            known = {(n, target.record.key) for n, target in own} if sharing else set[tuple[int, Key]]()
            shared = any(party in by and (n, name[1]) not in known for n, party, name in sharing)
            attributed[position] = OwnedRecord(
                record, owners[position] | by if position in owners else by, tuple(own), shared
            )
        return attributed


# Refusals.


class RefusalCheck:
    """Collects reasons to refuse a task: links to other people's records, or records of too many people.

    Places that declare how to separate people share one list of people; any other place has its own.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._place: str | None = None
        self._people: dict[str, set[str]] = {}
        self._identities: dict[PartyIdentities, None] = {}
        self._has_account = any(each.type is IdentityType.ACCOUNT_ID for each in task.known)

    def applies_to(self, shapes: Iterable[Shape]) -> bool:
        """Whether any record of these places could stop the task."""
        return any(
            shape.separates_people or any(link.shares for link in shape.links) or self._compares(shape)
            for shape in shapes
        )

    def _compares(self, shape: Shape) -> bool:
        return self._has_account and bool(
            shape.links or any(each.type is IdentityType.ACCOUNT_ID for each in shape.holders)
        )

    def add(self, owned: OwnedRecord) -> None:
        """Adds a record of the subject."""
        record, shape = owned.record, owned.record.shape
        if owned.leads_to_others and self._place is None:
            self._place = shape.place
        if shape.separates_people == "declared":
            self._people.setdefault("", set()).add(str(record.person))
        elif shape.separates_people and (person := " ".join((record.person or "").casefold().split())):
            self._people.setdefault(shape.place, set()).add(person)
        if self._compares(shape):
            self._identities.update(dict.fromkeys(party_identities(owned)))

    def refused(self, limits: RequestLimits) -> Refused | None:
        """Returns why the task must stop, if it must."""
        if self._task.operation is Operation.LIFT:
            return None
        if self._place:
            return WrongPersonMatch(
                f"{self._place}: a row leads to other people as well; nothing was done. Say in the dataset which joins"
                " are whose: belongs_to below each of the parties"
            )
        excess = limits.excess(self._task, people=max(map(len, self._people.values()), default=0))
        return excess or account_claims.too_many_people(self._task, self._identities)


def refusal(found: SubjectRecords, limits: RequestLimits) -> Refused | None:
    """Returns why a task must stop with what was found, if it must."""
    if doubt := unproven(found):
        return doubt
    refusing = RefusalCheck(found.task)
    for owned in found.records.values():
        refusing.add(owned)
    return refusing.refused(limits)


def unproven(found: SubjectRecords) -> Refused | None:
    """Returns why a task must stop whose subject may be among the records found, but is not proved to be."""
    if found.records or not found.unproven:
        return None
    count = len(found.unproven)
    return found.doubt or WrongPersonMatch(
        f"{count} records have an identity of the subject, and none is proven to be theirs"
    )


def party_identities(owned: OwnedRecord) -> Iterator[PartyIdentities]:
    """Yields the identities of each party that the subject is in a record, with those of records that it leads to."""
    shape = owned.record.shape
    recorded = any(each.record for each in shape.holders)
    for party in sorted(owned.parties, key=str):
        ends = (
            each._replace(is_own_record=recorded and each.type is not IdentityType.ACCOUNT_ID)
            for each in _linked_identities(owned, party)
        )
        yield (*_party_values(owned, party), *ends)


def _party_values(owned: OwnedRecord, party: PartyRole, *, names: bool = True) -> Iterator[RowIdentity]:
    shape = owned.record.shape
    for holder, value in zip(shape.holders, owned.record.holders, strict=True):
        if holder.party == party and (names or holder.type is not IdentityType.NAME):
            yield RowIdentity(holder.type, value, shape.one_account, holder.record)


def _linked_identities(owned: OwnedRecord, party: PartyRole) -> Iterator[RowIdentity]:
    for number, end in owned.linked:
        link = owned.record.shape.links[number]
        if link.owns and link.party == party:
            for of in sorted(end.parties, key=str) if link.of is None else (link.of,):
                yield from _party_values(end, of, names=False)
                yield from _linked_identities(end, of)


# Coverage: what was searched, and what could not be.


class Coverage:
    """The places in which a task is searched, and why not in all."""

    def __init__(self, search: SubjectSearch, shapes: Sequence[Shape]) -> None:
        self._task = search.task
        self._shapes = shapes
        self._own = {s.place: frozenset(h.type for h in s.holders if h.finds) for s in shapes}
        searched = set[str]()
        self._types: dict[str, frozenset[IdentityType]] = {}
        for shape in shapes:  # the ends of paths come first
            ends = [link.place for link in shape.links if link.owns]
            self._types[shape.place] = self._own[shape.place].union(*(self._types.get(end, ()) for end in ends))
            if search.keys.get(shape.place) or not searched.isdisjoint(ends):
                searched.add(shape.place)
        self.searched = searched

    @property
    def categories(self) -> tuple[str, ...]:
        """Returns the categories searched, with or without a match."""
        return tuple(sorted({each.category for each in self._shapes if each.place in self.searched}))

    @property
    def by_account(self) -> tuple[str, ...]:
        """Returns the categories not searched because they are filed by account and no account is known."""
        by_account_only = (
            each for each in self._shapes if self._own[each.place] == _ACCOUNT and each.place not in self.searched
        )
        return tuple(sorted({each.category for each in by_account_only}))

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
        withdrawn = withdrawn_categories(self._task)
        changed = [shape for shape in self._shapes if shape.flags[1] or shape.category in withdrawn]
        return self._shapes if any(link.owns for shape in changed for link in shape.links) else changed


def withdrawn_categories(task: Task) -> Collection[str]:
    """Returns the categories that are erased with a withdrawn consent."""
    named = task.details.get("ends")
    return frozenset(map(str, named)) if isinstance(named, list) else frozenset()
