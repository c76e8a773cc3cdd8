"""Requests about data that we only process: passed on to the customer who decides about them, never answered by us."""

from dataclasses import replace
from uuid import UUID

from pydantic import JsonValue

from services.intake import correspondence, register
from services.intake.auth import Caller
from services.intake.casework import Casework
from services.intake.letters import Letters
from services.intake.request import State
from services.intake.schemas import Forwarded
from shared.domain.errors import IllegalTransition
from shared.domain.rights import Outcome
from shared.messaging.unit_of_work import UnitOfWorkFactory


class Forwarding:
    """Closes what was passed on, and tells the subject who will answer, in one transaction."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, letters: Letters) -> None:
        self._transactions = unit_of_work
        self._letters = letters

    async def forward(self, request_id: UUID, forwarded: Forwarded, caller: Caller) -> State:
        """The controller has the request (Art. 28(3)(e)); one taken for ours that has not begun may turn out theirs."""
        async with self._transactions.begin() as tx:
            filed = await Casework.hold(tx, request_id, caller)
            request = filed.request
            if request.role == "controller" and request.state is not State.AWAITING_IDENTITY:
                raise IllegalTransition(
                    "only what a customer decides about is forwarded, and before we began to answer"
                )
            name = forwarded.controller
            place = await correspondence.seal(tx, request.subject_ref, "controller", "forwarding", name.encode())
            told = self._letters.controller(name if forwarded.may_be_named else None)
            await correspondence.write(tx, self._letters, filed, "forwarded", {"controller": told})
            detail: dict[str, JsonValue] = {"controller": str(place), "named_to_subject": forwarded.may_be_named}
            tx.log_evidence(request_id, "request.forwarded", detail, caller.actor)
            await tx.connection.execute("UPDATE request SET role = 'processor' WHERE request_id = $1", request_id)
            closed = register.close(tx, filed, Outcome.FORWARDED, caller.actor)
            await register.write(tx, [replace(filed, request=closed)])
        return closed.state
