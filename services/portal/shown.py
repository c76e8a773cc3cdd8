"""What somebody has shown to be theirs in this session, and whether they may follow a request by it."""

from collections.abc import Iterator

from services.intake.request.aggregate import Request
from services.portal import following
from services.portal.answers import signed_in_of
from services.portal.draft import SignedIn
from services.portal.portal import LINKED, Works
from services.web.site import Visit
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.storage.keyring import Keyring


async def may_follow(works: Works, visit: Visit, request: Request) -> bool:
    """Whether the request is proved by something that was shown in this session."""
    linked, who = visit.session.data.get(LINKED), signed_in_of(visit)
    shown = {*marks(who, works.services.unit_of_work.vault.keyring)} if who else set()
    if isinstance(linked, str):
        shown.add(bytes.fromhex(linked))
    return await proved_by(works, request, shown)


async def proved_by(works: Works, request: Request, shown: set[bytes]) -> bool:
    """Whether the request is proved by one of these marks."""
    unit_of_work = works.services.unit_of_work
    async with unit_of_work.pool.acquire() as connection:
        return await following.may_follow(connection, unit_of_work.vault, request, shown)


def marks(who: SignedIn, keyring: Keyring) -> Iterator[bytes]:
    """The keyed fingerprints of what the customer portal vouches for."""
    for kind, value in ((IdentityType.ACCOUNT_ID, who.account_id), (IdentityType.EMAIL, who.email)):
        try:
            if value:
                yield keyring.fingerprint(Identity(kind, normalise(kind, value)))
        except MalformedIdentity:
            continue
