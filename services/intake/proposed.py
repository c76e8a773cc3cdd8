"""What one person has proposed besides an answer, in the words in which another must agree with it."""

from collections.abc import Mapping
from datetime import date
from typing import Final, Literal

from pydantic import BaseModel, Field

from services.intake import auth
from services.intake.actors import PERSON
from services.intake.auth import Caller
from services.intake.errors import NotReady
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from shared.domain.errors import Shredded
from shared.messaging.unit_of_work import UnitOfWork

Matter = Literal["extension", "weighing", "waiver"]
_READ: Final[Mapping[Matter, str]] = {
    "extension": """
SELECT reason, new_due, explanation, proposed_by FROM extension
WHERE request_id = $1 AND approved_at IS NULL AND $2::text IS NULL
""",
    "weighing": """
SELECT finding, NULL, explanation, proposed_by FROM balancing WHERE request_id = $1 AND $2::text IS NULL
""",
    "waiver": """
SELECT waiver, NULL, explanation, proposed_by FROM recipient_notice
WHERE request_id = $1 AND recipient = $2 AND waiver IS NOT NULL AND settled_at IS NULL
""",
}


class ProposedStep(BaseModel):
    """What waits for a second person besides an answer, and by whom: an extension, a finding, a waiver."""

    proposed: str = Field(description="the reason of an extension, the finding of a weighing, the cause of a waiver")
    new_due: date | None = Field(description="of an extension")
    explanation: str = Field(description="in the words that were proposed")
    proposed_by: str = Field(description="who holds the key, or has signed in")


async def read(
    tx: UnitOfWork, request: Request, caller: Caller, matter: Matter, recipient: str | None = None
) -> ProposedStep:
    """What waits for a second person; whoever reads it is on record. ``recipient``: of a waiver, whose.

    Raises:
        NotReady: nobody has proposed it, or nothing waits any more.
        Shredded: the words are no longer kept.
    """
    over = request.state is State.CLOSED and matter != "waiver"
    found = None if over else await tx.connection.fetchrow(_READ[matter], request.request_id, recipient)
    if found is None:
        raise NotReady(f"no {matter} of this request waits for a second person")
    proposed, new_due, place, by = found
    explanation = await tx.vault.open_one(tx.connection, place)
    if explanation is None:
        raise Shredded("the words of the proposal are no longer kept")
    tx.log_evidence(request.request_id, "proposal.read", {"decision": matter}, caller.actor)
    holder = await auth.holder_of(tx.connection, by) or by.removeprefix(PERSON)
    return ProposedStep(proposed=proposed, new_due=new_due, explanation=explanation.decode(), proposed_by=holder)
