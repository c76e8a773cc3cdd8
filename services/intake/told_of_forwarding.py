"""What the subject is told of what a customer of ours decides about: that it is passed on to them; pure."""

from collections.abc import Iterator
from datetime import date

from services.intake.letters import letter_date
from services.intake.stored_request import StoredRequest
from shared.domain.rights import Outcome

NOT_OURS = "Your request is about data that we process for a customer of ours, who decides about them."
_IN_PART = "A part of your request is about data that we process for a customer of ours, who decides about them."
_PASSED_ON = "We have passed that part on to them, and they will answer you about it."
_NOT_PASSED_ON = "We have not passed that part on to them yet, and tell you when we have."


def of_the_other_part(request: StoredRequest, today: date) -> Iterator[str]:
    """What becomes of the part of a request that a customer of ours decides about, if there is one."""
    if request.role != "both" or request.outcome in {Outcome.DUPLICATE, Outcome.WITHDRAWN}:
        return
    yield _IN_PART
    by = request.forward_by
    if request.forwarded_at is not None:
        yield _PASSED_ON
    elif request.outcome or request.forwarding_overdue or by is None or by < today:
        yield _NOT_PASSED_ON
    else:
        yield f"We pass that part on to them by {letter_date(by)}."
