"""What intake does with what it hears: close a request, or put it before a person."""

from collections.abc import Sequence
from dataclasses import replace

from services.intake import deferrals, questions, register
from services.intake.letters import Letters
from services.intake.questions import Asking
from services.intake.register import Filed
from services.intake.request import State
from shared.domain.events import (
    DeadlineApproaching,
    DeadlineOverdue,
    FulfilmentBlocked,
    FulfilmentCompleted,
    TargetMissed,
)
from shared.domain.operations import Operation
from shared.domain.time_limit_policy import Question
from shared.messaging.unit_of_work import UnitOfWork


async def complete(events: Sequence[FulfilmentCompleted], tx: UnitOfWork) -> None:
    """Every downstream has done its part: the subject has their answer, and the request is closed."""
    held = await register.hold(tx, [event.request_id for event in events])
    moved: list[Filed] = []
    for event in events:
        filed = held[event.request_id]
        if event.operation == Operation.LIFT:
            tx.log_evidence(event.request_id, "restriction.lift_completed", {"outcome": event.outcome})
        elif event.deferred:
            tx.log_evidence(
                event.request_id, "erasure.deferred_completed", {"systems": deferrals.outcomes(event.tasks)}
            )
            held[event.request_id] = replace(filed, tasks=deferrals.retold(filed.tasks, event.tasks))
            moved.append(held[event.request_id])
        elif filed.request.state is State.IN_PROGRESS:
            closed = register.close(tx, filed, filed.comes_to(event.outcome))
            moved.append(
                replace(filed, request=closed, package_id=event.package_id, tasks=register.reports(event.tasks))
            )
        elif filed.request.state is State.AWAITING_CLARIFICATION:
            tx.log_evidence(event.request_id, "completion.waits_for_reply", {"outcome": event.outcome})
            tasks = register.reports(event.tasks)
            moved.append(replace(filed, finished=event.outcome, package_id=event.package_id, tasks=tasks))
        else:
            tx.log_evidence(
                event.request_id, "completion.late", {"state": filed.request.state, "outcome": event.outcome}
            )
    await register.write(tx, moved)


async def blocked(events: Sequence[FulfilmentBlocked], tx: UnitOfWork, *, letters: Letters) -> None:
    """Nothing is called done that is not: the requester is asked by what else they are known, or a person decides.

    They are asked where nothing failed and a system could not be searched; once, unless a person asks again.
    """
    held = await register.hold(tx, [event.request_id for event in events])
    moved: list[Filed] = []
    for event in events:
        filed = held[event.request_id]
        if event.deferred:
            tx.log_evidence(event.request_id, "erasure.deferred_blocked", {"systems": deferrals.outcomes(event.tasks)})
            held[event.request_id] = replace(filed, tasks=deferrals.retold(filed.tasks, event.tasks))
            moved.append(held[event.request_id])
        elif _may_be_asked(filed, event):
            asking = Asking(Question.CLARIFICATION, letters.standing(Question.CLARIFICATION), condition_recorded=False)
            request = filed.request.to(State.AWAITING_CLARIFICATION)
            waiting_for = replace(filed, request=request, tasks=register.reports(event.tasks))
            moved.append(await questions.send(tx, letters, waiting_for, asking))
        elif filed.request.state in {State.IN_PROGRESS, State.AWAITING_CLARIFICATION}:
            waiting = filed.request.to(State.AWAITING_DECISION)
            tx.log_evidence(event.request_id, "decision.needed", {"operation": event.operation})
            moved.append(replace(filed, request=waiting, tasks=register.reports(event.tasks)))
        else:
            tx.log_evidence(event.request_id, "completion.late", {"state": filed.request.state, "blocked": True})
    await register.write(tx, moved)


def _may_be_asked(filed: Filed, event: FulfilmentBlocked) -> bool:
    fresh = filed.request.state is State.IN_PROGRESS and filed.question is None
    only_unsearched = not any(report.failure for report in event.tasks) and any(r.not_searched for r in event.tasks)
    return fresh and only_unsearched and not deferrals.unsearched(filed.tasks)


async def warn(events: Sequence[DeadlineApproaching | DeadlineOverdue], tx: UnitOfWork) -> None:
    """Show with an open request that its deadline comes near or has passed."""
    await register.warn(tx, {event.request_id: _name(event) for event in events})


async def warn_of_target(events: Sequence[TargetMissed], tx: UnitOfWork) -> None:
    """Show with an open request that a target of the staff has passed, unless its deadline is warned of already."""
    await register.warn_of_target(tx, {event.request_id: event.target for event in events})


def _name(event: DeadlineApproaching | DeadlineOverdue) -> str:
    match event:
        case DeadlineApproaching():
            return f"due_in_{event.days_left}_days"
        case DeadlineOverdue():
            return f"overdue_{event.clock}"
