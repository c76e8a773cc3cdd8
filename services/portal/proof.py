"""Proofs of a session, by a link, a code or a sign-in, and the requests that it may follow."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from services.intake.access import auth
from services.intake.actions import registry
from services.intake.actions.bodies import ContactConfirmed
from services.intake.actions.execution import SeenVersion
from services.intake.core.errors import BadRequest, PreconditionFailed
from services.intake.core.schemas import IdentityProof, Strict, Verification
from services.intake.request.aggregate import Request
from services.portal.draft import PortalSignIn, vouched
from services.portal.portal import LINKED, TRIES, PortalContext
from services.web.site import Visit
from shared.domain.errors import IllegalTransition
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.rights import NOTHING

_PROVED = "SELECT hash FROM request_lookup WHERE request_id = $1 AND proved"


def link_id(visit: Visit, form: str) -> UUID:
    """Returns the ID of the link that a form of this session asks for; a double click asks for the same link."""
    return UUID(hex=visit.session.mark(f"link {form}")[:32])


def signed_in_of(visit: Visit) -> PortalSignIn | None:
    """Returns who has signed in at the customer portal, in this session."""
    said = visit.session.data.get("signed_in")
    return PortalSignIn.model_validate(said) if said else None


async def read(context: PortalContext, request_id: UUID) -> Request:
    """Reads a request for the person who has proved that it is theirs."""
    return await context.services.use_cases.read(request_id, auth.portal_caller(request_id))


async def may_follow(context: PortalContext, visit: Visit, request: Request) -> bool:
    """Returns whether this session has shown an identity by which the request is proved.

    A request states what was typed, which may belong to another person. So a stated part opens nothing that was
    found by the proved parts. Where nothing is proved, nothing is found, and any part opens the request.
    """
    linked, who = visit.session.data.get(LINKED), signed_in_of(visit)
    shown = {bytes.fromhex(linked)} if isinstance(linked, str) else set()
    if shown and await _is_proved_by(context, request, shown):
        return True
    return who is not None and await vouches(context, request, who)


async def vouches(context: PortalContext, request: Request, who: PortalSignIn) -> bool:
    """Returns whether the request is proved by the account or the address that has signed in."""
    return await _is_proved_by(context, request, {*_marks(context, who)})


async def vouched_of(context: PortalContext, request: Request, who: PortalSignIn) -> list[IdentityProof]:
    """Returns what the customer portal vouches for of what the request states."""
    return vouched(who, await _stated(context, request) or ())


async def verify(context: PortalContext, request_id: UUID, proofs: Sequence[IdentityProof]) -> bool:
    """Records proofs and returns whether they were accepted.

    They are refused where more is needed, nothing waits for proof, or another person has proved a part before.
    """
    if not proofs:
        return False
    return await _entered(context, request_id, "verify", Verification(proofs=tuple(proofs)))


async def confirm(context: PortalContext, request_id: UUID, contact: Identity) -> bool:
    """Records that the contact on file has confirmed a request; returns whether that was accepted."""
    return await _entered(context, request_id, "confirm-on-file", ContactConfirmed(address=contact.value))


async def _entered(context: PortalContext, request_id: UUID, name: str, said: Strict) -> bool:
    caller = auth.portal_caller(request_id)
    for _ in range(TRIES):
        seen = str((await read(context, request_id)).version)
        try:
            await registry.decide(context.services.use_cases, SeenVersion(str(request_id), seen, caller), name, said)
        except PreconditionFailed:  # a system has reported meanwhile; the link is used up and cannot be sent again
            continue
        except (IllegalTransition, BadRequest):
            return False
        return True
    return False


async def _is_proved_by(context: PortalContext, request: Request, shown: set[bytes]) -> bool:
    unit_of_work, stated = context.services.unit_of_work, await _stated(context, request)
    if stated is None:  # after an erasure only the marks are left
        return not shown.isdisjoint(row[0] for row in await unit_of_work.pool.fetch(_PROVED, request.request_id))
    known = [each for each in stated if each.type is not IdentityType.NAME]
    proved = [each for each in known if each.level > NOTHING]
    return not shown.isdisjoint(map(unit_of_work.vault.keyring.fingerprint, proved or known))


async def _stated(context: PortalContext, request: Request) -> tuple[Identity, ...] | None:
    """Returns the identities that the requester has stated; None after an erasure."""
    unit_of_work = context.services.unit_of_work
    async with unit_of_work.pool.acquire() as connection:
        known = (await unit_of_work.vault.subject_data(connection, [request.subject_ref])).get(request.subject_ref)
    return tuple(each for each in known.identities if each.source == "requester") if known else None


def _marks(context: PortalContext, who: PortalSignIn) -> Iterator[bytes]:
    """Returns the keyed fingerprints of what the customer portal vouches for."""
    for kind, value in ((IdentityType.ACCOUNT_ID, who.account_id), (IdentityType.EMAIL, who.email)):
        try:
            if value:
                yield context.services.unit_of_work.vault.keyring.fingerprint(Identity(kind, normalise(kind, value)))
        except MalformedIdentity:
            continue
