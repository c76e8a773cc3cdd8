"""The engine works its plan in chunks, once, and only for requests that are not withdrawn."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from pydantic import JsonValue

from shared.domain.errors import DataStillPresent, Overtaken, Withdrawn, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.systems.contract import NotSearched, Receipt
from shared.systems.engine.adapter import EngineAdapter
from shared.systems.engine.records import (
    AppliedChanges,
    LockConflict,
    Page,
    RecordChange,
    RecordName,
    SubjectSearch,
    TaskNote,
)
from tests.fixtures.estates import NOW, Estate, Memory, Row
from tests.fixtures.policy import all_signed, nothing_kept

POLICY = all_signed(nothing_kept())
SINCE, ENDED = NOW.replace(year=2020), NOW.replace(year=2010)


def shop(calls: int = 2, orders: int = 1) -> Estate:
    """Returns two customers: the first with so many calls to no one, and orders."""
    own = {"state": False, "restricted": False, "no_mail": False}
    rows = {("customer", (f"C{n}",)): {"id": f"C{n}", "email": f"p{n}@example.org", **own} for n in range(2)}
    said = {"customer": "C0", "address": "street", "note": "n", "kept": False, "at": ENDED, "state": False}
    call = {"at": NOW, "caller": "+34688886392", "called": "", "caller_ip": "192.0.2.1", "called_ip": None}
    every: dict[RecordName, Row] = {
        **rows,
        **{("orders", (n,)): dict(said) for n in range(orders)},
        **{("call", (n,)): dict(call) for n in range(calls)},
    }
    return Estate(every, {}, 2, [(0, "+34688886392", SINCE, None)])


@dataclass
class Watched(Memory):
    """A system that counts its transactions, and fails in them when asked to."""

    units: list[int] = field(default_factory=list)
    collides: int = 0
    overtaken: frozenset[UUID] = frozenset()
    returns: bool = False
    unseen: frozenset[str] = frozenset()

    @asynccontextmanager
    async def unit(
        self, tenant: str | None = None, *, reading: bool = False, known: bool = False
    ) -> AsyncIterator[Memory]:
        self.units.append(0)
        async with super().unit(tenant, reading=reading, known=known):
            yield self

    async def find(
        self, subjects: Sequence[SubjectSearch], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        async for page in super().find(subjects, lock=lock, data=data, most=most):
            yield [record for record in page if record.shape.place not in self.unseen]

    async def apply(self, changes: Sequence[RecordChange], *, skip_referenced: bool = False) -> AppliedChanges:
        if self.collides:
            self.collides -= 1
            raise LockConflict("shop: another transaction has it")
        done = await super().apply(changes, skip_referenced=skip_referenced)
        self.units[-1] += sum(done.rows)
        if self.returns:
            self.rows |= {
                record.name: {
                    **self.rows.get(record.name, {}),
                    "at": NOW,
                    "caller": "+34688886392",
                    "called": "",
                    "caller_ip": None,
                    "called_ip": None,
                }
                for each in changes
                for record in each.records
                if record.name[0] == "call"
            }
        return done

    async def note(self, notes: Sequence[TaskNote]) -> Mapping[UUID, object]:  # type: ignore[override]
        noted = await super().note(notes)
        return {task_id: counts for task_id, counts in noted.items() if task_id not in self.overtaken}


async def remembered(_: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
    """Nothing needs to be remembered here."""


def watched(estate: Estate, **said: object) -> Watched:
    return Watched(estate.system().rows, **said)  # type: ignore[arg-type]


async def test_a_large_subject_goes_in_chunks() -> None:
    estate = shop(calls=5_000)
    system = watched(estate)
    [done] = await EngineAdapter(system, POLICY).erase([estate.task(0)], remembered)
    assert isinstance(done, Receipt)
    assert (done.outcome, done.found, done.changed) == (TaskOutcome.ERASED, 5_002, 5_002)
    assert max(system.units) == 1_000
    assert [*system.rows] == [("customer", ("C1",))]


@pytest.mark.parametrize("restricted", [False, True])
async def test_a_large_subject_of_whom_a_hold_keeps_everything_is_restricted_and_reported(*, restricted: bool) -> None:
    estate = shop(calls=0, orders=3_000)
    for row in (row for (place, _), row in estate.rows.items() if place == "customer"):
        row["restricted"] = row["no_mail"] = restricted
    system = watched(estate)
    task = estate.task(0, held_categories=frozenset({"account", "invoice"}))
    [done] = await EngineAdapter(system, POLICY).erase([task], remembered)
    assert isinstance(done, Receipt)
    assert (done.outcome, done.found, done.changed, done.remaining) == (TaskOutcome.RETAINED, 3_001, 0, 3_001)
    assert system.rows["customer", ("C0",)]["restricted"]
    assert system.rows["customer", ("C1",)]["restricted"] is restricted


async def test_held_lock_is_waited_for_by_retries() -> None:
    estate = shop()
    system = watched(estate, collides=3)
    [done, other] = await EngineAdapter(system, POLICY).erase([estate.task(0), estate.task(1)], remembered)
    assert isinstance(done, Receipt)
    assert isinstance(other, Receipt)
    assert (done.changed, other.changed) == (4, 1)


async def test_a_lock_that_is_never_let_go_changes_nothing() -> None:
    estate = shop()
    system = watched(estate, collides=100)
    with pytest.raises(LockConflict):
        await EngineAdapter(system, POLICY).erase([estate.task(0)], remembered)
    assert system.rows == estate.rows


async def test_who_was_overtaken_changes_nothing_and_the_others_go_on() -> None:
    estate = shop()
    system = watched(estate, overtaken=frozenset({estate.task(0).task_id}))
    [late, done] = await EngineAdapter(system, POLICY).erase([estate.task(0), estate.task(1)], remembered)
    assert isinstance(late, Overtaken)
    assert isinstance(done, Receipt)
    assert [*system.rows] == [name for name in estate.rows if name != ("customer", ("C1",))]


async def test_a_request_that_was_withdrawn_goes_no_further() -> None:
    estate = shop()
    system = watched(estate)
    gone = estate.task(0).task_id

    async def save(noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        if gone in noted:
            raise Withdrawn("it was withdrawn")

    with pytest.raises(Withdrawn):
        await EngineAdapter(system, POLICY).erase([estate.task(0), estate.task(1)], save)
    assert system.rows == estate.rows


async def test_what_others_refer_to_is_not_deleted_under_them() -> None:
    estate = shop()
    system = watched(estate, unseen=frozenset({"orders"}))
    [refused, done] = await EngineAdapter(system, POLICY).erase([estate.task(0), estate.task(1)], remembered)
    assert isinstance(refused, WrongPersonMatch)
    assert isinstance(done, Receipt)
    assert ("customer", ("C0",)) in system.rows


async def test_record_that_returns_each_time_is_reported_as_left() -> None:
    estate = shop(calls=1, orders=0)
    system = watched(estate, returns=True)
    [left] = await EngineAdapter(system, POLICY).erase([estate.task(0)], remembered)
    assert isinstance(left, DataStillPresent)
    assert left.done_before
    assert left.done_before.remaining == 1


async def test_a_tenant_that_it_does_not_know_is_not_searched() -> None:
    [refused] = await EngineAdapter(shop().system(), POLICY).erase([shop().task(0, tenant="acme")], remembered)
    assert "does not tell the data of that customer apart" in str(refused)


async def test_number_without_its_period_is_reported_as_not_searched() -> None:
    task = replace(shop().task(0), identities=(Identity(IdentityType.PHONE, "+34688886392"),))
    [result] = await EngineAdapter(shop().system(), POLICY).erase([task], remembered)
    assert isinstance(result, NotSearched)


async def test_what_a_record_tells_leads_on() -> None:
    task = replace(
        shop().task(0, Operation.LOCATE), identities=(Identity(IdentityType.EMAIL, "p0@example.org", level="L2"),)
    )
    [found] = await EngineAdapter(shop().system(), POLICY).locate([task], remembered)
    assert isinstance(found, Receipt)
    assert [(each.type, each.value, each.claimed) for each in found.identities] == [("account_id", "C0", True)]
    assert found.found == 2  # the customer, and the order that leads there
