"""Changes records in place: corrects (Art. 16), restricts and lifts (Art. 18), stops marketing (Art. 21).

Each task has its own transaction: find, plan, note, apply. Then it finds again to verify.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from shared.domain.assignments import NUMBERS
from shared.domain.errors import DataStillPresent, DoneBefore, NotSupported, Refused, Unavailable
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.policy import Policy
from shared.systems.contract import COPY_FIRST, Checkpoint, Receipt, Result, Task
from shared.systems.engine import correcting
from shared.systems.engine.correcting import CorrectionPlan
from shared.systems.engine.erasing import COLLISIONS, BatchSize, Erasure, StoreCheck, overtaken
from shared.systems.engine.finding import find_records, kept_number_periods
from shared.systems.engine.ownership import OwnedRecord, SubjectRecords, refusal, subject_search, withdrawn_categories
from shared.systems.engine.planning import lacks_flag, number_types, places_showing_restriction
from shared.systems.engine.records import (
    FLAGS,
    ChangeKind,
    LockConflict,
    NumberPeriod,
    Record,
    RecordChange,
    Shape,
    System,
    TaskNote,
    Unit,
)

_BEGUN, _COUNTS = "correcting", "counts"
"""Keys in the progress of a task: a correction has begun, and its counts."""
_CORRECTION = "correction."
"""Prefix of the place of a correction among the categories, whose names have no dot."""


SecondLook = Callable[[Unit], Awaitable[Result]]
"""The second look, in a later unit after the commit."""


class Amendment:
    """Changes records for the tasks of one call, all of one tenant and operation."""

    def __init__(self, system: System, policy: Policy, save_progress: Checkpoint) -> None:
        self._system, self._policy, self._save_progress = system, policy, save_progress
        self.shapes: Sequence[Shape] = ()
        """The places of the system, as they were when it was looked at."""

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """Returns the result of each task; a committed task stays done if others fail."""
        if tasks[0].operation is Operation.SUPPRESS:
            async with self._system.unit(tasks[0].tenant) as unit:
                self.shapes = unit.shapes
            return [await self._stop_marketing(task) for task in tasks]
        return [await self._amend(task) for task in tasks]

    async def _amend(self, task: Task, *, places: frozenset[str] | None = None, counted: bool = True) -> Result:
        """Works one task. ``places``: its categories; ``counted``: False: changes are counted when they are erased."""
        collisions = 0
        while True:
            looked = False
            one = _TaskAmendment(self._system, self._policy, self._save_progress, task, places, counted=counted)
            try:
                async with self._system.unit(task.tenant, known=bool(self.shapes)) as unit:
                    self.shapes, looked = unit.shapes, True
                    done = await one.change(unit)
                if not callable(done):
                    return one.without_lost_counts(done)
                async with self._system.unit(task.tenant, known=True) as unit:
                    return one.without_lost_counts(await done(unit))
            except LockConflict as collided:
                collisions += 1
                if collisions > COLLISIONS:
                    return collided
            except (Unavailable, Refused) as failure:  # it has rolled back this task alone
                if not looked:  # it concerns the whole system
                    raise
                return failure

    async def _stop_marketing(self, task: Task) -> Result:
        """Erases what a withdrawn consent ends, and marks the rest.

        While a copy for the same person comes first, records that will be erased are only marked. They are counted when
        they are erased.
        """
        withdrawn = frozenset(withdrawn_categories(task)) & {shape.category for shape in self.shapes}
        rest = frozenset(shape.category for shape in self.shapes) - withdrawn
        has_flags = any(shape.flags[1] or shape.used_for_marketing for shape in self.shapes if shape.category in rest)
        marked: Result = Receipt(task.task_id, TaskOutcome.NOT_HELD)
        marketing = task.details.get("marketing") is not False
        if marketing and has_flags:
            marked = await self._amend(task, places=rest)
        if not withdrawn or not isinstance(marked, Receipt):
            return marked
        if task.details.get(COPY_FIRST):
            stopped = await self._amend(task, places=withdrawn, counted=False) if marketing else marked
            return _with_silenced(marked, stopped) if marketing else marked
        erase_task = replace(task, operation=Operation.ERASE)
        [erased] = await Erasure(self._system, self._policy, self._save_progress, BatchSize(), withdrawn).run(
            [erase_task]
        )
        return _combined(marked, erased, tuple(sorted(withdrawn)))


def _with_silenced(rest: Receipt, silenced: Result) -> Result:
    """Adds up the receipts of marked records that stay and that will be erased."""
    if not isinstance(silenced, Receipt):
        return silenced
    if not silenced.changed:
        return rest
    by_category = Counter(rest.by_category) + Counter(silenced.by_category)
    found, changed = rest.found + silenced.found, rest.changed + silenced.changed
    return replace(rest, outcome=TaskOutcome.AMENDED, found=found, changed=changed, by_category=by_category)


def _combined(marked: Receipt, erased: Result, categories: tuple[str, ...]) -> Result:
    """Returns one receipt of both; the notes of a task add up, so the last receipt counts everything."""
    if not isinstance(erased, Receipt):
        return erased
    if erased.outcome is not TaskOutcome.ERASED:
        return erased if marked.outcome is TaskOutcome.NOT_HELD else marked
    return replace(erased, outcome=TaskOutcome.AMENDED, ended=categories)


class _TaskAmendment:
    """One task."""

    def __init__(
        self,
        system: System,
        policy: Policy,
        save_progress: Checkpoint,
        task: Task,
        places: frozenset[str] | None,
        *,
        counted: bool,
    ) -> None:
        self._system, self._policy, self._save_progress, self._task = system, policy, save_progress, task
        self._places, self._counted = places, counted
        self._begun: StoreCheck | None = None

    async def change(self, unit: Unit) -> Result | SecondLook:
        """Changes records in a unit; returns the result, or the second look to take after the commit."""
        task = self._task
        by_number = unit.numbers is not None
        if task.operation is Operation.RECTIFY:
            return await self._correct(unit)
        if task.operation is Operation.SUPPRESS:
            return await self._switch(unit, "marketing", wanted=True)
        if task.operation is Operation.RESTRICT:
            return await (self._list_numbers(unit) if by_number else self._switch(unit, "restriction", wanted=True))
        if task.operation is not Operation.LIFT:
            raise ValueError(f"{task.operation} is no change in place")
        if by_number:
            return await self._unlist_numbers(unit)
        if task.removes_marked_only:  # a flag says not whose it is
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        return await self._switch(unit, "restriction", wanted=False)

    async def _begin(self, found: Mapping[str, JsonValue]) -> None:
        """Notes the store and the flags found; raises if the request was withdrawn meanwhile."""
        begun = StoreCheck.of(self._system.name, self._system.incarnation, [self._task])
        await self._save_progress({self._task.task_id: {**begun.noted.get(self._task.task_id, {}), **found}})
        self._begun = begun

    def without_lost_counts(self, result: Result) -> Result:
        """Returns the result, without counts if the store was replaced since an earlier attempt."""
        return self._begun.without_lost_counts([self._task], [result])[0] if self._begun else result

    async def _look(self, unit: Unit, *, lock: bool = False, data: bool = False) -> SubjectRecords:
        [found] = await find_records(unit, [subject_search(self._task, unit.shapes)], lock=lock, data=data)
        if self._places is not None:
            named = {name: m for name, m in found.records.items() if m.record.shape.category in self._places}
            return SubjectRecords(found.task, named)
        return found

    async def _note_counts(self, unit: Unit, counts: Mapping[str, int]) -> Counter[str]:
        """Notes the counts at the end of a transaction; a repeat keeps the first counts."""
        if not unit.remembers:
            before = self._task.progress.get(_COUNTS)
            first = Counter(before if isinstance(before, dict) else counts)
            await self._save_progress({self._task.task_id: {_COUNTS: dict(first)}})
            return first
        noted = await unit.note([TaskNote(self._task, counts, first=True)])
        if self._task.task_id not in noted:
            raise overtaken(self._system.name)
        return noted[self._task.task_id]

    # Restriction, and the stop of marketing.

    async def _unlist_numbers(self, unit: Unit) -> Result:
        """Removes the entries of a restriction from the list of numbers."""
        request = self._task.request_id
        if (numbers := unit.numbers) is None:
            return Receipt(self._task.task_id, TaskOutcome.NO_MATCH)
        await self._begin({})
        counts = await self._note_counts(unit, Counter(restriction=await numbers.take(request)))
        if remaining := len(await numbers.listed([request])):
            raise DataStillPresent(f"{self._system.name} still holds {remaining} restrictions of this request")
        return self._restricted(counts, _count_outside(await self._look(unit), numbers.place))

    async def _list_numbers(self, unit: Unit) -> Result | SecondLook:
        """Lists the subject's numbers where readers obey them."""
        task, numbers, kinds = self._task, unit.numbers, number_types(unit.shapes)
        dated = (
            NumberPeriod(i.value, i.valid_from, i.valid_to) for i in task.identities if i.type in kinds and i.valid_from
        )
        wanted = [*dict.fromkeys(dated)]
        never_theirs = [number.value for number in task.not_theirs if number.type in kinds]
        found = await self._look(unit)
        if numbers is None or (refused := refusal(found, self._system.limits)):
            return refused or Receipt(task.task_id, TaskOutcome.NO_MATCH)
        rows = _count_outside(found, numbers.place)
        # Never restrict numbers by a guess, nor those of a person who was erased since.
        known = (_is_vouched_for(task) and not task.repair) or rows > 0
        if not (wanted if known else task.repair and (wanted or never_theirs)):
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        await self._begin({})
        listed = [span for _, span in await numbers.listed([task.request_id])]
        concerned = {*never_theirs, *(span.number for span in wanted)}
        wrong = [span for span in listed if span.number in concerned and span not in wanted]
        wrong_numbers = {span.number for span in wrong}
        listed_spans = [span for span in wanted if known or span.number in wrong_numbers]
        missing = [span for span in listed_spans if span not in listed]
        if wrong:
            await numbers.take(task.request_id, wrong)
        if missing:
            await numbers.put([(task.request_id, span) for span in missing])
        changed = len({(span.number, span.since) for span in (*wrong, *missing)})
        counts = await self._note_counts(unit, Counter(restriction=changed))

        async def look_again(later: Unit) -> Result:
            now = await later.numbers.listed([task.request_id]) if later.numbers else ()
            if any((task.request_id, span) not in now for span in listed_spans):
                return DataStillPresent(f"{self._system.name} took the restriction and does not hold it")
            return self._restricted(counts, rows)

        return look_again

    def _restricted(self, counts: Counter[str], rows: int) -> Receipt:
        """Counts the records that the restriction concerns, without its own entries in the list."""
        if self._task.repair:
            return Receipt.counted(self._task, TaskOutcome.AMENDED, counts)
        return Receipt(self._task.task_id, TaskOutcome.AMENDED, found=rows, changed=rows)

    async def _switch(self, unit: Unit, name: str, *, wanted: bool) -> Result | SecondLook:
        """Sets or lifts a flag in every record of the subject, and reads them again."""
        task, position = self._task, FLAGS.index(name)
        found = await self._look(unit, lock=True)
        if refused := refusal(found, self._system.limits):
            return refused
        flaggable = [
            owned.record for owned in found.records.values() if _can_hold_flag(owned.record, position, wanted=wanted)
        ]
        if name == "marketing" and not flaggable:
            _refuse_unmarked(self._system.name, found)
        flags_before: dict[str, bool] = {}
        flagged = flaggable
        if name == "restriction" and flaggable:
            preexisting = preexisting_flags(task)
            named = [*zip(flaggable, await unit.reference(flaggable), strict=True)]
            flags_before = {reference: bool(record.flags[position]) for record, reference in named}
            flagged = [record for record, reference in named if reference not in preexisting]
        if is_first_restriction(task) and (excess := self._excess(len(flags_before))):
            return excess
        await self._begin(flags_to_note(task, flags_before))
        wrong = [record for record in flagged if _has_wrong_flag(record, position, wanted=wanted)]
        if changes := _flag_changes(wrong, name, wanted=wanted):
            await unit.apply(changes)
        counts = Counter(record.shape.category for record in (wrong if task.repair else flaggable))
        if excess := self._excess(counts.total()):
            raise excess
        noted = await self._note_counts(unit, counts if self._counted else dict.fromkeys(counts, 0))
        counts = noted if self._counted else counts

        async def look_again(later: Unit) -> Result:
            now = await later.again(flagged) if flagged else ()
            if any(_has_wrong_flag(record, position, wanted=wanted) for record in now):
                return DataStillPresent(f"{self._system.name} took the change and does not show it")
            if name == "restriction" and not task.repair:
                return _restricted(task, found, counts)
            return Receipt.counted(task, TaskOutcome.AMENDED, counts)

        return look_again

    def _excess(self, rows: int) -> Refused | None:
        return self._system.limits.excess(self._task, rows=rows)

    # Correction.

    async def _correct(self, unit: Unit) -> Result | SecondLook:
        """Corrects what can be corrected; the receipt names the rest."""
        found = await self._look(unit, lock=True, data=True)
        if refused := refusal(found, self._system.limits):
            return refused
        kept_periods = await kept_number_periods(unit, [subject_search(self._task, unit.shapes)])
        plan = CorrectionPlan(self._system.name, self._policy, found, unit.shapes, kept_periods)
        has_begun, counted = self._task.progress.get(_BEGUN), self._task.progress.get(_COUNTS)
        if has_begun and not counted and not found.records:  # the correction may have changed what found them
            raise NotSupported(
                f"{self._system.name} held records before the correction and finds none now: check there,"
                " and enter what was done"
            )
        await self._begin({_BEGUN: True} if found.records and not unit.remembers else {})
        if not plan.changes_something:
            return plan.nothing_changed()
        changes = plan.changes()
        if excess := self._excess(len(plan.changed_records)):
            raise excess
        if changes:
            await unit.apply(changes)
        shown = {f"{_CORRECTION}{place}": rows for place, rows in enumerate(plan.shown)}
        noted = await self._note_counts(unit, Counter({**plan.counts, **shown}))
        counts = Counter({name: n for name, n in noted.items() if not name.startswith(_CORRECTION)})
        counts_each = [noted.get(f"{_CORRECTION}{place}", 0) for place in range(len(plan.shown))]
        if not plan.stated:
            plan.refuse_kept_only(counts_each)

        async def look_again(later: Unit) -> Result:
            if plan.changed_records and correcting.differs(
                self._task, await later.again(plan.changed_records, data=True), plan
            ):
                what = "statement and does not hold it" if plan.stated else "correction and still holds another value"
                return DataStillPresent(f"{self._system.name} took the {what}")
            return plan.receipt(counts, counts_each)

        return look_again


def _count_outside(found: SubjectRecords, place: str) -> int:
    return sum(name[0] != place for name in found.records)


def _is_vouched_for(task: Task) -> bool:
    """Whether a source other than the requester vouches for a number."""
    return any(i.type in NUMBERS and (i.source != "requester" or i.proved_since) for i in task.identities)


def _can_hold_flag(record: Record, position: int, *, wanted: bool) -> bool:
    """Whether a flag can be set in a record, or lifted."""
    flag = record.shape.flags[position]
    return flag is not None and (wanted or not flag.permanent)


def _refuse_unmarked(system: str, found: SubjectRecords) -> None:
    """Raises if records may be used for marketing and none of them can show that it is stopped."""
    if bare := sorted(
        {owned.record.shape.place for owned in found.records.values() if owned.record.shape.used_for_marketing}
    ):
        raise NotSupported(f"{system} has no way to suppress {', '.join(bare)}: do it there, and enter what was done")


def _has_wrong_flag(record: Record, position: int, *, wanted: bool) -> bool:
    flag, value = record.shape.flags[position], record.flags[position]
    if wanted or flag is None:
        return lacks_flag(record, position)
    return value is not False


def _flag_changes(records: Sequence[Record], name: str, *, wanted: bool) -> list[RecordChange]:
    by_place: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_place[record.shape.place].append(record)
    kind = ChangeKind.MARK if wanted else ChangeKind.UNMARK
    return [RecordChange(kind, each[0].shape, each, flag=name) for each in by_place.values()]


def _restricted(task: Task, found: SubjectRecords, switched: Mapping[str, int]) -> Result:
    """Returns the receipt of a restriction or lift, or a manual task for the places left.

    Records that lead to switched records are counted too: their recipients are informed (Art. 19).
    """
    by_place: defaultdict[str, list[OwnedRecord]] = defaultdict(list)
    for owned in found.records.values():
        by_place[owned.record.shape.place].append(owned)
    shapes = {place: each[0].record.shape for place, each in by_place.items()}
    reached, counts = places_showing_restriction(shapes.values()), Counter(switched)
    for place in reached:
        if not shapes[place].flags[0]:
            counts[shapes[place].category] += len(by_place[place])
    if task.operation is Operation.LIFT:
        reached -= {place for place, shape in shapes.items() if (flag := shape.flags[0]) and flag.permanent}
    unflagged = shapes.keys() - reached
    if not unflagged:
        return Receipt.counted(task, TaskOutcome.AMENDED, counts)
    changed, remaining = counts.total(), sum(len(by_place[place]) for place in unflagged)
    done_text = f"; in {', '.join(sorted(reached))} it is done" if changed else ""
    named = ", ".join(sorted(unflagged))
    reason = NotSupported(
        f"{named} cannot show a restriction: restrict there by hand, and enter what was done{done_text}"
    )
    reason.done_before = DoneBefore(changed + remaining, changed, remaining) if changed else None
    return reason


def preexisting_flags(task: Task) -> frozenset[str]:
    """Returns the records whose flag was set before our first restriction, so a lift leaves it."""
    by_system = task.details.get("left")
    names = by_system.get(task.system) if isinstance(by_system, Mapping) else None
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def is_first_restriction(task: Task) -> bool:
    """Whether it is a restriction whose preexisting flags are not noted yet."""
    return task.operation is Operation.RESTRICT and not task.repair and "flags" not in task.progress


def flags_to_note(task: Task, flags: Mapping[str, bool]) -> dict[str, JsonValue]:
    """Returns the flags to note before a restriction sets its own."""
    return {"flags": {**flags}} if flags and is_first_restriction(task) else {}
