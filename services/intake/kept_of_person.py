"""By what an earlier erasure has located whoever asks again: it had to leave something, and what led there is gone.

A ticket that told an account is erased, and the invoices of that account are kept for years. Of what is kept a copy can
be asked for (Art. 15), a restriction and an erasure too; the earlier request alone still knows by what it is found. The
same person is who has proved the same account or, where one of both has proved none, the same e-mail address.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pydantic import JsonValue

from shared.domain.events import Event, RequestVerified, RetryDecided
from shared.domain.identities import Identity
from shared.domain.levels import NOTHING
from shared.domain.proofs import highest
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.keyring import Keyring
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing

_LEFT = """
o."right" = 'erasure' AND o.state = 'closed' AND o.request_id <> r.request_id AND o.tenant IS NOT DISTINCT FROM r.tenant
AND jsonb_path_exists(coalesce(o.tasks, '[]'), '$[*] ? (@.operation == "erase" && @.outcome == "retained")')
"""
_ERASURES = f"""
SELECT r.subject_ref, o.request_id, o.subject_ref, o.proved_account
FROM request r JOIN request o ON o.proved_account = r.proved_account WHERE r.request_id = ANY($1) AND {_LEFT}
UNION ALL
SELECT r.subject_ref, o.request_id, o.subject_ref, o.proved_email
FROM request r JOIN request o ON o.proved_email = r.proved_email WHERE r.request_id = ANY($1) AND {_LEFT}
  AND (o.proved_account IS NULL OR r.proved_account IS NULL)
"""  # noqa: S608  # put together from texts of ours
_REQUESTER = "requester"
_SOURCE = "erasure"
"""Of the piece in which it is sealed; each identity has the system that has told it."""


async def search_too(tx: UnitOfWork, published: Iterable[Event]) -> None:
    """Adds to what is known of whoever begins, or is searched for again, what erasures of theirs have located."""
    begun = {event.subject: event for event in published if isinstance(event, RequestVerified | RetryDecided)}
    rows = await tx.connection.fetch(_ERASURES, [event.request_id for event in begun.values()]) if begun else []
    if not rows:
        return
    known = await tx.vault.subject_data(tx.connection, {ref for row in rows for ref in (row[0], row[2])})
    for subject, erasure, erased, mark in rows:
        if subject not in known or erased not in known:
            continue
        theirs = known[subject].identities
        located = as_proved(tx.vault.keyring, theirs, mark, known[erased].identities)
        if more := [each for each in located if _key(each) not in set(map(_key, theirs))]:
            sealing = Sealing(subject, "identities", _SOURCE, encode_identities(more))
            await tx.vault.seal(tx.connection, [sealing], tx.now)
            detail: dict[str, JsonValue] = {"request_id": str(erasure), "identities": len(more)}
            tx.log_evidence(begun[subject].request_id, "identity.kept", detail)


def as_proved(
    keyring: Keyring, theirs: Sequence[Identity], mark: bytes, erased: Sequence[Identity]
) -> Sequence[Identity]:
    """What systems had told then, each as well proved as what both requests have proved is now, at most."""
    proved = [each for each in theirs if each.level > NOTHING and keyring.fingerprint(each) == mark]
    level = highest(proved)
    return [
        replace(each, level=min(each.level, level), together=False)
        for each in erased
        if each.source != _REQUESTER and each.level > NOTHING and level > NOTHING
    ]


def _key(identity: Identity) -> tuple[object, ...]:
    return identity.type, identity.value, identity.valid_from, identity.valid_to, identity.source
