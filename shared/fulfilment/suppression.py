"""Puts what is known of a subject onto the list of contact points that get no marketing (Art. 21(3))."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from shared.domain.identities import Identity
from shared.domain.rights import Right
from shared.fulfilment.by_stated import listed
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import suppression
from shared.storage.suppression import CHANNELS, Entry


async def suppress(tx: UnitOfWork, known: Mapping[UUID, Iterable[Identity]], right: Right, *, located: bool) -> None:
    """Adds every contact point among these, by request, as a keyed hash.

    ``located``: these are not just what the requester has stated, but what systems have named of them as well. Then it
    is on record only where it adds something.
    """
    fingerprint = tx.vault.keyring.fingerprint
    entries = {
        Entry(fingerprint(identity), request_id, right, CHANNELS[identity.type])
        for request_id, identities in known.items()
        for identity in listed(identities)
        if identity.type in CHANNELS
    }
    added = await suppression.add(tx.connection, entries, tx.now)
    for request_id in known:
        if added[request_id] or not located:
            detail = {"contact_points": added[request_id], "located": located}
            tx.log_evidence(request_id, "suppression.added", {**detail})
