"""What somebody who follows their request is told of what comes next; pure."""

from collections.abc import Iterator

from services.intake.request import deferrals
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from shared.domain.sentences import Sentence, say


def next_steps(request: Request) -> tuple[Sentence, ...]:
    """What happens next, and what they can do for it; nothing once all is answered."""
    return tuple(_next(request))


def may_withdraw(request: Request) -> bool:
    """Whether there is anything left that can be stopped: an open request, or a restriction that is in force."""
    return request.is_in_force or request.allows("withdraw")


def _next(request: Request) -> Iterator[Sentence]:
    if request.package_fault and not request.package_is_gone:
        yield say("portal_next.withheld")
    match request.state:
        case State.CLOSED | State.RESPONDED:
            if request.resumable:
                yield say("portal_next.resumable")
            return
        case State.AWAITING_IDENTITY if request.proof_conflict:
            yield say("portal_next.put_aside")
        case State.AWAITING_IDENTITY:
            by_link = "portal_next.proof_by_post" if request.channel == "post" else "portal_next.proof"
            yield say("portal_next.more_proof" if deferrals.unproved(request.tasks) else by_link)
        case State.AWAITING_CLARIFICATION:
            yield say("portal_next.question")
        case State.AWAITING_DECISION:
            yield say("portal_next.person")
        case _:
            yield say("portal_next.postponed" if request.postponed else "portal_next.at_work")
