"""Who may follow a request in the portal: whoever has shown, in this session, what the request is proved by."""

from collections.abc import Collection

from services.intake.request.aggregate import Request
from shared.domain.identities import Identity, IdentityType
from shared.domain.rights import NOTHING
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData
from shared.storage.vault import Vault

_PROVED = "SELECT proved_account, proved_email FROM request WHERE request_id = $1"


async def may_follow(connection: Connection, vault: Vault, request: Request, shown: Collection[bytes]) -> bool:
    """Whether whoever has shown these identities (keyed fingerprints) has shown one by which the request is proved.

    A request states what somebody has typed, which may be another's: to have shown such a part opens nothing of what is
    found by the rest. Where nothing is proved, nothing is found, and any part opens it.
    """
    return not (await proved_by(connection, vault, request)).isdisjoint(shown)


async def proved_by(connection: Connection, vault: Vault, request: Request) -> set[bytes]:
    """The marks of what a request is proved by; where nothing is, of all that it states."""
    known = (await vault.subject_data(connection, [request.subject_ref])).get(request.subject_ref)
    if known is None:  # after an erasure nothing else is known
        row = await connection.fetchrow(_PROVED, request.request_id)
        return {each for each in row or () if each}
    stated = stated_in(known)
    proved = [each for each in stated if each.level > NOTHING]
    return {vault.keyring.fingerprint(each) for each in proved or stated}


def stated_in(known: SubjectData) -> tuple[Identity, ...]:
    """What the requester has stated that somebody can show to be theirs."""
    return tuple(each for each in known.identities if each.source == "requester" and each.type is not IdentityType.NAME)
