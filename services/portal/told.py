"""What somebody who follows their request is told of what comes next, and of what was found where; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from services.intake.request import deferrals
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.request.reports import Covered
from shared.domain.operations import TaskOutcome
from shared.domain.sentences import Fact, Sentence, Term, named_system, say

_SEARCHED: Final = frozenset(
    {
        *(TaskOutcome.EXPORTED, TaskOutcome.ERASED, TaskOutcome.AMENDED, TaskOutcome.RETAINED),
        *(TaskOutcome.NO_MATCH, TaskOutcome.UNCHANGED),
    }
)
"""What came of it where a search has come to its end."""
_COUNTS_ZERO: Final = frozenset({TaskOutcome.NO_MATCH, TaskOutcome.UNCHANGED})


@dataclass(frozen=True, slots=True)
class Found:
    """A line of what was found where: a system, a kind of data, and how many records or that nobody can count them."""

    system: Fact
    kind: Fact
    count: Fact


def found_where(covered: Iterable[Covered]) -> tuple[Found, ...]:
    """Every kind of data that was searched, once, with what was found of it, whatever was done with that."""
    places: dict[tuple[str, str], list[Covered]] = {}
    for each in covered:
        if each.category or each.result in _SEARCHED:
            places.setdefault((each.system, each.category or ""), []).append(each)
    return tuple(_found(places[place]) for place in sorted(places))


def _found(there: list[Covered]) -> Found:
    first, most = there[0], max(each.found for each in there)
    counted = most or all(each.category or each.result in _COUNTS_ZERO for each in there)
    kind = Term("category", first.category) if first.category else say("portal.found_any_kind")
    return Found(named_system(first.system), kind, most if counted else say("portal.found_uncounted"))


def next_steps(request: Request) -> tuple[Sentence, ...]:
    """What happens next, and what they can do for it; nothing once all is answered."""
    return tuple(_next(request))


def may_withdraw(request: Request) -> bool:
    """Whether there is anything left that can be stopped: an open request, or a restriction that is in force."""
    return request.is_in_force or request.allows("withdraw")


def may_sign_in(request: Request) -> bool:
    """Whether a sign-in would prove more: also after what was proved first, where a part needs a second factor."""
    waits = request.state is State.AWAITING_DECISION or request.resumable
    return request.state is State.AWAITING_IDENTITY or (waits and bool(deferrals.unproved(request.tasks)))


def _next(request: Request) -> Iterator[Sentence]:
    if request.package_fault and not request.package_is_gone:
        yield say("portal_next.withheld")
    match request.state:
        case State.CLOSED:
            if may_sign_in(request):
                yield say("portal_next.more_proof")
            elif request.resumable:
                yield say("portal_next.resumable")
            return
        case State.AWAITING_IDENTITY:
            by_link = "portal_next.proof_by_post" if request.channel == "post" else "portal_next.proof"
            yield say("portal_next.more_proof" if deferrals.unproved(request.tasks) else by_link)
        case State.AWAITING_CLARIFICATION:
            yield say("portal_next.question")
        case State.AWAITING_DECISION if may_sign_in(request):
            yield say("portal_next.more_proof")
            yield say("portal_next.person_meanwhile")
        case State.AWAITING_DECISION:
            yield say("portal_next.person")
        case _:
            asks = request.question is not None and not request.awaits_proof
            work = "portal_next.question_at_work" if asks else "portal_next.at_work"
            yield say("portal_next.postponed" if request.postponed else work)
