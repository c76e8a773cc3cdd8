"""What is passed on to a customer of ours who decides about the data: to whom.

The customer's name lies sealed under the key of the correspondence; the subject reads it only if the contract allows.
"""

from collections.abc import Mapping

from pydantic import JsonValue

from services.intake.letters import correspondence
from services.intake.request.stored_request import StoredRequest
from shared.domain.sentences import Fact, say
from shared.messaging.unit_of_work import UnitOfWork

_NAMED, _UNNAMED = "named", "unnamed"


async def note(
    tx: UnitOfWork, request: StoredRequest, controller: str, *, may_be_named: bool
) -> Mapping[str, JsonValue]:
    """Keeps to whom a request goes; returns what is on record of it."""
    how = _NAMED if may_be_named else _UNNAMED
    place = await correspondence.seal(tx, request, "controller", how, controller.encode())
    return {"controller": str(place), "named_to_subject": may_be_named}


async def controller(tx: UnitOfWork, request: StoredRequest, *, to_subject: bool) -> str | None:
    """To whom a request was passed on; for the subject only if the customer may be named to them.

    Raises:
        Shredded: the correspondence has expired.
    """
    known = await tx.vault.open_kind(tx.connection, request.request_id, "controller")
    if not known:
        return None
    _, how, name = known[-1]
    return None if to_subject and how != _NAMED else name.decode()


def by_name(controller: str | None) -> Fact:
    """The customer to whom a request was passed on, by name or, where the contract forbids it, without."""
    return controller or say("forwarding.unnamed")
