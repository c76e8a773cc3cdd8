"""Reads the request that a package answers from the vault, the evidence and the policy."""

from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from uuid import UUID

import asyncpg
import orjson
from pydantic import JsonValue

from services.export.report.request import LISTED, OTHER, WITHDRAWN, Legends, ReportRequest, TimelineStep
from services.export.report.words import texts_of
from shared.domain.identities import IdentityType
from shared.domain.languages import LANGUAGES
from shared.domain.policy import Policy
from shared.domain.proofs import ProofAction, proof_policy, proved
from shared.domain.rights import Right
from shared.fulfilment.store import FulfilmentResult
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.settings import PolicySettings
from shared.storage import evidence, suppression
from shared.storage.subject_data import SubjectData
from shared.storage.suppression import CHANNELS


@cache
def processing() -> Policy:
    """Returns the policy that this process was started with.

    Raises:
        Misconfigured: a file of it cannot be used.
    """
    return PolicySettings().read_processing()


def read_ahead() -> None:
    """Reads what reports are made of before the first one is; raises ``Misconfigured`` where a file cannot be used."""
    processing()
    for language in LANGUAGES:
        texts_of(language)


async def request_of(tx: UnitOfWork, done: FulfilmentResult, legends: Legends) -> ReportRequest:
    """The request as it is now: the person's own part of its file belongs to what they have asked for (Art. 15(1)).

    Raises:
        Misconfigured: a file of the policy cannot be used.
    """
    known = (await tx.vault.subject_data(tx.connection, [done.subject_ref])).get(done.subject_ref)
    listed = await lists_name(tx, known)
    country, language, zone = (done.details.get(name) for name in ("country", "language", "zone"))
    return ReportRequest(
        done.request_id,
        processing(),
        tx.now.date(),
        country=str(country) if country else None,
        language=str(language) if language else "en",
        zone=str(zone) if zone else "UTC",
        instructed=known is not None and known.tenant is not None,
        identities=known.identities if known else (),
        steps=sorted([*await _steps(tx, done), *listed], key=attrgetter("at")),
        reports=done.reports,
        legends=legends,
    )


async def is_listed(tx: UnitOfWork, done: FulfilmentResult) -> bool:
    """Returns whether our own lists hold data of a person who requests access."""
    known = (await tx.vault.subject_data(tx.connection, [done.subject_ref])).get(done.subject_ref)
    return bool(done.right is Right.ACCESS and await lists_name(tx, known))


async def lists_name(tx: UnitOfWork, known: SubjectData | None) -> list[TimelineStep]:
    """Returns what our own lists have of their proved identities: suppressed marketing and withdrawn consents.

    A customer's instruction is not about our lists.
    """
    if known is None or known.tenant:
        return []
    proofs = proved(known.identities, proof_policy(tx.policy.overlay).least(ProofAction.ACCESS))
    points = {tx.vault.keyring.fingerprint(each): each for each in proofs if each.type is not IdentityType.NAME}
    entries = await suppression.entries(tx.connection, [key for key, each in points.items() if each.type in CHANNELS])
    steps = [
        TimelineStep(since, LISTED, {"contact_point": points[each.fingerprint].value, "right": each.right})
        for each, since in entries
    ]
    for key, purpose, since in await suppression.withdrawn(tx.connection, points):
        steps.append(TimelineStep(since, WITHDRAWN, {"contact_point": points[key].value, "purpose": purpose}))
    return steps


async def _steps(tx: UnitOfWork, done: FulfilmentResult) -> Sequence[TimelineStep]:
    """Returns the history of the request, and of the others of the same person with their ids."""
    others = done.details.get("of_same_person")
    found = [_step(entry, {}) for entry in await evidence.entries(tx.connection, done.request_id)]
    for other in others if isinstance(others, list) else ():
        found += [_step(entry, {OTHER: other}) for entry in await evidence.entries(tx.connection, UUID(str(other)))]
    return found


def _step(entry: asyncpg.Record, which: Mapping[str, JsonValue]) -> TimelineStep:
    return TimelineStep(entry["at"], entry["action"], {**orjson.loads(entry["detail"]), **which})
