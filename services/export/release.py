"""The release check of what was collected, before a package is made of it (REQ-S8)."""

from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

import orjson
from pydantic import JsonValue

from services.export.package import Part
from shared.domain.errors import Refused
from shared.domain.release import Fault, ReleaseBlocked
from shared.fulfilment.store import Completed
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.metrics import RELEASES
from shared.storage.postgres import may_stand_still
from shared.storage.release import KIND, Manifest, ReleaseCheck, rows_of, sealed
from shared.storage.vault import Sealing

__all__ = ["KIND", "failures", "seal"]

_SERVICE = "export"
for _result in ("fits", "withheld"):
    RELEASES.labels(_SERVICE, _result)  # shown as 0 until the first


async def failures(tx: UnitOfWork, done: Completed, parts: Sequence[Part], package_id: UUID) -> Mapping[str, Refused]:
    """By system, why what it gave cannot be handed out."""
    faults: dict[str, Fault] = {}
    check = ReleaseCheck(tx.connection, tx.vault, done.subject_ref)
    async with may_stand_still(tx.connection):
        for part in (part for part in parts if part.system not in faults):
            if fault := await check.fault(_manifest(tx, done, await part.open(), package_id)):
                faults[part.system] = fault
    if parts:
        tx.after_commit(partial(RELEASES.labels(_SERVICE, "withheld" if faults else "fits").inc))
    if faults:
        said: JsonValue = {system: fault.value for system, fault in faults.items()}
        tx.log_evidence(done.request_id, "package.withheld", {"faults": said})
    return {system: ReleaseBlocked(f"nothing was handed out: {fault.sentence}") for system, fault in faults.items()}


async def seal(tx: UnitOfWork, done: Completed, parts: Sequence[Part], package_id: UUID) -> None:
    """Keeps by what every row of a package was found, part by part, to be checked again whenever it is fetched."""
    for part in parts:
        content = sealed(tx.now, done.right, _matched(await part.open()), package_id)
        await tx.vault.seal(tx.connection, [Sealing(done.subject_ref, KIND, _SERVICE, content)], tx.now)


def _manifest(tx: UnitOfWork, done: Completed, content: bytes, package_id: UUID) -> Manifest:
    return Manifest(tx.now, done.right, rows_of(_matched(content)), package_id)


def _matched(content: bytes) -> Sequence[tuple[str, Sequence[Sequence[str | None]]]]:
    """By what each record was found; one that does not say stands here as well."""
    return [(record[0], (record[4:] or [()])[0]) for record in orjson.loads(content)]
