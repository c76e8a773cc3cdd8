"""What may be told of a request to whoever has asked; pure."""

from dataclasses import replace
from typing import Any, TypeVar

from services.intake.request.lifecycle import State
from services.intake.request.stored_request import StoredRequest
from shared.domain.rights import Outcome

R = TypeVar("R", bound=StoredRequest)


def as_told(request: R) -> R:
    """The request without what tells who is a customer, where it is an anonymous one (REQ-S5).

    It looks the same for an address that we know and for one that somebody has made up.
    """
    if not request.anonymous:
        return request
    ended = request.state is State.CLOSED
    outcome = Outcome.WITHDRAWN if request.outcome is Outcome.WITHDRAWN else Outcome.FULFILLED
    nothing: dict[str, Any] = dict.fromkeys(("tasks", "question", "warning", "decided", "finished"))
    state = State.CLOSED if ended else State.IN_PROGRESS
    return replace(request, state=state, outcome=outcome if ended else None, owed=False, resumable=False, **nothing)
