"""Decides which records a correction changes, and what it cannot reach (Art. 16); pure.

A value is replaced where a field is declared for it. If none is, or an erasure kept the record for a rule only, a
person corrects it. Recorded events are not rewritten: a statement is stored next to them.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from shared.domain.cells import names
from shared.domain.errors import DoneBefore, NotSupported, SystemRefused
from shared.domain.identities import IdentityType
from shared.domain.operations import Change as Asked
from shared.domain.operations import TaskOutcome
from shared.domain.policy import Policy
from shared.domain.text import forms
from shared.systems.contract import CopiedRecord, Receipt, Result, Task, of_corrections
from shared.systems.engine.copying import Copies, is_left
from shared.systems.engine.ownership import Attribution, Mine
from shared.systems.engine.records import ABSENT, Change, Field, Kind, Record, Shape, Span, Statement, as_text

_HELD_AS: Final[Mapping[str, IdentityType]] = {
    "email": IdentityType.EMAIL,
    "name": IdentityType.NAME,
    "phone": IdentityType.PHONE,
}
"""Identity types by the field of a correction."""


class Correction:
    """One task's correction of the records found; ``touched``: records changed, or given a statement.

    ``shown``: for each change, how many records show it afterwards.
    """

    def __init__(
        self, system: str, policy: Policy, found: Attribution, shapes: Sequence[Shape], left: Sequence[Span]
    ) -> None:
        self._system, self._policy, self._found, self._shapes = system, policy, found, shapes
        self._left: defaultdict[str, list[Span]] = defaultdict(list)
        for span in left:
            self._left[span.number].append(span)
        self._spans = left
        self.task: Task = found.task
        self.stated = any(change.record for change in self.task.changes)
        self.touched: list[Record] = []
        self.values: dict[tuple[str, tuple[Any, ...]], dict[str, str]] = {}
        self.shown = [0] * len(self.task.changes)
        self._spared: list[set[str]] = [set() for _ in self.task.changes]
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
        return Counter(record.shape.category for record in self.touched) if not self.stated else Counter()

    def changes(self) -> list[Change]:
        """Returns what to write."""
        return self._statements() if self.stated else self._corrected()

    def _corrected(self) -> list[Change]:
        touched: dict[tuple[str, tuple[Any, ...]], Record] = {}
        for place, asked in enumerate(self.task.changes):
            for mine in self._found.records.values():
                for position, each in enumerate(mine.record.shape.fields):
                    if each.rectifies == asked.field and (each.party is None or each.party in mine.parties):
                        self._correct(place, asked, mine, position, touched)
        self.touched = [*touched.values()]
        made: defaultdict[tuple[str, tuple[tuple[str, str | None], ...]], list[Record]] = defaultdict(list)
        for name, values in self.values.items():
            made[name[0], tuple(values.items())].append(touched[name])
        return [Change(Kind.SET, records[0].shape, records, values) for (_, values), records in made.items()]

    def _correct(
        self, place: int, asked: Asked, mine: Mine, position: int, touched: dict[tuple[str, tuple[Any, ...]], Record]
    ) -> None:
        record, each = mine.record, mine.record.shape.fields[position]
        value = (record.data or ())[position]
        held = as_text(value)
        if value is ABSENT or (each.part and held is None):  # an optional part that is missing stays missing
            return
        right = _is_one_of(each, held, [asked.asserted])
        if asked.current is not None and not _is_one_of(each, held, forms(asked.current)):
            self.shown[place] += right
        elif is_left(mine, self._left):
            if not right:
                self._spared[place].add(record.shape.place)
        else:
            self.shown[place] += 1
            touched[record.name] = record
            if not right:
                self.values.setdefault(record.name, {})[each.column] = asked.asserted

    def refuse_what_only_is_left(self, shown: Sequence[int]) -> None:
        """Raises ``NotSupported`` if the only records to correct are those that an erasure kept."""
        kept = (places for places, rows in zip(self._spared, shown, strict=True) if not rows)
        if stuck := set[str]().union(*kept):
            raise NotSupported(
                f"{', '.join(sorted(stuck))} holds of theirs only what an erasure has left, which a rule of the policy"
                " keeps: it is not written into again; look whether what is kept is wrong, correct all of it by hand if"
                " so, and enter what was done"
            )

    # Statements next to a record.

    def _statements(self) -> list[Change]:
        meant = [[*self._meant(change)] for change in self.task.changes]
        self._refuse_unkept(meant)
        made: list[Change] = []
        for place, (change, records) in enumerate(zip(self.task.changes, meant, strict=True)):
            self._refuse_unknown_field(change, {mine.record.shape.place: mine.record.shape for mine, _ in records})
            if self.task.at is None:
                raise ValueError(f"{self._system}: a statement needs the instant of its task")
            by: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
            for mine, column in records:
                by[mine.record.shape.place, column].append(mine.record)
            for (_, column), theirs in by.items():
                said = Statement(column, change.field, change.asserted, self.task.at.date())
                made.append(Change(Kind.STATE, theirs[0].shape, theirs, request=self.task.request_id, statement=said))
            self.shown[place] = len(records)
            self._kinds[change.record.category if change.record else ""] += len(records)
            self.touched += [mine.record for mine, _ in records]
        return made

    def _meant(self, change: Asked) -> Iterator[tuple[Mine, str]]:
        """Yields the records that a statement is about, each with the column that identifies the subject."""
        copies, zone = Copies(self._system, self._policy, self._spans), str(self.task.details.get("zone", "UTC"))
        sought = change.record
        for mine in self._found.records.values() if sought else ():
            shape = mine.record.shape
            column = next(
                (h.column for h, v in _held(mine) if h.finds and h.party in mine.parties and v is not None), None
            )
            if sought is None or not shape.stated or shape.category != sought.category or column is None:
                continue
            if is_meant(copies.record(mine), change, zone):
                yield mine, column

    def _refuse_unkept(self, meant: Sequence[Sequence[object]]) -> None:
        """Raises if the statement may be about a record that takes no statements."""
        asked = zip(self.task.changes, meant, strict=True)
        open_ = {change.record.category for change, records in asked if change.record and not records}
        shapes = (mine.record.shape for mine in self._found.records.values())
        if found := sorted({s.place for s in shapes if s.category in open_ and not s.stated}):
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
    def _stuck(self) -> Mapping[str, int] | None:
        """Counts, by column, records with values that no correction reaches; None: no column could hold one."""
        found: Counter[str] = Counter()
        for change in self.task.changes:
            wrong = self._wrong(change)
            plain = {each.strip().lower() for each in wrong}
            for shape, position in self._columns(change, wrong):
                name = f"{shape.place}.{shape.fields[position].column}".rstrip(".")
                held = [each for each in self._held(shape, position) if each not in {"", change.asserted}]
                found[name] += sum(not plain or each.strip().lower() in plain for each in held)
        return +found if found else None

    def _held(self, shape: Shape, position: int) -> Iterator[str]:
        party = shape.fields[position].party
        for mine in self._found.records.values():
            if mine.record.shape.place == shape.place and (party is None or party in mine.parties):
                yield from _texts((mine.record.data or ())[position])

    def _declared(self, change: Asked) -> Iterator[tuple[Shape, int]]:
        """Yields the columns that a correction of this field changes."""
        for shape in self._shapes if not change.record else ():
            yield from ((shape, n) for n, each in enumerate(shape.fields) if each.rectifies == change.field)

    def _wrong(self, change: Asked) -> set[str]:
        """Returns the values to replace: those reported wrong, or else those in the columns to correct."""
        if change.current:
            return {*forms(change.current)}
        held = {value for shape, position in self._declared(change) for value in self._held(shape, position)}
        return held - {change.asserted, ""}

    def _columns(self, change: Asked, wrong: Collection[str]) -> Iterator[tuple[Shape, int]]:
        """Yields the columns that may hold such a value and are not corrected.

        If wrong values are known, any column may hold one. Otherwise: columns of that type of identity, or called like
        the field, or those that identify and have no field.
        """
        if change.record or (not wrong and any(True for _ in self._declared(change))):
            return
        bare = not any(each.rectifies for shape in self._shapes for each in shape.fields)
        for shape in self._shapes:
            known = any(each.identity is _HELD_AS.get(change.field, each) for each in shape.fields)
            for position, each in enumerate(shape.fields):
                may_hold = _may_hold(each, change, wrong=bool(wrong), bare=bare, known=known)
                if each.fact and (may_hold if each.column else wrong or not self.changes_something):
                    yield shape, position

    # Receipts.

    def nothing_changed(self) -> Result:
        """Returns the result of a correction that no field is declared for."""
        if self._stuck:
            return _stuck_in(self._stuck)
        if self._stuck is None:
            return Receipt(self.task.task_id, TaskOutcome.NOT_HELD)
        return of_corrections(self.task, {}, [0] * len(self.task.changes), len(self._found.records))

    def receipt(self, counts: Counter[str], shown: Sequence[int]) -> Result:
        """Returns the receipt, or the manual task for what is left."""
        rows = len(self._found.records)
        if not self.stated:
            done = of_corrections(self.task, counts, shown, 0 if any(shown) else rows)
            return _stuck_in(self._stuck, done) if self._stuck else done
        if not any(shown):
            return replace(of_corrections(self.task, counts, shown, rows), stated=True)
        kinds: Counter[str] = Counter()
        for change, n in zip(self.task.changes, shown, strict=True):
            kinds[change.record.category if change.record else ""] += n
        done = Receipt(self.task.task_id, TaskOutcome.AMENDED, found=sum(shown), by_category=+kinds)
        return replace(done, corrected=tuple(shown), stated=True)


def _is_one_of(each: Field, held: str | None, values: Collection[str]) -> bool:
    """Whether a value is one of these, in any spelling."""
    same = each.same
    return held in values or (same is not None and held is not None and any(same(held, value) for value in values))


def _texts(value: object) -> Iterator[str]:
    """Yields every value, at any depth."""
    match value:
        case Mapping():
            yield from (text for each in value.values() for text in _texts(each))
        case list():
            yield from (text for each in value for text in _texts(each))
        case _ if value is not ABSENT and (held := as_text(value)) is not None:
            yield held


def _held(mine: Mine) -> Iterator[tuple[Any, str | None]]:
    return zip(mine.record.shape.holders, mine.record.holders, strict=True)


def _may_hold(each: Field, change: Asked, *, wrong: bool, bare: bool, known: bool) -> bool:
    if wrong:
        return each.rectifies != change.field
    identity = _HELD_AS.get(change.field)
    unnamed = each.identity is None and each.kind == "A" and (identity is None or (bare and not known))
    called = each.column == change.field.rpartition(".")[2]
    return not each.rectifies and (unnamed or called or (identity is not None and each.identity is identity))


def _stuck_in(stuck: Mapping[str, int], done: Receipt | None = None) -> NotSupported:
    """Returns the manual task for these columns; ``done``: what was corrected elsewhere in the system."""
    held, before = ", ".join(sorted(stuck)), done is not None and done.changed
    how = "correct that by hand, and enter what was done; the rest is done" if before else ""
    reason = NotSupported(
        f"{held} holds what is to be corrected, and nothing declares it as correctable (`rectifies`): "
        + (how or "correct all of it by hand, and enter what was done")
    )
    if done is not None and before:
        left = sum(stuck.values())
        reason.done_before = DoneBefore(done.changed + left, done.changed, left)
    return reason


def differs(task: Task, again: Sequence[Record], made: Correction) -> bool:
    """Whether a record lacks the new value or the statement; deleted records do not count."""
    if made.stated:
        wanted = [change.asserted for change in task.changes]
        return any(not any(w in each.said for each in record.stated for w in wanted) for record in again)
    before = {record.name: record for record in made.touched}
    for record in again:
        values = made.values.get(record.name, {})
        for each, held, old in zip(record.shape.fields, record.data or (), before[record.name].data or (), strict=True):
            # a number or a date may be written otherwise, and is not what it was
            other = (
                each.column in values
                and held is not ABSENT
                and not _is_one_of(each, as_text(held), [values[each.column]])
            )
            if other and (isinstance(held, str) or as_text(held) == as_text(old)):
                return True
    return False


def is_meant(record: CopiedRecord, change: Asked, zone: str) -> bool:
    """Whether a statement is about a record; ``zone``: the time zone in which the subject saw its times."""
    sought, data = change.record, record.data
    if sought is None or record.category != sought.category:
        return False
    return all(name in data and names(name, data[name], said, zone) for name, said in sought.fields.items())
