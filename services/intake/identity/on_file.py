"""The contact on file of an account, as staff look it up: asked by a link whether the request is theirs."""

from typing import Final

from services.intake.errors import BadRequest
from services.intake.identity.proof_links import ProofLinks, Used
from services.intake.letters import correspondence
from services.intake.request.aggregate import Request
from shared.domain.errors import IllegalTransition
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.levels import NOTHING
from shared.messaging.unit_of_work import UnitOfWork

METHOD: Final = "contact_on_file"
"""The method of the policy, and the kind of the sealed address."""
_FIELD: Final = "contact_on_file"


async def ask(tx: UnitOfWork, request: Request, links: ProofLinks, address: str) -> None:
    """Seals the address with the letters of the request, and sends a proof link there.

    A staff member who enters an address of their own would get the data of another: so, as with proof by hand, a second
    person must look the address up and approve it.

    Raises:
        BadRequest: it is no address, or the request names no account.
        IllegalTransition: a part of the request is proved, so a proof of the account would not count.
    """
    request.must_be_ours()
    try:
        contact = normalise(IdentityType.EMAIL, address)
    except MalformedIdentity:
        raise BadRequest("that is no e-mail address: write it as ada@example.org", _FIELD) from None
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
    stated = [each for each in known.identities if each.source == "requester"] if known else []
    if not any(each.type is IdentityType.ACCOUNT_ID for each in stated):
        raise BadRequest("the request names no account, so no contact is on file for it: leave it out", _FIELD)
    if any(each.level > NOTHING for each in stated):
        raise IllegalTransition("a part of the request is proved: revoke that proof first (revoke-proof)")
    await correspondence.seal(tx, request, METHOD, "", contact.encode())
    await links.write_to(tx, request, contact)


async def of_link(tx: UnitOfWork, used: Used) -> Identity | None:
    """Returns the contact on file to which the link went; None where it went to an address that the requester gave."""
    for _, _, content in await tx.vault.open_kind(tx.connection, used.request_id, METHOD):
        contact = Identity(IdentityType.EMAIL, content.decode(), source="requester")
        if tx.vault.keyring.fingerprint(contact) == used.address:
            return contact
    return None
