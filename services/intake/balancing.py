"""How one person proposes what the weighing of an objection finds, and another agrees (Art. 21(1))."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.intake import auth
from services.intake.auth import Caller
from services.intake.errors import NotReady
from services.intake.letters import correspondence
from services.intake.request.aggregate import Request, Transition
from services.intake.request.causes.weighing import Finding
from shared.domain.errors import IllegalTransition
from shared.domain.text import Text
from shared.messaging.unit_of_work import UnitOfWork

_PROPOSE = """
INSERT INTO balancing (request_id, finding, explanation, proposed_by, proposed_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (request_id) DO UPDATE SET finding = excluded.finding, explanation = excluded.explanation,
                                       proposed_by = excluded.proposed_by, proposed_at = excluded.proposed_at
"""


class Balancing(BaseModel):
    """What the weighing of an objection finds, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    finding: Finding = Field(
        description="`overridden`: compelling grounds that we can show override it; `legal_claims`: these do; the last"
        " three: it does not apply, since the data are not processed for legitimate interests"
    )
    explanation: Annotated[Text, Field(description="the person reads it, unless the objection is upheld")]


async def propose(tx: UnitOfWork, request: Request, caller: Caller, said: Balancing) -> Transition:
    """Keeps what one person proposes, in the place of an earlier proposal.

    Raises:
        IllegalTransition: the request is no objection that is weighed, or its data are not restricted yet.
    """
    _must_be_weighed(request)
    place = await correspondence.seal(tx, request, "explanation", "balancing", said.explanation.strip().encode())
    await tx.connection.execute(_PROPOSE, request.request_id, said.finding, place, caller.key_id, tx.now)
    return request.noted("objection.finding_proposed", finding=said.finding)


async def approve(tx: UnitOfWork, request: Request, caller: Caller) -> Transition:
    """Takes the word of a second person: what the first has proposed is found.

    Raises:
        NotReady: nobody has proposed anything.
        IllegalTransition: as above, or it is the word of the first.
    """
    _must_be_weighed(request)
    row = await tx.connection.fetchrow(
        "SELECT finding, explanation, proposed_by FROM balancing WHERE request_id = $1", request.request_id
    )
    if row is None:
        raise NotReady("nobody has proposed what the weighing of this objection finds")
    finding, place, proposed_by = row
    if caller.holder == (await auth.holder_of(tx.connection, proposed_by) or proposed_by):
        raise IllegalTransition("you have proposed this: it takes two persons, so somebody else must approve it")
    explanation = (await tx.vault.open_one(tx.connection, place) or b"").decode()
    return request.weigh(finding, explanation, proposed_by, tx.now)


def _must_be_weighed(request: Request) -> None:
    if not request.is_weighed:
        raise IllegalTransition("only an objection to what is done for legitimate interests is weighed")
    request.must_allow("weigh")
