"""A copy of many texts and files goes out while it is read: nobody holds all of it."""

from collections.abc import Sequence
from uuid import UUID

from uuid_utils.compat import uuid7

from shared.downstreams.contract import Record
from shared.downstreams.in_parts import HELD
from shared.downstreams.roundup.copying import Copies
from shared.downstreams.roundup.export import Holdings

FILE = 2**20


def files(*ids: int) -> Holdings:
    return {("file", str(n)): Record("file", "ticketing", {"id": str(n), "content": "x" * FILE}) for n in ids}


async def test_no_more_is_held_than_a_portion_and_the_rest_is_in_the_receipt() -> None:
    ann, bob, most = uuid7(), uuid7(), 0
    given: list[tuple[UUID, int]] = []

    async def hand_over(task_id: UUID, records: Sequence[Record]) -> None:
        given.append((task_id, len(records)))

    copies = Copies({ann: {"file": [str(n) for n in range(40)]}, bob: {"file": ["39", "40"]}}, hand_over)
    for start in range(0, 41, 3):
        await copies.take(files(*range(start, min(start + 3, 41))))
        held = [copies.receipt(each, {}).records for each in (ann, bob)]
        most = max(most, sum(len(str(record.data["content"])) for records in held for record in records))
    assert most <= HELD, "what is handed over is not kept"
    told = {each: copies.receipt(each, {}) for each in (ann, bob)}
    assert {each: told[each].found for each in told} == {ann: 40, bob: 2}, "what two people share is both's"
    for task_id, receipt in told.items():
        assert sum(n for each, n in given if each == task_id) + len(receipt.records) == receipt.found
        assert receipt.parts == sum(each == task_id for each, _ in given)


async def test_who_takes_no_parts_gets_all_of_it_at_once() -> None:
    copies = Copies({(ann := uuid7()): {"file": ["1", "2"]}}, None)
    await copies.take(files(1, 2, 3))
    told = copies.receipt(ann, {"msg": ["7"]})
    assert (len(told.records), told.parts, told.written_by_others) == (2, 0, 1)
