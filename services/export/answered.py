"""Which request a package answers: what the vault, the evidence and the policy say of it."""

from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from uuid import UUID

import asyncpg
import orjson
from pydantic import JsonValue

from services.export.report.held import LISTED, OTHER, Legends, Request, Step
from services.export.report.texts import LANGUAGES, texts_of
from shared.domain.identities import Identity
from shared.domain.policy import Policy
from shared.domain.proofs import Action, proof_policy, proved
from shared.fulfilment.store import Completed
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.settings import PolicySettings
from shared.storage import evidence, suppression
from shared.storage.suppression import CHANNELS


@cache
def processing() -> Policy:
    """What is held, why, how long, and who is told of it, as this process was started with.

    Raises:
        Misconfigured: a file of it cannot be used.
    """
    return PolicySettings().read_processing()


def read_ahead() -> None:
    """Reads what reports are made of before the first one is; raises ``Misconfigured`` where a file cannot be used."""
    processing()
    for language in LANGUAGES:
        texts_of(language)


async def request_of(tx: UnitOfWork, done: Completed, legends: Legends) -> Request:
    """The request as it is now: the person's own part of its file belongs to what they have asked for (Art. 15(1)).

    Raises:
        Misconfigured: a file of the policy cannot be used.
    """
    known = (await tx.vault.subject_data(tx.connection, [done.subject_ref])).get(done.subject_ref)
    listed = await _listed(tx, known.identities) if known and not known.tenant else []
    country, language = done.details.get("country"), done.details.get("language")
    return Request(
        done.request_id,
        processing(),
        tx.now.date(),
        country=str(country) if country else None,
        language=str(language) if language else "en",
        instructed=known is not None and known.tenant is not None,
        identities=known.identities if known else (),
        steps=sorted([*await _steps(tx, done), *listed], key=attrgetter("at")),
        reports=done.reports,
        legends=legends,
    )


async def _listed(tx: UnitOfWork, identities: Sequence[Identity]) -> list[Step]:
    """What the list of those who get no marketing has of the contact points that are proved to be theirs."""
    least = proof_policy().least(Action.ACCESS)
    points = {
        tx.vault.keyring.fingerprint(each): each.value for each in proved(identities, least) if each.type in CHANNELS
    }
    found = await suppression.entries(tx.connection, points)
    return [
        Step(since, LISTED, {"contact_point": points[entry.fingerprint], "right": entry.right})
        for entry, since in found
    ]


async def _steps(tx: UnitOfWork, done: Completed) -> Sequence[Step]:
    """What happened to the request, and to the others of the same person, which say which they are."""
    others = done.details.get("of_same_person")
    found = [_step(entry, {}) for entry in await evidence.entries(tx.connection, done.request_id)]
    for other in others if isinstance(others, list) else ():
        found += [_step(entry, {OTHER: other}) for entry in await evidence.entries(tx.connection, UUID(str(other)))]
    return found


def _step(entry: asyncpg.Record, which: Mapping[str, JsonValue]) -> Step:
    return Step(entry["at"], entry["action"], {**orjson.loads(entry["detail"]), **which})
