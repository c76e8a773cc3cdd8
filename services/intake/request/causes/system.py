"""What the other services report about a request, and what the policy says of its dates."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import JsonValue

from services.intake.request import deferrals
from services.intake.request import reports as restrictions
from services.intake.request.closing import closing_letter, later_letter, refusal_letter
from services.intake.request.letter_kinds import LetterField
from services.intake.request.lifecycle import State
from services.intake.request.messages.kept import announced
from services.intake.request.reports import kept_from
from services.intake.request.transition import (
    MovingRequest,
    R,
    Transition,
    answered,
    closed,
    ended,
    less_owed,
    retried,
    without_reply,
)
from shared.domain import events
from shared.domain.operations import Operation, TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Term
from shared.domain.time_limit import Arrival
from shared.domain.time_limit_policy import Question

Redating = Literal["receipt_corrected", "policy_changed"]


class MovedBySystem(MovingRequest):
    """A request whose work is done or stopped, whose dates move, whose milestones come."""

    __slots__ = ()

    def let_go_of_hold(self, systems: Collection[str]) -> Transition[Self]:
        """A hold that covered it there is lifted: these systems are asked again, now.

        What another hold or rule covers they keep still. Whoever has withdrawn wants nothing erased any more.
        """
        if self.outcome is Outcome.WITHDRAWN:
            return Transition(self)
        event = events.HoldLifted.about(self, systems=tuple(sorted(systems)))
        return self.noted("hold.let_go", event, systems=[*sorted(systems)])

    def complete(self, event: events.FulfilmentCompleted, at: datetime) -> Transition[Self]:
        """Every downstream has done its part: the subject has their answer, unless a question is still open."""
        if self._is_beside(event):
            return self._done_beside(event, at)
        if event.deferred or self.lacked_a_part:
            action = "erasure.deferred_completed" if event.deferred else "part.completed"
            return _done_later(self, action, event.tasks, event.package_id)
        if not self.allows("complete"):
            return self.noted("completion.late", state=self.state, outcome=event.outcome)
        done = replace(self, tasks=self.reports_with(event.tasks), package_id=event.package_id or self.package_id)
        if self.decided is not None:
            return done.noted("completion.waits_for_report", outcome=event.outcome)
        return self._completed(done, event.outcome, at)

    def _completed(self, done: Self, outcome: Outcome, at: datetime) -> Transition[Self]:
        if self.state is not State.AWAITING_CLARIFICATION:
            return ended(done, "complete", outcome, at)
        if self.search_incomplete:  # what it was asked for is known now
            return answered(self, at).then(ended(replace(done, question=None), "complete", outcome, at))
        return replace(done, finished=outcome).noted("completion.waits_for_reply", outcome=outcome)

    def block(self, event: events.FulfilmentBlocked) -> Transition[Self]:
        """A downstream failed for good: a person must decide; nothing is called done that is not.

        Where nothing failed and not everything could be searched, the open question about that governs: its answer is
        waited for, and after its last notice the request is answered with what was found.
        """
        if event.operation == Operation.LIFT:
            return _lifted(self, "restriction.lift_blocked", event.tasks)
        if event.deferred or self.lacked_a_part:
            return _done_later(self, "erasure.deferred_blocked" if event.deferred else "part.blocked", event.tasks)
        if not self.allows("block"):
            return self.noted("completion.late", state=self.state, blocked=True)
        return self._stopped(event)

    def _stopped(self, event: events.FulfilmentBlocked) -> Transition[Self]:
        governs = self._waits_for_reply(event.tasks)
        state = State.AWAITING_CLARIFICATION if governs else State.AWAITING_DECISION
        waiting = self.moved("block", state, tasks=self.reports_with(event.tasks))
        if self.given_up and self.decided is None and deferrals.only_unsearched(event.tasks):
            return waiting.noted("search.incomplete", operation=event.operation).then(without_reply(waiting))
        action = "search.waits_for_reply" if governs else "decision.needed"
        return waiting.noted(action, operation=event.operation)

    def _waits_for_reply(self, tasks: Sequence[TaskReport]) -> bool:
        """Whether the requester is being asked for what these lack, and no person must judge anything of them."""
        asked = self.question is not None and not self.given_up and self.decided is None
        judged = deferrals.in_conflict(tasks) or any(map(deferrals.needs_judgement, tasks))
        return asked and deferrals.answerable(tasks) and not judged

    def _is_beside(self, event: events.FulfilmentCompleted) -> bool:
        """Whether what is done is not what was asked for: the restriction of a rectification, or the lift of one."""
        brought = self.right is Right.RECTIFICATION and event.operation == Operation.RESTRICT
        return brought or event.operation == Operation.LIFT

    def _done_beside(self, event: events.FulfilmentCompleted, at: datetime) -> Transition[Self]:
        if event.operation == Operation.LIFT:
            lifted = replace(self, lifted_at=at)
            return _lifted(lifted, "restriction.lift_completed", event.tasks, outcome=event.outcome)
        return replace(self, tasks=self.reports_with(event.tasks)).noted("restriction.completed", outcome=event.outcome)

    def stopped_so_far(self, event: events.FulfilmentReported) -> Transition[Self]:
        """What stops at once is stopped, while others are still asked or a person must look: it is shown, and told."""
        if self.state is State.CLOSED or not event.tasks:
            return Transition(self)
        systems: JsonValue = {report.system: report.changed for report in event.tasks if report.outcome}
        return replace(self, tasks=self.reports_with(event.tasks)).noted("use.stopped_so_far", systems=systems)

    def report(
        self, event: events.FulfilmentReported, words: Mapping[str, LetterField], at: datetime
    ) -> Transition[Self]:
        """What is done by now is known: it is answered as two persons have decided, and ``words`` say why.

        Without words it is answered since no answer has come by which the rest could be searched.

        Where something was changed meanwhile it is no refusal, and where all was done it is fulfilled. Of what was
        answered without the rest, and of what was withdrawn, it only says what had been done.
        """
        systems: JsonValue = {report.system: report.outcome or report.failure for report in event.tasks}
        if self.state is State.CLOSED and not self.owed and (self.decided or self.outcome is Outcome.WITHDRAWN):
            return self._reported_late(event.tasks, systems)
        if self.decided is None or not self.allows("report"):
            return self.noted("completion.late", state=self.state, reported=True)
        refused = self.decided is Outcome.REFUSED
        package_id = None if refused else event.package_id or self.package_id
        known = replace(self, tasks=self.reports_with(event.tasks), package_id=package_id)
        if not refused and event.tasks and not deferrals.undone(event.tasks):
            overtaken = known.noted("decision.overtaken", outcome=event.outcome)
            return overtaken.then(closed(known, "report", known.amount_to(event.outcome), at))
        asked_for = restrictions.asked_for(self.right, known.tasks)
        refused = refused and not deferrals.changed(asked_for)
        nothing = self.decided is Outcome.UNIDENTIFIED and not deferrals.found(asked_for)
        in_part = Outcome.UNIDENTIFIED if nothing else Outcome.PARTIALLY_FULFILLED
        answered = closed(known, "report", Outcome.REFUSED if refused else in_part, at)
        if not words:  # nobody has decided it: an answer did not come
            return answered
        closing = refusal_letter if refused else closing_letter
        return replace(answered, letters=closing(answered.request, words))

    def _reported_late(self, tasks: Sequence[TaskReport], systems: JsonValue) -> Transition[Self]:
        """What had been done is known; whoever has withdrawn is told where it is more than they have been told."""
        known = replace(self, tasks=self.reports_with(tasks))
        noted = known.noted("work.reported", systems=systems)
        more = deferrals.rows_changed(known.tasks) > deferrals.rows_changed(self.tasks)
        told = more and self.outcome is Outcome.WITHDRAWN and not self.anonymous
        return replace(noted, letters=closing_letter(known)) if told else noted

    def may_be_asked(self, reports: Sequence[TaskReport]) -> Question | None:
        """What the requester is asked: for proof, or by what else they are known, where nothing failed elsewhere.

        They are asked once each, unless a person asks again; and not where systems contradict one another. Nor is
        whoever has not shown who they are: the question would tell them who is a customer.
        """
        fresh = self.state is State.IN_PROGRESS and not (self.question or self.decided or self.anonymous)
        if not fresh or deferrals.in_conflict(reports) or any(map(deferrals.needs_judgement, reports)):
            return None
        if deferrals.unproved(reports):
            return None if deferrals.unproved(self.tasks) else Question.IDENTITY
        asked_before = deferrals.answerable(self.tasks)
        return Question.CLARIFICATION if deferrals.answerable(reports) and not asked_before else None

    def search_again(self, at: datetime) -> Transition[Self]:
        """More is known of whose a number was: what was left out for want of that is searched, and a question falls.

        Not where something else comes first: a suspended key, another request of the person, or the weighing of it.
        """
        closed_for_good = self.state is State.CLOSED and not self.may_be_done_later
        if self.suspended or self.postponed or closed_for_good or (self.is_weighed and not self.unsearched):
            return Transition(self)
        noted = self.noted("search.begun_again")
        if self.state is State.CLOSED:
            return noted.then(retried(self))
        asked = self.state is State.AWAITING_CLARIFICATION and self.search_incomplete
        said = answered(self, at) if asked else Transition(self)
        waits = not asked and self.question is not None and not self.given_up
        # What was asked for may be asked again: it is another search.
        left = tuple(task for task in self.tasks or () if not task.not_searched)
        left = (*kept_from(self.tasks, left), *left)
        state = State.AWAITING_CLARIFICATION if waits else State.IN_PROGRESS
        begun = self.moved("retry", state, tasks=left, question=None if asked else self.question)
        return noted.then(said).then(retried(begun))

    def controller_is_silent(self, event: events.TimerFired, controller: str) -> Transition[Self]:
        """The customer has said nothing of what was passed on to them: they are reminded, or people of ours look."""
        if self.forwarded_at is None or self.controller_replied_at is not None or not controller:
            return self.noted("controller.notice_late", notice=event.step)
        if event.step == "escalation":
            return self.noted("controller.silent", working_days=event.days)
        right = Term("right", self.right)
        fields: Mapping[str, LetterField] = {"to": controller, "forwarded_on": self.forwarded_at, "right": right}
        return replace(
            self.noted("controller.reminded", working_days=event.days),
            letters=(("controller_reminder", fields),),
        )

    def redate(
        self,
        cause: Redating,
        arrival: Arrival,
        due_on: date,
        calc_version: str,
        **why: JsonValue,
    ) -> Transition[Self]:
        """Another arrival or due date holds; a warning of a date that has moved away is no longer true."""
        arrived = {"received_at": arrival.received_at, "zones": arrival.zones, "calendar": arrival.calendar or ""}
        warning = None if due_on > self.due_on else self.warning
        moved = self.moved("redate", self.state, due_on=due_on, calc_version=calc_version, warning=warning, **arrived)
        event = events.RequestRedated.about(moved, cause=cause)
        return moved.noted("request.redated", event, cause=cause, before=self.dates, after=moved.dates, **why)

    def warn(self, warning: str) -> Transition[Self]:
        """While open, it shows its latest milestone; a missed target of the staff hides no warning of the limit."""
        graver = warning.startswith("target_") and not (self.warning or "target_").startswith("target_")
        return Transition(self if graver or self.state is State.CLOSED else replace(self, warning=warning))


def _lifted(request: R, action: str, tasks: Sequence[TaskReport], **detail: JsonValue) -> Transition[R]:
    """The request is as it was; what is not lifted, or was done by hand or at last, is shown with it."""
    before = {task.system for task in request.tasks or () if task.operation == Operation.LIFT}
    lifts = [
        task
        for task in tasks
        if task.operation == Operation.LIFT
        and (deferrals.lift_undone(task) or deferrals.concerns_hands(task) or task.system in before)
    ]
    now = {task.system for task in lifts}
    others = (t for t in request.tasks or () if t.operation != Operation.LIFT or t.system not in now)
    shown = replace(request, tasks=(*others, *lifts)) if lifts else request
    return shown.noted(action, **detail)


def _done_later(request: R, action: str, tasks: Sequence[TaskReport], package_id: UUID | None = None) -> Transition[R]:
    """``action`` is on record with what came of each system: its outcome, or why it failed.

    The subject is told with the last that was owed, and whenever what is left is not as they were told (REQ-R7).
    """
    reports = deferrals.updated(request.tasks, tasks)
    updated = replace(request, tasks=reports, package_id=package_id or request.package_id)
    systems: JsonValue = {report.system: report.outcome or report.failure for report in tasks}
    noted = updated.noted(action, *less_owed(request, updated), systems=systems)
    tells = request.goes_on and not updated.goes_on
    tells |= request.outcome is not Outcome.WITHDRAWN and not announced(request.tasks, reports)
    return replace(noted, letters=later_letter(updated)) if tells else noted
