"""The release check of what was collected, before a package is made of it (REQ-S8)."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson

from services.export.due import Due
from services.export.package import Part
from shared.domain.proofs import proof_policy
from shared.domain.release import Fault
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.metrics import RELEASES
from shared.storage.chunks import Begin
from shared.storage.release import KIND, Manifest, ReleaseCheck, rows_of, sealed
from shared.storage.vault import Sealing

_SERVICE = "export"
for _result in ("fits", "withheld"):
    RELEASES.labels(_SERVICE, _result)  # shown as 0 until the first


async def check(
    unit_of_work: UnitOfWorkFactory, begin: Begin, due: Due, right: Right, parts: Sequence[Part], now: datetime
) -> Mapping[str, Fault]:
    """By system, why what it gave cannot be handed out; by what all else was found is sealed, part by part.

    So it can be checked again whenever the package is fetched. ``begin``: a transaction of whoever makes the package.

    Raises:
        Shredded: the subject's key is gone.
    """
    faults: dict[str, Fault] = {}
    vault, proofs = unit_of_work.vault, proof_policy(unit_of_work.policy.overlay)
    found = ReleaseCheck(vault, proofs, due.subject_ref)
    for part in parts:
        if part.system in faults:
            continue
        matched = _matched(await part.open())
        manifest = Manifest(now, right, rows_of(matched), due.package_id)
        async with unit_of_work.pool.acquire() as connection:
            fault = await found.fault(connection, manifest)
        if fault:
            faults[part.system] = fault
            continue
        content = sealed(now, right, matched, due.package_id)
        async with begin() as connection:
            await vault.seal(connection, [Sealing(due.subject_ref, KIND, due.source, content)], now)
    if not parts:  # what is in no system, but on a list of our own: there is no row that could be somebody else's
        nothing = sealed(now, right, [], due.package_id)
        async with begin() as connection:
            await vault.seal(connection, [Sealing(due.subject_ref, KIND, due.source, nothing)], now)
    return faults


def _matched(content: bytes) -> Sequence[tuple[str, Sequence[Sequence[str | None]]]]:
    """By what each record was found; one that does not say stands here as well."""
    return [(record[0], (record[4:] or [()])[0]) for record in orjson.loads(content)]
