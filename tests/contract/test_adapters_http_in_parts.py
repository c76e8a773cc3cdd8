"""A copy out of a declared system is handed over page by page: what it has of a person is never in memory at once."""

import gc
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import httpx

from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt, Record
from shared.downstreams.protocols import ExportableInParts
from tests.contract.http_stands import ADA, declared, task
from tests.contract.one_resource import BEARER, DECLARATION, people
from tests.fixtures.engine import SetClock

PAGES, RECORDS, BYTES = 30, 100, 10_000
"""30 MB of notes in all."""
NOTES = """
[resource.note]
category = "activity"
of = "person"
owner = { of = "person.id" }
fields = { id = "T", of = "T", text = "C" }
[[resource.note.find]]
get = "/notes/{person.id}"
records = "people"
pages = { kind = "cursor", size = 100, next = "next", parameter = "at" }
"""
_MOST = 24 * 2**20


async def test_many_records_of_one_person_are_read_in_flat_memory(tmp_path: Path) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/people"):
            return people({"id": 7, "email": ADA})
        page = int(request.url.params.get("at", 0))
        notes = [{"id": page * RECORDS + n, "of": 7, "text": f"{page}" * (BYTES // 2)} for n in range(RECORDS)]
        return people(*notes, next=str(page + 1) if page + 1 < PAGES else None)

    (tmp_path / "saas.toml").write_text(DECLARATION.format(auth=BEARER, find="", more="") + NOTES)
    given: list[int] = []

    async def hand_over(_: object, records: Sequence[Record]) -> None:
        given.append(len(records))

    async with declared(tmp_path / "saas.toml", httpx.MockTransport(handle), SetClock(), max_rows=10_000) as engine:
        adapter = engine.adapter
        assert isinstance(adapter, ExportableInParts)
        gc.freeze()  # as a service does: else how much other tests have loaded decides when a page is collected
        tracemalloc.start()
        [told] = await adapter.export_in_parts([task(Operation.EXPORT)], engine.save_progress, hand_over)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gc.unfreeze()
    assert isinstance(told, Receipt)
    assert (told.outcome, told.found, told.parts) == (TaskOutcome.EXPORTED, PAGES * RECORDS + 1, len(given))
    assert sum(given) + len(told.records) == told.found
    assert most < _MOST, f"{most / 2**20:.0f} MiB"
