"""Plans the change of each record of a subject, and reports it; pure. One plan is shown, applied and verified."""

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
from shared.systems.engine.ownership import OwnedRecord, SubjectRecords, refusal
from shared.systems.engine.records import (
    ChangeKind,
    ColumnGroup,
    NumberPeriod,
    PartyRole,
    Record,
    RecordChange,
    RecordName,
    RequestLimits,
    Shape,
)
from shared.systems.engine.retaining import Retention, RetentionDecider, erasure_effect, retained_counts

REDUCED = "reduced:"
"""Prefix of a category for records that stay and are reduced."""
Values = tuple[tuple[str, str | None], ...]
"""New values of columns."""
_ONE_PERSON: Final = frozenset[PartyRole]({None})
"""The parties of a record about one person."""


@dataclass
class Plan:
    """The plan of an erasure for one subject's records, or why it does nothing.

    ``to_erase``: records that are deleted, or blanked for this person. ``retained``: records that stay, and why;
    ``to_reduce``: those of them that lose columns or are marked. ``on_hold``: records that only a legal hold keeps,
    which are restricted. ``hidden_types``: types of number that a side list hides from readers.
    """

    found: SubjectRecords
    refused: Refused | None = None
    states: States | None = None
    retained: Mapping[RecordName, Retention] = field(default_factory=dict)
    to_erase: Sequence[OwnedRecord] = ()
    to_reduce: Sequence[OwnedRecord] = ()
    on_hold: frozenset[RecordName] = frozenset()
    hidden_types: frozenset[IdentityType] = frozenset()

    @property
    def task(self) -> Task:
        return self.found.task

    @property
    def to_restrict(self) -> Iterator[tuple[str, Record]]:
        """Yields records on hold that are not restricted yet, each with the flag to set."""
        for name in self.on_hold:
            record = self.found.records[name].record
            for position, flag in enumerate(("restriction", "marketing")):
                if lacks_flag(record, position):
                    yield flag, record

    @property
    def is_done(self) -> bool:
        """Whether the plan changes nothing."""
        return not (self.to_erase or self.to_reduce or any(True for _ in self.to_restrict))

    @property
    def erased_by_category(self) -> Counter[str]:
        """Counts the records that go, by category."""
        return Counter(owned.record.shape.category for owned in self.to_erase)

    def retained_counts(self, *, marked: bool) -> tuple[Kept, ...]:
        """Returns the counts of records that stay; ``marked``: also how many held ones show a restriction."""
        records = [(self.found.records[name], retention) for name, retention in self.retained.items()]
        records = [each for each in records if not each[0].record.shape.shows_states_only]
        return retained_counts(records, self._restricted() if marked and self.on_hold else None)

    def _restricted(self) -> Mapping[RecordName, bool]:
        """Returns for each held record whether it, or a record that it leads to, shows the restriction."""
        records = {name: self.found.records[name].record for name in self.on_hold}
        reached = places_showing_restriction({record.shape.place: record.shape for record in records.values()}.values())
        shown: dict[RecordName, bool] = {}
        for name, record in records.items():
            has_flag = record.flags[0] if record.shape.flags[0] else record.shape.place in reached
            shown[name] = bool(has_flag or self.hidden_types & number_types([record.shape]))
        return shown


def plan_erasure(
    system: str, policy: Policy, limits: RequestLimits | None, found: SubjectRecords, shapes: Sequence[Shape]
) -> Plan:
    """Plans an erasure of the records found, or says why it does nothing.

    ``limits``: None where owners and amounts were checked before.
    """
    decider = RetentionDecider(system, policy, found)
    plan = Plan(found, refusal(found, limits) if limits else None)
    if plan.refused:
        return plan
    plan.states = decider.states(shapes)
    try:
        order = {shape.place: n for n, shape in enumerate(shapes)}  # in whatever order the system found them
        plan.retained = dict(sorted(decider.retained().items(), key=lambda each: order[each[0][0]]))
    except Refused as refused:
        refused.states = plan.states
        plan.refused = refused
        return plan
    plan.to_erase = [
        m for name, m in found.records.items() if name not in plan.retained and not m.record.shape.shows_states_only
    ]
    plan.to_reduce = [
        found.records[name]
        for name, retention in plan.retained.items()
        if needs_reduction(found.records[name], retention)
    ]
    plan.on_hold = decider.only_on_hold(plan.retained)
    rows = sum(not owned.record.shape.deleted_with_parent for owned in plan.to_erase)
    plan.refused = limits.excess(found.task, rows=rows) if limits else None
    return plan


def plan_withdrawal(
    system: str, limits: RequestLimits | None, found: SubjectRecords, categories: Collection[str]
) -> Plan:
    """Plans what a withdrawn consent ends in these categories: no rule keeps records there, and a state may."""
    withdrawn = {name: owned for name, owned in found.records.items() if owned.record.shape.category in categories}
    plan = Plan(found, refusal(found, limits) if limits else None)
    if plan.refused:
        return plan
    try:
        RetentionDecider(system, None, SubjectRecords(found.task, withdrawn)).retained()
    except Refused as refused:
        plan.refused = refused
        return plan
    plan.to_erase = [*withdrawn.values()]
    plan.refused = limits.excess(found.task, rows=len(withdrawn)) if limits else None
    return plan


def can_erase_unread(policy: Policy, task: Task, shape: Shape) -> bool:
    """Whether all records of a subject in a place are deleted whatever they contain."""
    category = policy.category(shape.category)
    needs_judgement = (
        shape.parties
        or shape.links
        or shape.states
        or shape.separates_people
        or shape.outlives_person
        or shape.kept_fields is not None
    )
    has_account = any(each.type is IdentityType.ACCOUNT_ID for each in shape.holders)
    is_kept = shape.category in task.held_categories or (category is not None and category.kept_by)
    is_company_data = task.tenant is None and shape.owners is None
    return (
        is_company_data
        and not (needs_judgement or has_account or is_kept)
        and erasure_effect(shape, policy) is OnErasure.DELETE
    )


# Blanked parts.


@lru_cache(4096)
def _reducible(
    shape: Shape, parties: frozenset[PartyRole], fields: frozenset[str], *, lasts: bool
) -> tuple[tuple[int, ...], Values]:
    """Returns the parts of these parties that no rule, search or state needs, and the new values of their columns.

    It is cached, since many records are alike.
    """
    numbers: list[int] = []
    for number, part in enumerate(shape.parts):
        needed = not part.fields.isdisjoint(fields) or (part.party is None and part.found_by)
        tells = part.shows_state and (lasts or all(value is None for _, value in part.blank))
        if part.party in parties and not needed and not tells:
            numbers.append(number)
    return tuple(numbers), _values(shape.parts[number] for number in numbers)


def _columns_to_blank(owned: OwnedRecord, retention: Retention) -> tuple[tuple[int, ...], Values]:
    shape = owned.record.shape
    return _reducible(
        shape, owned.parties if shape.parties else _ONE_PERSON, retention.fields, lasts=retention.while_state
    )


def needs_reduction(owned: OwnedRecord, retention: Retention) -> bool:
    """Whether a record that stays must lose columns or be marked as kept."""
    if retention.complete:
        return False
    record = owned.record
    unmarked = record.shape.flags[2] is not None and record.flags[2] is not True
    return unmarked or any(record.filled[number] for number in _columns_to_blank(owned, retention)[0])


def _names_another_party(record: Record, erased: Collection[PartyRole]) -> bool:
    """Whether a record still names another party."""
    parts = zip(record.shape.parts, record.filled, strict=True)
    return any(
        filled
        for part, filled in parts
        if part.identifies_party and part.party is not None and part.party not in erased
    )


def changes(plans: Sequence[Plan], policy: Policy) -> list[RecordChange]:
    """Returns the changes of these plans; records with the same change share one."""
    collector = _ChangeCollector(policy, ours=all(each.task.tenant is None for each in plans))
    for each in plans:
        for owned in each.to_reduce:
            collector.reduce(owned, each.retained[owned.record.name])
        for flag, record in each.to_restrict:
            collector.add(ChangeKind.MARK, record, flag=flag)
    if len(plans) == 1:
        for owned in plans[0].to_erase:
            collector.erase(owned.record, owned.parties)
    else:  # several subjects may be in one record
        erased: dict[RecordName, tuple[Record, frozenset[PartyRole]]] = {}
        for owned in (owned for each in plans for owned in each.to_erase):
            known = erased.get(owned.record.name)
            erased[owned.record.name] = owned.record, owned.parties | known[1] if known else owned.parties
        for record, parties in erased.values():
            collector.erase(record, parties)
    return collector.all()


class _ChangeCollector:
    """Collects changes; records that are alike are decided once."""

    def __init__(self, policy: Policy, *, ours: bool) -> None:
        self._policy, self._ours = policy, ours
        self._records: dict[tuple[ChangeKind, str, Values, str], list[Record]] = {}
        self._decided: dict[tuple[str, frozenset[PartyRole], tuple[bool, ...]], list[Record]] = {}

    def all(self) -> list[RecordChange]:
        """Returns the changes."""
        items = self._records.items()
        return [
            RecordChange(kind, each[0].shape, each, values, flag) for (kind, _, values, flag), each in items if each
        ]

    def add(self, kind: ChangeKind, record: Record, values: Values = (), flag: str = "") -> None:
        """Adds a record to a change."""
        self._records_of(kind, record.shape.place, values, flag).append(record)

    def _records_of(self, kind: ChangeKind, place: str, values: Values = (), flag: str = "") -> list[Record]:
        return self._records.setdefault((kind, place, values, flag), [])

    def reduce(self, owned: OwnedRecord, retention: Retention) -> None:
        """Blanks what no rule needs of a record that stays, and marks it as kept."""
        record, values, mark = owned.record, _columns_to_blank(owned, retention)[1], owned.record.shape.flags[2]
        if mark and record.flags[2] is not True:
            if mark.value is None:
                self.add(ChangeKind.MARK, record, flag="kept")
            else:  # a column as the others
                values = (*values, (mark.column, mark.value))
        if values:
            self.add(ChangeKind.SET, record, values)

    def erase(self, record: Record, parties: frozenset[PartyRole]) -> None:
        """Deletes, anonymises or blanks a record for these parties."""
        pattern = (record.shape.place, parties, record.filled)
        if (alike := self._decided.get(pattern)) is None:
            shape, of = record.shape, parties if record.shape.parties else {None}
            values: Values = ()
            if self._ours and shape.anonymise and erasure_effect(shape, self._policy) is OnErasure.ANONYMISE:
                kind = ChangeKind.ANONYMISE
            elif not shape.outlives_person or (shape.parties and not _names_another_party(record, of)):
                kind = ChangeKind.DELETE
            else:
                kind, values = (
                    ChangeKind.SET,
                    _values(part for part in shape.parts if part.party in of and part.blanked_on_erasure),
                )
            alike = self._decided[pattern] = self._records_of(kind, shape.place, values)
        alike.append(record)


def _values(parts: Iterable[ColumnGroup]) -> Values:
    return tuple(value for part in parts for value in part.blank)


def refuse_referenced(plans: Sequence[Plan], referenced: Mapping[RecordName, str]) -> dict[int, WrongPersonMatch]:
    """Returns the plans, by position, whose records are referred to by records of others."""
    found: dict[int, WrongPersonMatch] = {}
    for place, each in enumerate(plans):
        if reason := next(
            (referenced[owned.record.name] for owned in each.to_erase if owned.record.name in referenced), None
        ):
            found[place] = WrongPersonMatch(reason)
    return found


# Receipts.


def dry_run_receipt(plan: Plan) -> Receipt | Refused:
    """Returns the receipt of a dry run, or why nothing would be done."""
    counts = plan.found.counts()
    if plan.refused:
        plan.refused.found = None if isinstance(plan.refused, WrongPersonMatch) else counts
        return plan.refused
    return replace(
        _with_retained(Receipt.planned(plan.task, counts), plan.retained_counts(marked=False)), states=plan.states
    )


def erasure_receipt(plan: Plan, noted: Mapping[str, int], policy: Policy) -> Receipt:
    """Returns the receipt of an erasure.

    ``noted`` counts erased records, ``plan`` (the second search) retained ones.
    """
    erased = {name: n for name, n in noted.items() if not name.startswith(REDUCED)}
    reduced = {name.removeprefix(REDUCED): n for name, n in noted.items() if name.startswith(REDUCED) and n}
    return _anonymised(receipt(plan.task, erased, plan.retained_counts(marked=True), reduced), plan, policy)


def receipt(
    task: Task, deleted: Mapping[str, int], kept: Sequence[Kept], reduced: Mapping[str, int] | None = None
) -> Receipt:
    """Returns the receipt of an erasure by what has gone and what stays."""
    erased = Receipt.counted(task, TaskOutcome.ERASED, deleted)
    if not kept:
        return erased
    found = Counter(erased.by_category)
    for each in kept:
        found[each.category or ""] += each.count
    retained = replace(erased, outcome=TaskOutcome.RETAINED, found=found.total(), by_category=found, reduced=reduced)
    return _with_retained(retained, kept)


def _with_retained(receipt: Receipt, retained: Sequence[Kept]) -> Receipt:
    """Returns the receipt with what stays: the first rule, and the last day of all rules."""
    if not retained:
        return receipt
    days = [each.last for each in retained]
    until = None if None in days else max(day for day in days if day is not None)
    rows = sum(each.count for each in retained)
    return replace(receipt, remaining=rows, ground=retained[0].ground, until=until, kept=tuple(retained))


def _anonymised(receipt: Receipt, plan: Plan, policy: Policy) -> Receipt:
    if plan.task.tenant is not None:
        return receipt
    remaining = Counter(receipt.by_category) - Counter({each.category or "": each.count for each in receipt.kept or ()})
    categories = {name: policy.category(name) for name in remaining}
    anonymised = sorted(name for name, each in categories.items() if each and each.on_erasure is OnErasure.ANONYMISE)
    return replace(receipt, anonymised=tuple(anonymised)) if anonymised else receipt


def residue_failure(system: str, noted: Mapping[str, int], remaining: int) -> DataStillPresent:
    """Returns the failure of an erasure that still finds records after all rounds."""
    failure = DataStillPresent(f"{system} still holds rows of the subject after erasing them")
    erased = sum(n for name, n in noted.items() if not name.startswith(REDUCED))
    failure.done_before = DoneBefore(erased + remaining, erased, remaining) if erased else None
    return failure


def lacks_flag(record: Record, position: int) -> bool:
    """Whether a record could bear a flag and does not."""
    flag, value = record.shape.flags[position], record.flags[position]
    return flag is not None and value is not True


def number_types(shapes: Iterable[Shape]) -> frozenset[IdentityType]:
    """Returns the types of number by which these places are searched."""
    return frozenset(h.type for shape in shapes for h in shape.holders if h.finds) & NUMBERS


def numbers_to_hide(task: Task, kinds: Collection[IdentityType]) -> list[NumberPeriod]:
    """Returns the subject's numbers with their periods, which end now at the latest."""
    now = task.at
    dated = [(i.value, i.valid_from, i.valid_to) for i in task.identities if i.type in kinds and i.valid_from]
    ended = [NumberPeriod(value, since, min(until or now, now)) for value, since, until in dated] if now else []
    return [*dict.fromkeys(each for each in ended if each.since and each.until and each.since < each.until)]


def places_showing_restriction(shapes: Iterable[Shape]) -> frozenset[str]:
    """Returns the places whose readers see a restriction.

    A place bears the flag, or its links lead to such a place, or its rows name the account whose record bears it.
    """
    known = {shape.place: shape for shape in shapes}
    reached = {place for place, shape in known.items() if shape.flags[0]}
    if any(known[place].key_is_account for place in reached):
        reached |= {place for place, shape in known.items() if _is_filed_by_account(shape)}
    while linked := {
        place
        for place in known.keys() - reached
        if any(link.place in reached for link in known[place].links if link.joins)
    }:
        reached |= linked
    return frozenset(reached)


def _is_filed_by_account(shape: Shape) -> bool:
    return any(holder.finds and holder.type is IdentityType.ACCOUNT_ID for holder in shape.holders)
