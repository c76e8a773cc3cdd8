"""Erases step by step in a system without transactions: a second attempt touches and reports what is theirs alone."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from pydantic import JsonValue

from shared.domain.errors import DoneBefore, LimitExceeded
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import TaskOutcome
from shared.domain.policy import Policy
from shared.systems.contract import Receipt, Result, Task
from shared.systems.engine.adapter import EngineAdapter
from shared.systems.engine.records import Page, Record, RecordName, SubjectSearch, TaskNote
from shared.systems.engine.stepwise import Journal, NonTransactionalUnit, PendingErasure, SaveJournals
from tests.fixtures.estates import NOW, Estate, Limits, Memory, Row
from tests.fixtures.policy import all_signed, nothing_kept, signed_policy

LONG_AGO = NOW.replace(year=2010)
NOTHING_KEPT = all_signed(nothing_kept())


class Crash(Exception):
    """The process ends."""


@dataclass
class Slow(Memory):
    """A system that takes records out one by one, what leads to others first unless ``order`` says otherwise.

    ``crashes_after``: so many records. ``late``: what arrives while others go. ``shared_address``: the second customer
    has it too, and a letter alone shows that the first is meant.
    """

    crashes_after: int = 1_000
    late: dict[RecordName, Row] = field(default_factory=dict)
    shared_address: bool = False
    concurrency: int = 1
    others: dict[UUID, int] = field(default_factory=dict)
    searched = frozenset({"customer", "orders", "letter", "call"})
    for_many = False
    on_still_shown, refuse_manual_parts = NonTransactionalUnit.on_still_shown, NonTransactionalUnit.refuse_manual_parts

    @property
    def steps(self) -> "Slow":
        return self

    async def find(
        self, subjects: Sequence[SubjectSearch], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        [task] = [each.task for each in subjects]
        separate = ("letter", ("l0",)) in self.rows
        async for page in super().find(subjects, lock=lock, data=data, most=most):
            yield [
                record._replace(proved_owners={task.task_id: record.key == ("C0",) or not separate})
                if record.shape.place == "customer" and self.shared_address
                else record
                for record in page
            ]

    async def note(self, notes: Sequence[TaskNote]) -> Mapping[UUID, Any]:
        return await NonTransactionalUnit.note(self, notes)  # type: ignore[arg-type]  # it needs nothing of itself

    def journal_entry(self, record: Record) -> PendingErasure:
        above = {record.shape.links[n].place: key[0] for n, key in record.parents}
        return PendingErasure(place=record.shape.place, id=record.key[0], above=above)

    async def take_steps(self, journals: Sequence[Journal], note: SaveJournals) -> Mapping[UUID, Result]:
        for journal in journals:
            for each in (each for place in self.order for each in journal.of_place(place) if not each.erased):
                if not self.crashes_after:
                    raise Crash
                self.crashes_after -= 1
                del self.rows[each.name]
                each.erased = True
                await note()
        self.rows |= self.late
        self.late = {}
        return {}


@dataclass
class Attempts:
    """Works a task again and again with the progress that it noted."""

    system: Slow
    task: Task
    policy: Policy = NOTHING_KEPT

    async def run(self, **said: Any) -> Result:
        async def save(noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
            progress = {**self.task.progress, **noted[self.task.task_id]}
            self.task = replace(self.task, progress=progress)

        self.task = replace(self.task, **said)
        [result] = await EngineAdapter(self.system, self.policy).erase([self.task], save)
        return result


def household(*, long_ago: bool) -> Estate:
    """Two customers of one address, each with an order, of this year or ``long_ago``; the first gets two letters."""
    rows: dict[RecordName, Row] = {}
    for n in range(2):
        own = {"state": False, "restricted": False, "no_mail": False}
        rows["customer", (f"C{n}",)] = {"id": f"C{n}", "email": "p0@example.org", **own}
        said = {"address": "street", "note": "n", "kept": False, "at": LONG_AGO if long_ago else NOW, "state": False}
        rows["orders", (f"o{n}",)] = {"customer": f"C{n}", **said}
        rows["letter", (f"l{n}",)] = {"email": "p0@example.org", "no_mail": False}
    return Estate(rows, {}, 1, [])


def attempts(*, shared: bool, crashes_after: int, order: Sequence[str], policy: Policy = NOTHING_KEPT) -> Attempts:
    estate = household(long_ago=policy is NOTHING_KEPT)
    rows = {name: row for name, row in estate.system().rows.items() if shared or name[1][0] not in {"C1", "o1"}}
    system = Slow(rows, shared_address=shared, crashes_after=crashes_after, order=order)
    system.limits = Limits(max_people=2)
    return Attempts(system, replace(estate.task(0), identities=estate.task(0).identities[1:]), policy)


OF_THE_OTHER = [("customer", ("C1",)), ("orders", ("o1",))]


@pytest.mark.parametrize(
    ("kept", "held"), [(False, frozenset[str]()), (True, frozenset[str]()), (False, frozenset({"call_record"}))]
)
async def test_who_looks_alone_once_the_rest_has_gone_stays_another(*, kept: bool, held: frozenset[str]) -> None:
    rules = all_signed(signed_policy()) if kept else NOTHING_KEPT
    trying = attempts(shared=True, crashes_after=1, order=("letter", "orders", "call", "customer"), policy=rules)
    before = {name: dict(trying.system.rows[name]) for name in OF_THE_OTHER}
    with pytest.raises(Crash):
        await trying.run()
    trying.system.crashes_after = 1_000
    done = await trying.run(held_categories=held)
    assert {name: trying.system.rows.get(name) for name in OF_THE_OTHER} == before
    assert isinstance(done, Receipt)
    assert done.outcome is (TaskOutcome.RETAINED if kept else TaskOutcome.ERASED)
    assert done.found == 4


async def test_what_a_hold_covers_and_no_search_shows_is_reported_though_more_arrives() -> None:
    trying = attempts(shared=False, crashes_after=1, order=("customer", "letter", "orders", "call"))
    with pytest.raises(Crash):
        await trying.run()
    trying.system.crashes_after = 1_000
    trying.system.late["letter", ("l2",)] = {"email": "p0@example.org", "no_mail": False}
    done: Result | None = None
    for _ in range(3):
        done = await trying.run(held_categories=frozenset({"invoice"}))
        if isinstance(done, Receipt):
            break
    assert ("orders", ("o0",)) in trying.system.rows
    assert isinstance(done, Receipt)
    assert [(each.rule, each.category, each.count) for each in done.kept or ()] == [(LEGAL_HOLD, "invoice", 1)]


async def test_refusal_after_a_partial_erasure_reports_what_was_erased() -> None:
    trying = attempts(shared=False, crashes_after=10, order=("customer", "letter", "orders", "call"))
    trying.system.limits = Limits(max_people=2, max_rows=4)
    trying.system.late["letter", ("l2",)] = {"email": "p0@example.org", "no_mail": False}
    refused = await trying.run()
    assert isinstance(refused, LimitExceeded)
    assert refused.done_before == DoneBefore(found=4, changed=4)
    assert ("letter", ("l2",)) in trying.system.rows
