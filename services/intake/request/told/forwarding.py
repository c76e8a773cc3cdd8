"""What the subject is told of what a customer of ours decides about: that it is passed on to them; pure."""

from collections.abc import Iterator
from datetime import date

from services.intake.request.stored_request import StoredRequest
from shared.domain.rights import Outcome
from shared.domain.sentences import Sentence, say


def of_the_other_part(request: StoredRequest, today: date) -> Iterator[Sentence]:
    """What becomes of the part of a request that a customer of ours decides about, if there is one."""
    if request.role != "both" or request.outcome in {Outcome.DUPLICATE, Outcome.WITHDRAWN}:
        return
    yield say("forwarding.in_part")
    by = request.forward_by
    if request.forwarded_at is not None:
        yield say("forwarding.passed_on")
    elif request.outcome or request.forwarding_overdue or by is None or by < today:
        yield say("forwarding.not_passed_on")
    else:
        yield say("forwarding.passed_on_by", day=by)
