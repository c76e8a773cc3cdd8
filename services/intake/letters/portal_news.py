"""Whoever reads their letters in the portal is written to when there is something to read: that there is, no more."""

from collections.abc import Iterable

from services.intake.request.letter_kinds import LetterOf
from services.intake.request.stored_request import StoredRequest
from services.portal.settings import PortalSettings
from shared.domain.identities import Identity, IdentityType
from shared.domain.levels import NOTHING
from shared.messaging.unit_of_work import UnitOfWork


async def notices(tx: UnitOfWork, written: Iterable[StoredRequest]) -> list[tuple[StoredRequest, LetterOf]]:
    """The mails for those of the requests, of which letters are written, that are answered in the portal.

    They go to the address that was proved, if one was: to any other nobody is written to twice (REQ-S5).
    """
    asked = {each.request_id: each for each in written if each.channel == "portal"}
    settings = PortalSettings() if asked else None
    if settings is None or not settings.url:
        return []
    known = await tx.vault.subject_data(tx.connection, [each.subject_ref for each in asked.values()])
    return [
        (request, ("portal_news", {"to": address, "link": f"{settings.url}/portal/{request.language}/follow"}))
        for request in asked.values()
        if request.subject_ref in known and (address := proved(known[request.subject_ref].identities))
    ]


async def reaches(tx: UnitOfWork, request: StoredRequest) -> bool:
    """Whether a mail can say that there is something to read: to an address that they have shown to be theirs."""
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
    return known is not None and proved(known.identities) is not None


def proved(identities: Iterable[Identity]) -> str | None:
    """The first address that the requester has stated, and has shown to be theirs; pure."""
    stated = (each for each in identities if each.type is IdentityType.EMAIL and each.source == "requester")
    return next((each.value for each in stated if each.level > NOTHING), None)
