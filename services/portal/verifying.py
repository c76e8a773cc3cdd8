"""Asking for proof, and entering what somebody has shown in the portal as proof: the same decision as the API's."""

from collections.abc import Sequence
from uuid import UUID

from services.intake.access import auth
from services.intake.actions import registry
from services.intake.actions.bodies import ContactConfirmed
from services.intake.actions.performing import Basis
from services.intake.core.errors import BadRequest, PreconditionFailed
from services.intake.core.schemas import IdentityProof, Strict, Verification
from services.intake.request.aggregate import Request
from services.portal.portal import TRIES, Works
from services.web.site import Visit
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
    return await _entered(works, request_id, "verify", Verification(proofs=tuple(proofs)))


async def confirm(works: Works, request_id: UUID, contact: Identity) -> bool:
    """Enters that the contact on file has confirmed a request; returns whether it was accepted."""
    return await _entered(works, request_id, "confirm-on-file", ContactConfirmed(address=contact.value))


async def _entered(works: Works, request_id: UUID, name: str, said: Strict) -> bool:
    caller = auth.portal(request_id)
    for _ in range(TRIES):
        seen = str((await read(works, request_id)).version)
        try:
            await registry.decide(works.services.use_cases, Basis(str(request_id), seen, caller), name, said)
        except PreconditionFailed:  # a system has reported meanwhile, and what was shown is used up
            continue
        except (IllegalTransition, BadRequest):
            return False
        return True
    return False
