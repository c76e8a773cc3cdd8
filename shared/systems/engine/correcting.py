"""Decides which records a correction changes, and what it cannot reach (Art. 16); pure.

A value is replaced where a field is declared for it. If none is, or an erasure kept the record for a rule only, a
person corrects it. Recorded events are not rewritten: a statement is stored next to them.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from shared.domain.cells import means
from shared.domain.errors import DoneBefore, NotSupported, SystemRefused
from shared.domain.identities import IdentityType
from shared.domain.operations import Change as Asked
from shared.domain.operations import TaskOutcome
from shared.domain.policy import Policy
from shared.domain.text import forms
from shared.systems.contract import CopiedRecord, Receipt, Result, Task, correction_receipt
from shared.systems.engine.copying import Copies, is_kept_by_rule
from shared.systems.engine.ownership import OwnedRecord, SubjectRecords
from shared.systems.engine.records import (
    ABSENT,
    ChangeKind,
    NumberPeriod,
    Record,
    RecordChange,
    RecordField,
    Shape,
    Statement,
    as_text,
)

_TYPE_OF_FIELD: Final[Mapping[str, IdentityType]] = {
    "email": IdentityType.EMAIL,
    "name": IdentityType.NAME,
    "phone": IdentityType.PHONE,
}
"""Identity types by the field of a correction."""


class CorrectionPlan:
    """One task's correction of the records found; ``changed_records``: records changed, or given a statement.

    ``shown``: for each change, how many records show it afterwards.
    """

    def __init__(
        self,
        system: str,
        policy: Policy,
        found: SubjectRecords,
        shapes: Sequence[Shape],
        kept_periods: Sequence[NumberPeriod],
    ) -> None:
        self._system, self._policy, self._found, self._shapes = system, policy, found, shapes
        self._kept_periods: defaultdict[str, list[NumberPeriod]] = defaultdict(list)
        for span in kept_periods:
            self._kept_periods[span.number].append(span)
        self._spans = kept_periods
        self.task: Task = found.task
        self.stated = any(change.record for change in self.task.changes)
        self.changed_records: list[Record] = []
        self.values: dict[tuple[str, tuple[Any, ...]], dict[str, str]] = {}
        self.shown = [0] * len(self.task.changes)
        self._kept_places: list[set[str]] = [set() for _ in self.task.changes]
        self._kinds = Counter[str]()

    @property
    def changes_something(self) -> bool:
        """Whether a field can be corrected so, or records of that category take statements."""
        fields = {each.rectifies for shape in self._shapes for each in shape.fields}
        stated = {shape.category for shape in self._shapes if shape.stated}
        asked = self.task.changes
        return not asked or any(c.record.category in stated if c.record else c.field in fields for c in asked)

    @property
    def counts(self) -> Counter[str]:
        """Counts the records that are changed, by category."""
        return Counter(record.shape.category for record in self.changed_records) if not self.stated else Counter()

    def changes(self) -> list[RecordChange]:
        """Returns what to write."""
        return self._statements() if self.stated else self._corrected()

    def _corrected(self) -> list[RecordChange]:
        touched: dict[tuple[str, tuple[Any, ...]], Record] = {}
        for place, asked in enumerate(self.task.changes):
            for owned in self._found.records.values():
                for position, each in enumerate(owned.record.shape.fields):
                    if each.rectifies == asked.field and (each.party is None or each.party in owned.parties):
                        self._correct(place, asked, owned, position, touched)
        self.changed_records = [*touched.values()]
        made: defaultdict[tuple[str, tuple[tuple[str, str | None], ...]], list[Record]] = defaultdict(list)
        for name, values in self.values.items():
            made[name[0], tuple(values.items())].append(touched[name])
        return [
            RecordChange(ChangeKind.SET, records[0].shape, records, values) for (_, values), records in made.items()
        ]

    def _correct(
        self,
        place: int,
        asked: Asked,
        owned: OwnedRecord,
        position: int,
        touched: dict[tuple[str, tuple[Any, ...]], Record],
    ) -> None:
        record, each = owned.record, owned.record.shape.fields[position]
        value = (record.data or ())[position]
        text = as_text(value)
        if value is ABSENT or (each.part and text is None):  # an optional part that is missing stays missing
            return
        is_correct = _is_one_of(each, text, [asked.asserted])
        if asked.current is not None and not _is_one_of(each, text, forms(asked.current)):
            self.shown[place] += is_correct
        elif is_kept_by_rule(owned, self._kept_periods):
            if not is_correct:
                self._kept_places[place].add(record.shape.place)
        else:
            self.shown[place] += 1
            touched[record.name] = record
            if not is_correct:
                self.values.setdefault(record.name, {})[each.column] = asked.asserted

    def refuse_kept_only(self, shown: Sequence[int]) -> None:
        """Raises ``NotSupported`` if the only records to correct are those that an erasure kept."""
        places_kept = (places for places, rows in zip(self._kept_places, shown, strict=True) if not rows)
        if stuck := set[str]().union(*places_kept):
            raise NotSupported(
                f"{', '.join(sorted(stuck))} holds of theirs only what an erasure has left, which a rule of the policy"
                " keeps: it is not written into again; look whether what is kept is wrong, correct all of it by hand if"
                " so, and enter what was done"
            )

    # Statements next to a record.

    def _statements(self) -> list[RecordChange]:
        matching = [[*self._matching_records(change)] for change in self.task.changes]
        self._refuse_statements(matching)
        changes: list[RecordChange] = []
        for place, (change, records) in enumerate(zip(self.task.changes, matching, strict=True)):
            self._refuse_unknown_field(change, {owned.record.shape.place: owned.record.shape for owned, _ in records})
            if self.task.at is None:
                raise ValueError(f"{self._system}: a statement needs the instant of its task")
            groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
            for owned, column in records:
                groups[owned.record.shape.place, column].append(owned.record)
            for (_, column), group in groups.items():
                statement = Statement(column, change.field, change.asserted, self.task.at.date())
                changes.append(
                    RecordChange(
                        ChangeKind.STATE, group[0].shape, group, request=self.task.request_id, statement=statement
                    )
                )
            self.shown[place] = len(records)
            self._kinds[change.record.category if change.record else ""] += len(records)
            self.changed_records += [owned.record for owned, _ in records]
        return changes

    def _matching_records(self, change: Asked) -> Iterator[tuple[OwnedRecord, str]]:
        """Yields the records that a statement is about, each with the column that identifies the subject."""
        copies, zone = Copies(self._system, self._policy, self._spans), str(self.task.details.get("zone", "UTC"))
        searches = change.record
        for owned in self._found.records.values() if searches else ():
            shape = owned.record.shape
            column = next(
                (h.column for h, v in _holder_values(owned) if h.finds and h.party in owned.parties and v is not None),
                None,
            )
            if searches is None or not shape.stated or shape.category != searches.category or column is None:
                continue
            if is_meant(copies.record(owned), change, zone):
                yield owned, column

    def _refuse_statements(self, matching: Sequence[Sequence[object]]) -> None:
        """Raises if the statement may be about a record that takes no statements."""
        pairs = zip(self.task.changes, matching, strict=True)
        without_records = {change.record.category for change, records in pairs if change.record and not records}
        shapes = (owned.record.shape for owned in self._found.records.values())
        if found := sorted({s.place for s in shapes if s.category in without_records and not s.stated}):
            raise NotSupported(
                f"{', '.join(found)} of {self._system} holds records of the subject and stores no statements with"
                " them: store the subject's statement there by hand, and enter what was done"
            )

    def _refuse_unknown_field(self, change: Asked, shapes: Mapping[str, Shape]) -> None:
        """Raises if the record does not show the field that the statement is about."""
        shown = {each.label for shape in shapes.values() for each in shape.fields if each.shown}
        if shapes and change.field not in shown:
            raise SystemRefused(
                f"a record of {next(iter(shapes.values())).category} shows no field of the name that was stated: it has"
                f" {', '.join(sorted(shown))}"
            )

    # Values that no correction reaches.

    @cached_property
    def _uncorrectable(self) -> Mapping[str, int] | None:
        """Counts, by column, records with values that no correction reaches; None: no column could hold one."""
        found: Counter[str] = Counter()
        for change in self.task.changes:
            wrong = self._wrong(change)
            plain = {each.strip().lower() for each in wrong}
            for shape, position in self._columns(change, wrong):
                name = f"{shape.place}.{shape.fields[position].column}".rstrip(".")
                values = [each for each in self._values_in(shape, position) if each not in {"", change.asserted}]
                found[name] += sum(not plain or each.strip().lower() in plain for each in values)
        return +found if found else None

    def _values_in(self, shape: Shape, position: int) -> Iterator[str]:
        party = shape.fields[position].party
        for owned in self._found.records.values():
            if owned.record.shape.place == shape.place and (party is None or party in owned.parties):
                yield from _texts((owned.record.data or ())[position])

    def _declared(self, change: Asked) -> Iterator[tuple[Shape, int]]:
        """Yields the columns that a correction of this field changes."""
        for shape in self._shapes if not change.record else ():
            yield from ((shape, n) for n, each in enumerate(shape.fields) if each.rectifies == change.field)

    def _wrong(self, change: Asked) -> set[str]:
        """Returns the values to replace: those reported wrong, or else those in the columns to correct."""
        if change.current:
            return {*forms(change.current)}
        values = {value for shape, position in self._declared(change) for value in self._values_in(shape, position)}
        return values - {change.asserted, ""}

    def _columns(self, change: Asked, wrong: Collection[str]) -> Iterator[tuple[Shape, int]]:
        """Yields the columns that may hold such a value and are not corrected.

        If wrong values are known, any column may hold one. Otherwise: columns of that type of identity, or called like
        the field, or those that identify and have no field.
        """
        if change.record or (not wrong and any(True for _ in self._declared(change))):
            return
        bare = not any(each.rectifies for shape in self._shapes for each in shape.fields)
        for shape in self._shapes:
            known = any(each.identity is _TYPE_OF_FIELD.get(change.field, each) for each in shape.fields)
            for position, each in enumerate(shape.fields):
                may_hold = _may_hold(each, change, wrong=bool(wrong), bare=bare, known=known)
                if each.fact and (may_hold if each.column else wrong or not self.changes_something):
                    yield shape, position

    # Receipts.

    def nothing_changed(self) -> Result:
        """Returns the result of a correction that no field is declared for."""
        if self._uncorrectable:
            return _stuck_in(self._uncorrectable)
        if self._uncorrectable is None:
            return Receipt(self.task.task_id, TaskOutcome.NOT_HELD)
        return correction_receipt(self.task, {}, [0] * len(self.task.changes), len(self._found.records))

    def receipt(self, counts: Counter[str], shown: Sequence[int]) -> Result:
        """Returns the receipt, or the manual task for what is left."""
        rows = len(self._found.records)
        if not self.stated:
            done = correction_receipt(self.task, counts, shown, 0 if any(shown) else rows)
            return _stuck_in(self._uncorrectable, done) if self._uncorrectable else done
        if not any(shown):
            return replace(correction_receipt(self.task, counts, shown, rows), stated=True)
        kinds: Counter[str] = Counter()
        for change, n in zip(self.task.changes, shown, strict=True):
            kinds[change.record.category if change.record else ""] += n
        done = Receipt(self.task.task_id, TaskOutcome.AMENDED, found=sum(shown), by_category=+kinds)
        return replace(done, corrected=tuple(shown), stated=True)


def _is_one_of(each: RecordField, text: str | None, values: Collection[str]) -> bool:
    """Whether a value is one of these, in any spelling."""
    same = each.same
    return text in values or (same is not None and text is not None and any(same(text, value) for value in values))


def _texts(value: object) -> Iterator[str]:
    """Yields every value, at any depth."""
    match value:
        case Mapping():
            yield from (text for each in value.values() for text in _texts(each))
        case list():
            yield from (text for each in value for text in _texts(each))
        case _ if value is not ABSENT and (value_text := as_text(value)) is not None:
            yield value_text


def _holder_values(owned: OwnedRecord) -> Iterator[tuple[Any, str | None]]:
    return zip(owned.record.shape.holders, owned.record.holders, strict=True)


def _may_hold(each: RecordField, change: Asked, *, wrong: bool, bare: bool, known: bool) -> bool:
    if wrong:
        return each.rectifies != change.field
    identity = _TYPE_OF_FIELD.get(change.field)
    unnamed = each.identity is None and each.kind == "A" and (identity is None or (bare and not known))
    called = each.column == change.field.rpartition(".")[2]
    return not each.rectifies and (unnamed or called or (identity is not None and each.identity is identity))


def _stuck_in(stuck: Mapping[str, int], receipt: Receipt | None = None) -> NotSupported:
    """Returns the manual task for these columns; ``receipt``: what was corrected elsewhere in the system."""
    places, is_partly_done = ", ".join(sorted(stuck)), receipt is not None and receipt.changed
    remedy = "correct that by hand, and enter what was done; the rest is done" if is_partly_done else ""
    reason = NotSupported(
        f"{places} holds what is to be corrected, and nothing declares it as correctable (`rectifies`): "
        + (remedy or "correct all of it by hand, and enter what was done")
    )
    if receipt is not None and is_partly_done:
        remaining = sum(stuck.values())
        reason.done_before = DoneBefore(receipt.changed + remaining, receipt.changed, remaining)
    return reason


def differs(task: Task, again: Sequence[Record], plan: CorrectionPlan) -> bool:
    """Whether a record lacks the new value or the statement; deleted records do not count."""
    if plan.stated:
        wanted = [change.asserted for change in task.changes]
        return any(not any(w in each.text for each in record.stated for w in wanted) for record in again)
    before = {record.name: record for record in plan.changed_records}
    for record in again:
        values = plan.values.get(record.name, {})
        for each, value, old in zip(
            record.shape.fields, record.data or (), before[record.name].data or (), strict=True
        ):
            # a number or a date may be written otherwise, and is not what it was
            other = (
                each.column in values
                and value is not ABSENT
                and not _is_one_of(each, as_text(value), [values[each.column]])
            )
            if other and (isinstance(value, str) or as_text(value) == as_text(old)):
                return True
    return False


def is_meant(record: CopiedRecord, change: Asked, zone: str) -> bool:
    """Whether a statement is about a record; ``zone``: the time zone in which the subject saw its times."""
    quote, data = change.record, record.data
    if quote is None or record.category != quote.category:
        return False
    return all(name in data and means(name, data[name], quoted, zone) for name, quoted in quote.fields.items())
