"""Postpones an erasure for other requests of the same person (G1).

It is checked once the person's records are located, and again before waiting work continues. By then every address and
account is known, which was not the case at submission.
"""

from collections.abc import Sequence
from uuid import UUID

from shared.app.service import Service
from shared.domain.events import FulfilmentPostponed
from shared.domain.identities import Identity, marked_as_shared
from shared.domain.precedence import RequestKind, RequestMarks
from shared.domain.proofs import proved
from shared.domain.rights import Level, Right
from shared.fulfilment.store import FulfilmentResult
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import open_requests

_BEFORE = frozenset({RequestKind.COPY, RequestKind.RESTRICTION})
_LEAST: Level = "L1"
"""The least assurance level: a stated identity without proof may belong to another person."""


def join(service: Service) -> None:
    """Registers the check that runs before an erasure."""
    service.fulfilments.must_wait = postponed


async def postponed(tx: UnitOfWork, waiting: Sequence[FulfilmentResult]) -> set[UUID]:
    """Returns the fulfilments that must wait, and publishes the reason; enters the others as begun.

    A requested copy comes first. A restriction that is requested or in force opposes the erasure.
    """
    known = await tx.vault.subject_data(tx.connection, [each.subject_ref for each in waiting])
    marks = {
        each.request_id: RequestMarks.of(tx.vault.keyring, _theirs(known[each.subject_ref].identities))
        for each in waiting
        if each.subject_ref in known
    }
    others = await open_requests.find_others(tx.connection, marks, _BEFORE)
    held: set[UUID] = set()
    for each in waiting:
        first = () if each.details.get("regardless") else others.get(each.request_id, ())
        if first:
            held.add(each.fulfilment_id)
            ids = tuple(other.request_id for other in first)
            opposed = any(other.kind is RequestKind.RESTRICTION for other in first)
            tx.log_evidence(
                each.request_id, "fulfilment.postponed", {"awaits": [str(request_id) for request_id in ids]}
            )
            tx.publish(FulfilmentPostponed.about(each, operation="erase", awaits=ids, opposed=opposed))
    begun = [each.request_id for each in waiting if each.fulfilment_id not in held and each.right is Right.ERASURE]
    await open_requests.begin(tx.connection, {each: marks.get(each, RequestMarks()) for each in begun})
    return held


def _theirs(known: Sequence[Identity]) -> list[Identity]:
    """Returns proved or located identities that are not shared; a family's address identifies no one."""
    return [each for each in proved(marked_as_shared(known, known), _LEAST) if not each.shared]
