"""Plans what is done to each record of a subject, and reports it; pure. One plan is shown, applied and verified."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from shared.domain.assignments import NUMBERS
from shared.domain.errors import DataStillPresent, DoneBefore, Refused, WrongPersonMatch
from shared.domain.identities import IdentityType
from shared.domain.operations import Kept, TaskOutcome
from shared.domain.policy import OnErasure, Policy
from shared.systems.contract import Receipt, States, Task
from shared.systems.engine.keeping import Keeping, Stay, does_with, kept
from shared.systems.engine.ownership import Attribution, Mine, refusal
from shared.systems.engine.records import Change, Kind, Limits, Name, Part, Party, Record, Shape, Span

REDUCED = "reduced:"
"""Prefix of a category for records that stay and are reduced."""
Values = tuple[tuple[str, str | None], ...]
"""New values of columns."""
_ONE: Final = frozenset[Party]({None})
"""The parties of a record about one person."""


@dataclass
class Plan:
    """The plan of an erasure for one subject's records, or why it does nothing.

    ``gone``: records that are deleted, or blanked for this person. ``stays``: records that stay, and why; ``reduced``:
    those of them that lose columns or are marked. ``idle``: records that only a legal hold keeps, which are restricted.
    ``hides``: types of number that a side list hides from readers.
    """

    found: Attribution
    refused: Refused | None = None
    states: States | None = None
    stays: Mapping[Name, Stay] = field(default_factory=dict)
    gone: Sequence[Mine] = ()
    reduced: Sequence[Mine] = ()
    idle: frozenset[Name] = frozenset()
    hides: frozenset[IdentityType] = frozenset()

    @property
    def task(self) -> Task:
        return self.found.task

    @property
    def to_mark(self) -> Iterator[tuple[str, Record]]:
        """Yields held records that are not restricted yet, each with the flag to set."""
        for name in self.idle:
            record = self.found.records[name].record
            for position, flag in enumerate(("restriction", "marketing")):
                if is_unset(record, position):
                    yield flag, record

    @property
    def is_done(self) -> bool:
        """Whether the plan changes nothing."""
        return not (self.gone or self.reduced or any(True for _ in self.to_mark))

    @property
    def gone_by_category(self) -> Counter[str]:
        """Counts the records that go, by category."""
        return Counter(mine.record.shape.category for mine in self.gone)

    def kept(self, *, marked: bool) -> tuple[Kept, ...]:
        """Returns the counts of records that stay; ``marked``: also how many held ones show a restriction."""
        records = [(self.found.records[name], stay) for name, stay in self.stays.items()]
        records = [each for each in records if not each[0].record.shape.facts]
        return kept(records, self._restricted() if marked and self.idle else None)

    def _restricted(self) -> Mapping[Name, bool]:
        """Returns for each held record whether it, or a record that it leads to, shows the restriction."""
        records = {name: self.found.records[name].record for name in self.idle}
        reached = reach({record.shape.place: record.shape for record in records.values()}.values())
        shown: dict[Name, bool] = {}
        for name, record in records.items():
            bears = record.flags[0] if record.shape.flags[0] else record.shape.place in reached
            shown[name] = bool(bears or self.hides & numbers_in([record.shape]))
        return shown


def plan(system: str, policy: Policy, limits: Limits | None, found: Attribution, shapes: Sequence[Shape]) -> Plan:
    """Plans an erasure of the records found, or says why it does nothing.

    ``limits``: None where owners and amounts were checked before.
    """
    keeping = Keeping(system, policy, found)
    made = Plan(found, refusal(found, limits) if limits else None)
    if made.refused:
        return made
    made.states = keeping.states(shapes)
    try:
        order = {shape.place: n for n, shape in enumerate(shapes)}  # in whatever order the system found them
        made.stays = dict(sorted(keeping.stays().items(), key=lambda each: order[each[0][0]]))
    except Refused as refused:
        refused.states = made.states
        made.refused = refused
        return made
    made.gone = [m for name, m in found.records.items() if name not in made.stays and not m.record.shape.facts]
    made.reduced = [found.records[name] for name, stay in made.stays.items() if is_more(found.records[name], stay)]
    made.idle = keeping.idle(made.stays)
    rows = sum(not mine.record.shape.attached for mine in made.gone)
    made.refused = limits.excess(found.task, rows=rows) if limits else None
    return made


def ending(system: str, limits: Limits | None, found: Attribution, categories: Collection[str]) -> Plan:
    """Plans what a withdrawn consent ends in these categories: no rule keeps records there, and a state may."""
    ends = {name: mine for name, mine in found.records.items() if mine.record.shape.category in categories}
    made = Plan(found, refusal(found, limits) if limits else None)
    if made.refused:
        return made
    try:
        Keeping(system, None, Attribution(found.task, ends)).stays()
    except Refused as refused:
        made.refused = refused
        return made
    made.gone = [*ends.values()]
    made.refused = limits.excess(found.task, rows=len(ends)) if limits else None
    return made


def goes_whole(policy: Policy, task: Task, shape: Shape) -> bool:
    """Whether all records of a subject in a place are deleted whatever they contain."""
    category = policy.category(shape.category)
    judged = shape.parties or shape.links or shape.states or shape.apart or shape.blanks or shape.keeps is not None
    named = any(each.type is IdentityType.ACCOUNT_ID for each in shape.holders)
    kept = shape.category in task.held or (category is not None and category.kept_by)
    ours = task.tenant is None and shape.owners is None
    return ours and not (judged or named or kept) and does_with(shape, policy) is OnErasure.DELETE


# Blanked parts.


@lru_cache(4096)
def _reducible(
    shape: Shape, parties: frozenset[Party], fields: frozenset[str], *, lasts: bool
) -> tuple[tuple[int, ...], Values]:
    """Returns the parts of these parties that no rule, search or state needs, and the new values of their columns.

    It is cached, since many records are alike.
    """
    numbers: list[int] = []
    for number, part in enumerate(shape.parts):
        needed = not part.fields.isdisjoint(fields) or (part.party is None and part.found_by)
        tells = part.tells and (lasts or all(value is None for _, value in part.blank))
        if part.party in parties and not needed and not tells:
            numbers.append(number)
    return tuple(numbers), _values(shape.parts[number] for number in numbers)


def _left_out(mine: Mine, stay: Stay) -> tuple[tuple[int, ...], Values]:
    shape = mine.record.shape
    return _reducible(shape, mine.parties if shape.parties else _ONE, stay.fields, lasts=stay.lasts)


def is_more(mine: Mine, stay: Stay) -> bool:
    """Whether a record that stays must lose columns or be marked as kept."""
    if stay.whole:
        return False
    record = mine.record
    unmarked = record.shape.flags[2] is not None and record.flags[2] is not True
    return unmarked or any(record.filled[number] for number in _left_out(mine, stay)[0])


def _is_left(record: Record, gone: Collection[Party]) -> bool:
    """Whether a record still names another party."""
    parts = zip(record.shape.parts, record.filled, strict=True)
    return any(filled for part, filled in parts if part.names and part.party is not None and part.party not in gone)


def changes(plans: Sequence[Plan], policy: Policy) -> list[Change]:
    """Returns the changes of these plans; records with the same change share one."""
    made = _Changes(policy, ours=all(each.task.tenant is None for each in plans))
    for each in plans:
        for mine in each.reduced:
            made.reduce(mine, each.stays[mine.record.name])
        for flag, record in each.to_mark:
            made.add(Kind.MARK, record, flag=flag)
    if len(plans) == 1:
        for mine in plans[0].gone:
            made.let_go(mine.record, mine.parties)
    else:  # several subjects may be in one record
        gone: dict[Name, tuple[Record, frozenset[Party]]] = {}
        for mine in (mine for each in plans for mine in each.gone):
            known = gone.get(mine.record.name)
            gone[mine.record.name] = mine.record, mine.parties | known[1] if known else mine.parties
        for record, parties in gone.values():
            made.let_go(record, parties)
    return made.all()


class _Changes:
    """Collects changes; records that are alike are decided once."""

    def __init__(self, policy: Policy, *, ours: bool) -> None:
        self._policy, self._ours = policy, ours
        self._made: dict[tuple[Kind, str, Values, str], list[Record]] = {}
        self._decided: dict[tuple[str, frozenset[Party], tuple[bool, ...]], list[Record]] = {}

    def all(self) -> list[Change]:
        """Returns the changes."""
        made = self._made.items()
        return [Change(kind, each[0].shape, each, values, flag) for (kind, _, values, flag), each in made if each]

    def add(self, kind: Kind, record: Record, values: Values = (), flag: str = "") -> None:
        """Adds a record to a change."""
        self._of(kind, record.shape.place, values, flag).append(record)

    def _of(self, kind: Kind, place: str, values: Values = (), flag: str = "") -> list[Record]:
        return self._made.setdefault((kind, place, values, flag), [])

    def reduce(self, mine: Mine, stay: Stay) -> None:
        """Blanks what no rule needs of a record that stays, and marks it as kept."""
        record, values, mark = mine.record, _left_out(mine, stay)[1], mine.record.shape.flags[2]
        if mark and record.flags[2] is not True:
            if mark.value is None:
                self.add(Kind.MARK, record, flag="kept")
            else:  # a column as the others
                values = (*values, (mark.column, mark.value))
        if values:
            self.add(Kind.SET, record, values)

    def let_go(self, record: Record, parties: frozenset[Party]) -> None:
        """Deletes, anonymises or blanks a record for these parties."""
        pattern = (record.shape.place, parties, record.filled)
        if (alike := self._decided.get(pattern)) is None:
            shape, of = record.shape, parties if record.shape.parties else {None}
            values: Values = ()
            if self._ours and shape.anonymise and does_with(shape, self._policy) is OnErasure.ANONYMISE:
                kind = Kind.ANONYMISE
            elif not shape.blanks or (shape.parties and not _is_left(record, of)):
                kind = Kind.DELETE
            else:
                kind, values = Kind.SET, _values(part for part in shape.parts if part.party in of and part.goes)
            alike = self._decided[pattern] = self._of(kind, shape.place, values)
        alike.append(record)


def _values(parts: Iterable[Part]) -> Values:
    return tuple(value for part in parts for value in part.blank)


def without(plans: Sequence[Plan], tied: Mapping[Name, str]) -> dict[int, WrongPersonMatch]:
    """Returns the plans, by position, whose records are referred to by records of others."""
    found: dict[int, WrongPersonMatch] = {}
    for place, each in enumerate(plans):
        if why := next((tied[mine.record.name] for mine in each.gone if mine.record.name in tied), None):
            found[place] = WrongPersonMatch(why)
    return found


# Receipts.


def planned(made: Plan) -> Receipt | Refused:
    """Returns the receipt of a dry run, or why nothing would be done."""
    counts = made.found.counts()
    if made.refused:
        made.refused.found = None if isinstance(made.refused, WrongPersonMatch) else counts
        return made.refused
    return replace(_keeping(Receipt.planned(made.task, counts), made.kept(marked=False)), states=made.states)


def erased(made: Plan, noted: Mapping[str, int], policy: Policy) -> Receipt:
    """Returns the receipt of an erasure; ``noted`` counts what has gone, and ``made`` (the second look) what stays."""
    gone = {name: n for name, n in noted.items() if not name.startswith(REDUCED)}
    reduced = {name.removeprefix(REDUCED): n for name, n in noted.items() if name.startswith(REDUCED) and n}
    return _anonymised(receipt(made.task, gone, made.kept(marked=True), reduced), made, policy)


def receipt(
    task: Task, gone: Mapping[str, int], stays: Sequence[Kept], reduced: Mapping[str, int] | None = None
) -> Receipt:
    """Returns the receipt of an erasure by what has gone and what stays."""
    erased = Receipt.counted(task, TaskOutcome.ERASED, gone)
    if not stays:
        return erased
    found = Counter(erased.by_category)
    for each in stays:
        found[each.category or ""] += each.count
    retained = replace(erased, outcome=TaskOutcome.RETAINED, found=found.total(), by_category=found, reduced=reduced)
    return _keeping(retained, stays)


def _keeping(receipt: Receipt, stays: Sequence[Kept]) -> Receipt:
    """Returns the receipt with what stays: the first rule, and the last day of all rules."""
    if not stays:
        return receipt
    days = [each.last for each in stays]
    until = None if None in days else max(day for day in days if day is not None)
    rows = sum(each.count for each in stays)
    return replace(receipt, remaining=rows, ground=stays[0].ground, until=until, kept=tuple(stays))


def _anonymised(receipt: Receipt, made: Plan, policy: Policy) -> Receipt:
    if made.task.tenant is not None:
        return receipt
    left = Counter(receipt.by_category) - Counter({each.category or "": each.count for each in receipt.kept or ()})
    named = {held: policy.category(held) for held in left}
    emptied = sorted(held for held, each in named.items() if each and each.on_erasure is OnErasure.ANONYMISE)
    return replace(receipt, anonymised=tuple(emptied)) if emptied else receipt


def residue(system: str, noted: Mapping[str, int], left: int) -> DataStillPresent:
    """Returns the failure of an erasure that still finds records after all rounds."""
    failed = DataStillPresent(f"{system} still holds rows of the subject after erasing them")
    gone = sum(n for name, n in noted.items() if not name.startswith(REDUCED))
    failed.done_before = DoneBefore(gone + left, gone, left) if gone else None
    return failed


def is_unset(record: Record, position: int) -> bool:
    """Whether a record could bear a flag and does not."""
    flag, value = record.shape.flags[position], record.flags[position]
    return flag is not None and value is not True


def numbers_in(shapes: Iterable[Shape]) -> frozenset[IdentityType]:
    """Returns the types of number by which these places are searched."""
    return frozenset(h.type for shape in shapes for h in shape.holders if h.finds) & NUMBERS


def hidden(task: Task, kinds: Collection[IdentityType]) -> list[Span]:
    """Returns the subject's numbers with their periods, which end now at the latest."""
    now = task.at
    dated = [(i.value, i.valid_from, i.valid_to) for i in task.identities if i.type in kinds and i.valid_from]
    ended = [Span(value, since, min(until or now, now)) for value, since, until in dated] if now else []
    return [*dict.fromkeys(each for each in ended if each.since and each.until and each.since < each.until)]


def reach(shapes: Iterable[Shape]) -> frozenset[str]:
    """Returns the places whose readers see a restriction.

    A place bears the flag, or its links lead to such a place, or its rows name the account whose record bears it.
    """
    known = {shape.place: shape for shape in shapes}
    reached = {place for place, shape in known.items() if shape.flags[0]}
    if any(known[place].key_is_account for place in reached):
        reached |= {place for place, shape in known.items() if _is_filed_by_account(shape)}
    while led := {
        place
        for place in known.keys() - reached
        if any(link.place in reached for link in known[place].links if link.joins)
    }:
        reached |= led
    return frozenset(reached)


def _is_filed_by_account(shape: Shape) -> bool:
    return any(holder.finds and holder.type is IdentityType.ACCOUNT_ID for holder in shape.holders)
