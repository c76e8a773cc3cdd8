"""Asking for proof, and entering what somebody has shown in the portal as proof: the same decision as the API's."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from services.intake import auth, schemas
from services.intake.errors import BadRequest, PreconditionFailed
from services.intake.portal.portal import TRIES, Works
from services.intake.request.aggregate import Request
from services.intake.schemas import IdentityProof
from services.intake.versions import Basis, Decided
from services.intake.web.site import Visit
from shared.domain.errors import IllegalTransition
from shared.domain.identities import Identity


def link_id(visit: Visit, form: str) -> UUID:
    """The id of the link that a form asks for, in this session: sent twice, as by a double click, it is one link."""
    return UUID(hex=visit.session.mark(f"link {form}")[:32])


async def read(works: Works, request_id: UUID) -> Request:
    """The request that somebody has shown to be theirs."""
    return await works.services.use_cases.read(request_id, auth.portal(request_id))


async def verify(works: Works, request_id: UUID, proofs: Sequence[IdentityProof]) -> bool:
    """Enters what is proved at once; returns whether it was accepted.

    It is not where more is needed, nothing waits for proof, or another person has proved a part before.
    """
    if not proofs:
        return False
    said = schemas.Verification(proofs=tuple(proofs))
    return await _entered(works, request_id, lambda basis: works.services.use_cases.verify(basis, said))


async def confirm(works: Works, request_id: UUID, contact: Identity) -> bool:
    """Enters that the contact on file has confirmed a request; returns whether it was accepted."""
    return await _entered(works, request_id, lambda basis: works.services.use_cases.confirm_on_file(basis, contact))


async def _entered(works: Works, request_id: UUID, enter: Callable[[Basis], Awaitable[Decided]]) -> bool:
    caller = auth.portal(request_id)
    for _ in range(TRIES):
        try:
            await enter(Basis(request_id, (await read(works, request_id)).version, caller))
        except PreconditionFailed:  # a system has reported meanwhile, and what was shown is used up
            continue
        except (IllegalTransition, BadRequest):
            return False
        return True
    return False
