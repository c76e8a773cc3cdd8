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
from shared.systems.engine.correcting import Correction
from shared.systems.engine.erasing import COLLISIONS, Begun, Erasure, Pace, overtaken
from shared.systems.engine.looking import left_by_erasures, look
from shared.systems.engine.ownership import Attribution, Mine, ending, refusal, subject
from shared.systems.engine.planning import is_unset, numbers_in, reach
from shared.systems.engine.records import FLAGS, Change, Collided, Kind, Note, Record, Shape, Span, System, Unit

_BEGUN, _COUNTS = "correcting", "counts"
"""Keys in the progress of a task: a correction has begun, and its counts."""
_CORRECTION = "correction."
"""Prefix of the place of a correction among the categories, whose names have no dot."""


Later = Callable[[Unit], Awaitable[Result]]
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
            return [await self._stop(task) for task in tasks]
        return [await self._one(task) for task in tasks]

    async def _one(self, task: Task, *, places: frozenset[str] | None = None, counted: bool = True) -> Result:
        """Works one task. ``places``: its categories; ``counted``: False: changes are counted when they are erased."""
        collisions = 0
        while True:
            looked = False
            one = _One(self._system, self._policy, self._save_progress, task, places, counted=counted)
            try:
                async with self._system.unit(task.tenant, known=bool(self.shapes)) as unit:
                    self.shapes, looked = unit.shapes, True
                    done = await one.change(unit)
                if not callable(done):
                    return one.without_lost_counts(done)
                async with self._system.unit(task.tenant, known=True) as unit:
                    return one.without_lost_counts(await done(unit))
            except Collided as collided:
                collisions += 1
                if collisions > COLLISIONS:
                    return collided
            except (Unavailable, Refused) as failure:  # it has rolled back this task alone
                if not looked:  # it concerns the whole system
                    raise
                return failure

    async def _stop(self, task: Task) -> Result:
        """Erases what a withdrawn consent ends, and marks the rest.

        While a copy for the same person comes first, records that will be erased are only marked. They are counted when
        they are erased.
        """
        ends = frozenset(ending(task)) & {shape.category for shape in self.shapes}
        rest = frozenset(shape.category for shape in self.shapes) - ends
        marks = any(shape.flags[1] or shape.mails for shape in self.shapes if shape.category in rest)
        marked: Result = Receipt(task.task_id, TaskOutcome.NOT_HELD)
        marketing = task.details.get("marketing") is not False
        if marketing and marks:
            marked = await self._one(task, places=rest)
        if not ends or not isinstance(marked, Receipt):
            return marked
        if task.details.get(COPY_FIRST):
            silenced = await self._one(task, places=ends, counted=False) if marketing else marked
            return _with_marked(marked, silenced) if marketing else marked
        going = replace(task, operation=Operation.ERASE)
        [erased] = await Erasure(self._system, self._policy, self._save_progress, Pace(), ends).run([going])
        return _together(marked, erased, tuple(sorted(ends)))


def _with_marked(rest: Receipt, silenced: Result) -> Result:
    """Adds up the receipts of marked records that stay and that will be erased."""
    if not isinstance(silenced, Receipt):
        return silenced
    if not silenced.changed:
        return rest
    by_category = Counter(rest.by_category) + Counter(silenced.by_category)
    found, changed = rest.found + silenced.found, rest.changed + silenced.changed
    return replace(rest, outcome=TaskOutcome.AMENDED, found=found, changed=changed, by_category=by_category)


def _together(marked: Receipt, erased: Result, went: tuple[str, ...]) -> Result:
    """Returns one receipt of both; the notes of a task add up, so the last receipt counts everything."""
    if not isinstance(erased, Receipt):
        return erased
    if erased.outcome is not TaskOutcome.ERASED:
        return erased if marked.outcome is TaskOutcome.NOT_HELD else marked
    return replace(erased, outcome=TaskOutcome.AMENDED, ended=went)


class _One:
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
        self._begun: Begun | None = None

    async def change(self, unit: Unit) -> Result | Later:
        """Changes records in a unit; returns the result, or the second look to take after the commit."""
        task = self._task
        by_number = unit.numbers is not None
        if task.operation is Operation.RECTIFY:
            return await self._correct(unit)
        if task.operation is Operation.SUPPRESS:
            return await self._switch(unit, "marketing", wanted=True)
        if task.operation is Operation.RESTRICT:
            return await (self._hide(unit) if by_number else self._switch(unit, "restriction", wanted=True))
        if task.operation is not Operation.LIFT:
            raise ValueError(f"{task.operation} is no change in place")
        if by_number:
            return await self._show(unit)
        if task.marked:  # a flag says not whose it is
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        return await self._switch(unit, "restriction", wanted=False)

    async def _begin(self, found: Mapping[str, JsonValue]) -> None:
        """Notes the store and the flags found; raises if the request was withdrawn meanwhile."""
        begun = Begun.of(self._system.name, self._system.incarnation, [self._task])
        await self._save_progress({self._task.task_id: {**begun.noted.get(self._task.task_id, {}), **found}})
        self._begun = begun

    def without_lost_counts(self, result: Result) -> Result:
        """Returns the result, without counts if the store was replaced since an earlier attempt."""
        return self._begun.without_lost_counts([self._task], [result])[0] if self._begun else result

    async def _look(self, unit: Unit, *, lock: bool = False, data: bool = False) -> Attribution:
        [found] = await look(unit, [subject(self._task, unit.shapes)], lock=lock, data=data)
        if self._places is not None:
            named = {name: m for name, m in found.records.items() if m.record.shape.category in self._places}
            return Attribution(found.task, named)
        return found

    async def _keep(self, unit: Unit, counts: Mapping[str, int]) -> Counter[str]:
        """Notes the counts at the end of a transaction; a repeat keeps the first counts."""
        if not unit.remembers:
            before = self._task.progress.get(_COUNTS)
            first = Counter(before if isinstance(before, dict) else counts)
            await self._save_progress({self._task.task_id: {_COUNTS: dict(first)}})
            return first
        noted = await unit.note([Note(self._task, counts, first=True)])
        if self._task.task_id not in noted:
            raise overtaken(self._system.name)
        return noted[self._task.task_id]

    # Restriction, and the stop of marketing.

    async def _show(self, unit: Unit) -> Result:
        """Removes the entries of a restriction from the list of numbers."""
        request = self._task.request_id
        if (numbers := unit.numbers) is None:
            return Receipt(self._task.task_id, TaskOutcome.NO_MATCH)
        await self._begin({})
        counts = await self._keep(unit, Counter(restriction=await numbers.take(request)))
        if left := len(await numbers.listed([request])):
            raise DataStillPresent(f"{self._system.name} still holds {left} restrictions of this request")
        return self._hidden(counts, _but(await self._look(unit), numbers.place))

    async def _hide(self, unit: Unit) -> Result | Later:
        """Lists the subject's numbers where readers obey them."""
        task, numbers, kinds = self._task, unit.numbers, numbers_in(unit.shapes)
        dated = (Span(i.value, i.valid_from, i.valid_to) for i in task.identities if i.type in kinds and i.valid_from)
        wanted = [*dict.fromkeys(dated)]
        never = [number.value for number in task.not_theirs if number.type in kinds]
        found = await self._look(unit)
        if numbers is None or (refused := refusal(found, self._system.limits)):
            return refused or Receipt(task.task_id, TaskOutcome.NO_MATCH)
        rows = _but(found, numbers.place)
        # Never restrict numbers by a guess, nor those of a person who was erased since.
        known = (_is_vouched_for(task) and not task.repair) or rows > 0
        if not (wanted if known else task.repair and (wanted or never)):
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        await self._begin({})
        listed = [span for _, span in await numbers.listed([task.request_id])]
        concerned = {*never, *(span.number for span in wanted)}
        wrong = [span for span in listed if span.number in concerned and span not in wanted]
        stood = {span.number for span in wrong}
        held = [span for span in wanted if known or span.number in stood]
        missing = [span for span in held if span not in listed]
        if wrong:
            await numbers.take(task.request_id, wrong)
        if missing:
            await numbers.put([(task.request_id, span) for span in missing])
        changed = len({(span.number, span.since) for span in (*wrong, *missing)})
        counts = await self._keep(unit, Counter(restriction=changed))

        async def look_again(later: Unit) -> Result:
            now = await later.numbers.listed([task.request_id]) if later.numbers else ()
            if any((task.request_id, span) not in now for span in held):
                return DataStillPresent(f"{self._system.name} took the restriction and does not hold it")
            return self._hidden(counts, rows)

        return look_again

    def _hidden(self, counts: Counter[str], rows: int) -> Receipt:
        """Counts the records that the restriction concerns, without its own entries in the list."""
        if self._task.repair:
            return Receipt.counted(self._task, TaskOutcome.AMENDED, counts)
        return Receipt(self._task.task_id, TaskOutcome.AMENDED, found=rows, changed=rows)

    async def _switch(self, unit: Unit, name: str, *, wanted: bool) -> Result | Later:
        """Sets or lifts a flag in every record of the subject, and reads them again."""
        task, position = self._task, FLAGS.index(name)
        found = await self._look(unit, lock=True)
        if refused := refusal(found, self._system.limits):
            return refused
        bearing = [mine.record for mine in found.records.values() if _bears(mine.record, position, wanted=wanted)]
        if name == "marketing" and not bearing:
            _refuse_unmarked(self._system.name, found)
        had: dict[str, bool] = {}
        flagged = bearing
        if name == "restriction" and bearing:
            left = preexisting_flags(task)
            named = [*zip(bearing, await unit.reference(bearing), strict=True)]
            had = {reference: bool(record.flags[position]) for record, reference in named}
            flagged = [record for record, reference in named if reference not in left]
        if is_first_restriction(task) and (excess := self._excess(len(had))):
            return excess
        await self._begin(flags_to_note(task, had))
        wrong = [record for record in flagged if _is_wrong(record, position, wanted=wanted)]
        if changes := _turned(wrong, name, wanted=wanted):
            await unit.apply(changes)
        counts = Counter(record.shape.category for record in (wrong if task.repair else bearing))
        if excess := self._excess(counts.total()):
            raise excess
        noted = await self._keep(unit, counts if self._counted else dict.fromkeys(counts, 0))
        counts = noted if self._counted else counts

        async def look_again(later: Unit) -> Result:
            now = await later.again(flagged) if flagged else ()
            if any(_is_wrong(record, position, wanted=wanted) for record in now):
                return DataStillPresent(f"{self._system.name} took the change and does not show it")
            if name == "restriction" and not task.repair:
                return _restricted(task, found, counts)
            return Receipt.counted(task, TaskOutcome.AMENDED, counts)

        return look_again

    def _excess(self, rows: int) -> Refused | None:
        return self._system.limits.excess(self._task, rows=rows)

    # Correction.

    async def _correct(self, unit: Unit) -> Result | Later:
        """Corrects what can be corrected; the receipt names the rest."""
        found = await self._look(unit, lock=True, data=True)
        if refused := refusal(found, self._system.limits):
            return refused
        left = await left_by_erasures(unit, [subject(self._task, unit.shapes)])
        made = Correction(self._system.name, self._policy, found, unit.shapes, left)
        begun, counted = self._task.progress.get(_BEGUN), self._task.progress.get(_COUNTS)
        if begun and not counted and not found.records:  # the correction may have changed what found them
            raise NotSupported(
                f"{self._system.name} held records before the correction and finds none now: check there,"
                " and enter what was done"
            )
        await self._begin({_BEGUN: True} if found.records and not unit.remembers else {})
        if not made.changes_something:
            return made.nothing_changed()
        changes = made.changes()
        if excess := self._excess(len(made.touched)):
            raise excess
        if changes:
            await unit.apply(changes)
        shown = {f"{_CORRECTION}{place}": rows for place, rows in enumerate(made.shown)}
        noted = await self._keep(unit, Counter({**made.counts, **shown}))
        counts = Counter({name: n for name, n in noted.items() if not name.startswith(_CORRECTION)})
        counts_each = [noted.get(f"{_CORRECTION}{place}", 0) for place in range(len(made.shown))]
        if not made.stated:
            made.refuse_what_only_is_left(counts_each)

        async def look_again(later: Unit) -> Result:
            if made.touched and correcting.differs(self._task, await later.again(made.touched, data=True), made):
                what = "statement and does not hold it" if made.stated else "correction and still holds another value"
                return DataStillPresent(f"{self._system.name} took the {what}")
            return made.receipt(counts, counts_each)

        return look_again


def _but(found: Attribution, place: str) -> int:
    return sum(name[0] != place for name in found.records)


def _is_vouched_for(task: Task) -> bool:
    """Whether a source other than the requester vouches for a number."""
    return any(i.type in NUMBERS and (i.source != "requester" or i.proved_since) for i in task.identities)


def _bears(record: Record, position: int, *, wanted: bool) -> bool:
    """Whether a flag can be set in a record, or lifted."""
    flag = record.shape.flags[position]
    return flag is not None and (wanted or not flag.stays)


def _refuse_unmarked(system: str, found: Attribution) -> None:
    """Raises if records may be used for marketing and none of them can show that it is stopped."""
    if bare := sorted({mine.record.shape.place for mine in found.records.values() if mine.record.shape.mails}):
        raise NotSupported(f"{system} has no way to suppress {', '.join(bare)}: do it there, and enter what was done")


def _is_wrong(record: Record, position: int, *, wanted: bool) -> bool:
    flag, value = record.shape.flags[position], record.flags[position]
    if wanted or flag is None:
        return is_unset(record, position)
    return value is not False


def _turned(records: Sequence[Record], name: str, *, wanted: bool) -> list[Change]:
    by_place: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_place[record.shape.place].append(record)
    kind = Kind.MARK if wanted else Kind.UNMARK
    return [Change(kind, each[0].shape, each, flag=name) for each in by_place.values()]


def _restricted(task: Task, found: Attribution, switched: Mapping[str, int]) -> Result:
    """Returns the receipt of a restriction or lift, or a manual task for the places left.

    Records that lead to switched records are counted too: their recipients are informed (Art. 19).
    """
    by_place: defaultdict[str, list[Mine]] = defaultdict(list)
    for mine in found.records.values():
        by_place[mine.record.shape.place].append(mine)
    shapes = {place: each[0].record.shape for place, each in by_place.items()}
    reached, counts = reach(shapes.values()), Counter(switched)
    for place in reached:
        if not shapes[place].flags[0]:
            counts[shapes[place].category] += len(by_place[place])
    if task.operation is Operation.LIFT:
        reached -= {place for place, shape in shapes.items() if (flag := shape.flags[0]) and flag.stays}
    bare = shapes.keys() - reached
    if not bare:
        return Receipt.counted(task, TaskOutcome.AMENDED, counts)
    changed, left = counts.total(), sum(len(by_place[place]) for place in bare)
    before = f"; in {', '.join(sorted(reached))} it is done" if changed else ""
    named = ", ".join(sorted(bare))
    reason = NotSupported(f"{named} cannot show a restriction: restrict there by hand, and enter what was done{before}")
    reason.done_before = DoneBefore(changed + left, changed, left) if changed else None
    return reason


def preexisting_flags(task: Task) -> frozenset[str]:
    """Returns the records whose flag was set before our first restriction, so a lift leaves it."""
    left = task.details.get("left")
    mine = left.get(task.system) if isinstance(left, Mapping) else None
    return frozenset(map(str, mine)) if isinstance(mine, list) else frozenset()


def is_first_restriction(task: Task) -> bool:
    """Whether it is a restriction whose preexisting flags are not noted yet."""
    return task.operation is Operation.RESTRICT and not task.repair and "flags" not in task.progress


def flags_to_note(task: Task, bearing: Mapping[str, bool]) -> dict[str, JsonValue]:
    """Returns the flags to note before a restriction sets its own."""
    return {"flags": {**bearing}} if bearing and is_first_restriction(task) else {}
