"""The release check of what was collected, before a package is made of it (REQ-S8)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

import orjson
from pydantic import JsonValue

from shared.domain.errors import Refused
from shared.domain.release import Fault, ReleaseBlocked
from shared.fulfilment.store import Completed
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.metrics import RELEASES
from shared.storage.postgres import may_stand_still
from shared.storage.release import KIND, Manifest, Rows, fault_of, rows_of
from shared.storage.vault import Sealing

__all__ = ["KIND", "failures", "sealing"]

_SERVICE = "export"
for _result in ("fits", "withheld"):
    RELEASES.labels(_SERVICE, _result)  # shown as 0 until the first


async def failures(tx: UnitOfWork, done: Completed, pieces: Sequence[tuple[str, bytes]]) -> Mapping[str, Refused]:
    """By system, why what it gave cannot be handed out."""
    faults: dict[str, Fault] = {}
    async with may_stand_still(tx.connection):
        for system, content in pieces:
            manifest = Manifest(tx.now, done.right, _rows([content]))
            if fault := await fault_of(tx.connection, tx.vault, done.subject_ref, manifest):
                faults.setdefault(system, fault)
    if pieces:
        tx.after_commit(partial(RELEASES.labels(_SERVICE, "withheld" if faults else "fits").inc))
    if faults:
        said: JsonValue = {system: fault.value for system, fault in faults.items()}
        tx.log_evidence(done.request_id, "package.withheld", {"faults": said})
    return {system: ReleaseBlocked(f"nothing was handed out: {fault.sentence}") for system, fault in faults.items()}


def sealing(done: Completed, pieces: Sequence[tuple[str, bytes]], now: datetime) -> Sealing:
    """By what every row of a package was found, to be checked again whenever it is fetched."""
    rows = _rows([content for _, content in pieces])
    return Sealing(done.subject_ref, KIND, _SERVICE, Manifest(now, done.right, rows).sealed())


def _rows(contents: Sequence[bytes]) -> Rows:
    """By what each record was found; one that does not say stands here as well."""
    return rows_of((record[0], (record[4:] or [()])[0]) for content in contents for record in orjson.loads(content))
