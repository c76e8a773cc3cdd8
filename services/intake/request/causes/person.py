"""Moves of a request that the privacy team decides: answers, questions, limits, packages, objections."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import JsonValue

from services.intake.request import deferrals, reports
from services.intake.request.closing import done, later_letter, lifting_letter
from services.intake.request.letter_kinds import LetterField, LetterOf
from services.intake.request.lifecycle import State
from services.intake.request.reasons import OUTCOMES, Answering
from services.intake.request.stored_request import OpenQuestion
from services.intake.request.transition import (
    MovingRequest,
    R,
    Transition,
    answered,
    closed,
    less_owed,
    lifted,
    retried,
    verified,
)
from shared.domain import events
from shared.domain.errors import IllegalTransition, SystemRetired
from shared.domain.operations import Change, Limit, Operation, TaskOutcome, TaskReport
from shared.domain.proofs import Action, action_of
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Fact, named_system, say
from shared.domain.time_limit_policy import Question

_ASKED: Mapping[Question, tuple[str, State]] = {
    Question.IDENTITY: ("ask_identity", State.AWAITING_IDENTITY),
    Question.CLARIFICATION: ("ask_meaning", State.AWAITING_CLARIFICATION),
}
_COPIES = frozenset({Right.ACCESS, Right.PORTABILITY})
"""What changes nothing in any system, so that it may be refused while it is worked on."""
_BY_HAND: Mapping[str, TaskOutcome] = {
    Operation.LOCATE: TaskOutcome.LOCATED,
    Operation.EXPORT: TaskOutcome.EXPORTED,
    Operation.ERASE: TaskOutcome.ERASED,
}
"""What comes of it where something is found; of any other operation, that it was amended."""
_IN_FORCE = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED, Outcome.ASSISTED})


class MovedByPerson(MovingRequest):
    """A request about which somebody asks, tries again, confirms, decides, forwards, lifts, extends."""

    __slots__ = ()

    def ask(  # each of them is said with it
        self,
        asked: Question,
        question_id: UUID,
        words: str,
        at: datetime,
        *,
        recorded: bool,
        own: bool = False,
    ) -> Transition[Self]:
        """A question is sent, one at a time; a clarification never stops work that has begun (REQ-T10).

        ``recorded``: reasonable doubt (Art. 12(6)), or a large quantity of data (Recital 63), is on file. ``own``: a
        person has worded it.
        """
        if self.question is not None:
            raise IllegalTransition("a question is open already; wait for its answer")
        (cause, state), about = _ASKED[asked], str(asked)
        if asked is Question.IDENTITY and self.awaits_proof:
            cause, about = "ask_proof", "proof"
        elif asked is Question.CLARIFICATION and own and recorded:
            about = "meaning"
        question = OpenQuestion(question_id, at, own_words=own, condition_recorded=recorded)
        request = self.moved(cause, state, question=question)
        sent = events.QuestionSent.about(
            self, question_id=question_id, question=asked.value, asked_at=at, condition_recorded=recorded
        )
        noted = request.noted("question.sent", sent, question=asked, condition_recorded=recorded)
        return replace(noted, letters=(("question", {"about": about, "question": words}),))

    def take_question_back(self) -> Transition[Self]:
        """A question about who they are is asked no more, and no time limit has stopped for it: it may be asked anew.

        Raises:
            IllegalTransition: no such question is open.
        """
        question = self.question
        if question is None or not self.allows("answer_identity"):
            raise IllegalTransition("no question about who they are is open: nothing is to be taken back")
        event = events.QuestionAnswered.about(self, question_id=question.question_id, answered_at=question.asked_at)
        moved = self.moved("answer_identity", self.state, question=None)
        published = () if question.untold else (event,)
        return moved.noted("question.taken_back", *published, question_id=str(question.question_id))

    def retry(self) -> Transition[Self]:
        """A person wants what is not done tried again; once it was answered, what is still to be done.

        A question stays open meanwhile.
        """
        if self.may_be_done_later:
            return self.noted("decision.made", decision="retry", deferred=True).then(retried(self))
        if self.state is State.AWAITING_CLARIFICATION and not self.search_incomplete:
            raise IllegalTransition(f"a request that is {self.state} does not wait for a decision")
        self.must_be_ours()
        decided = self.noted("decision.made", decision="retry")
        waits = decided.request.question is not None and not self.given_up
        state = State.AWAITING_CLARIFICATION if waits else State.IN_PROGRESS
        return decided.then(retried(decided.request.moved("retry", state)))

    def resume(self) -> Transition[Self]:
        """The API key is released: the erasure begins. One that is closed or waits for proof only loses its mark."""
        free = replace(self, suspended=False).noted("erasure.released")
        if self.state in {State.CLOSED, State.AWAITING_IDENTITY}:
            return free
        self.must_allow("resume")
        return free.then(verified(free.request))

    def found_beyond(self, system: str, limit: Limit) -> int:
        """The most that a task of that system has found beyond that limit; 0 where none waits because of it."""
        beyond = [t.exceeded for t in self.tasks or () if t.system == system and t.exceeded]
        return max((each.found for each in beyond if each.limit is limit), default=0)

    def exceed(self, system: str, limit: Limit, proposed_by: str, holder: str) -> Transition[Self]:
        """Two people let a task touch what it has found beyond a limit: it goes on.

        Raises:
            IllegalTransition: no task waits for that.
        """
        self.must_allow("confirm_deferred" if self.may_be_done_later else "confirm")
        known = tuple(self.tasks or ())
        stopped = [t for t in known if t.system == system and t.exceeded and t.exceeded.limit is limit]
        found = self.found_beyond(system, limit)
        if not stopped or not (beyond := stopped[0].exceeded):
            raise IllegalTransition(f"no task of {system} waits because of {limit}: exceeded says which task does")
        tasks = tuple(t.model_copy(update={"exceeded": None}) if t in stopped else t for t in known)
        state = State.IN_PROGRESS if self.state is State.AWAITING_DECISION else self.state
        request = replace(self, state=state, tasks=tasks)
        event = events.LimitConfirmed.about(request, system=system, limit=limit, at_most=found)
        numbers: dict[str, JsonValue] = {"limit": limit, "found": found, "allowed": beyond.allowed}
        said: dict[str, JsonValue] = {"system": system, **numbers, "holder": holder, "proposed_by": proposed_by}
        return request.noted("limit.confirmed", event, **said)

    def record(self, system: str, found: int, changed: int, **detail: JsonValue) -> Transition[Self]:
        """A person has done by hand what that system cannot do, and looked again; what waited for that goes on.

        Raises:
            IllegalTransition: nothing waits there for a person.
        """
        self.must_be_ours()
        self.must_allow("record_late" if self.state is State.CLOSED else "record")
        todo = next((t for t in self.tasks or () if t.system == system and deferrals.may_be_done_by_hand(t)), None)
        if todo is None:
            raise IllegalTransition(
                f"nothing in {system} waits to be done by hand: that is what it cannot do or has not lifted. What a"
                " limit has stopped, or rows of others: two people let it go on (exceed-limit) or answer in part"
            )
        if todo.operation not in {Operation.LOCATE, Operation.EXPORT} and changed < found:
            left = f"{found - changed} of {found} are left in {system}"
            raise IllegalTransition(f"{left}: enter it when all is done; where that cannot be, answer in part")
        outcome = _BY_HAND.get(todo.operation, TaskOutcome.AMENDED) if found else TaskOutcome.NO_MATCH
        known = {"task_id": todo.task_id, "system": system, "operation": todo.operation}
        counts: dict[str, JsonValue] = {"outcome": outcome, "found": found, "changed": changed}
        done = TaskReport.model_validate({**known, **counts, "by_hand": True, "not_asked": todo.not_asked})
        request = replace(self, tasks=tuple(done if task is todo else task for task in self.tasks or ()))
        event = events.TaskRecorded.about(request, task=done)
        published = (event, *less_owed(self, request))
        noted = request.noted("task.recorded", *published, system=system, operation=todo.operation, **counts, **detail)
        return replace(noted, letters=later_letter(request)) if self.goes_on and not request.goes_on else noted

    def must_allow_to(self, decision: Answering) -> None:
        """Checks that two persons may decide that now.

        Whoever objects to marketing cannot be refused (Art. 21(3)), nor can what is being done or was done in part:
        that is answered in part, and says what was done.

        Raises:
            IllegalTransition: it cannot be decided.
        """
        self.must_be_ours()
        self.must_allow("decide")
        if self.decided is not None:
            raise IllegalTransition("two persons have decided how it is answered; it is closed in a moment")
        if self.state is State.AWAITING_CLARIFICATION and not self.search_incomplete:
            raise IllegalTransition("a question is open: its answer, or the last notice, comes first")
        not_begun = self.postponed or self.suspended
        if decision == "answer_in_part":
            if not_begun:
                raise IllegalTransition("nothing of it has begun, so nothing is answered in part: refuse it, or wait")
            return
        if self.right is Right.OBJECTION and self.scope == "direct_marketing":
            raise IllegalTransition("an objection to direct marketing cannot be refused (Art. 21(3))")
        if self.right is Right.CONSENT_WITHDRAWAL:
            raise IllegalTransition("a withdrawal of consent cannot be refused (Art. 7(3))")
        if self.state is State.IN_PROGRESS and self.right not in _COPIES and not not_begun:
            raise IllegalTransition("it is being done: it cannot be refused any more; answer it in part")
        if changed := deferrals.changed(reports.asked_for(self.right, self.tasks)):
            raise IllegalTransition(f"it was done in part, in {', '.join(changed)}: answer it in part")

    def decide(
        self, decision: Answering, reason: str, article: str, proposed_by: str, at: datetime, *, owed: bool
    ) -> Transition[Self]:
        """Two persons have decided how to answer it; it is answered as soon as it is known what is done."""
        self.must_allow_to(decision)
        said: dict[str, JsonValue] = {"reason": reason, "article": article, "owed": owed}
        approved = _decided(self, decision, at, **said, proposed_by=proposed_by)
        outcome = OUTCOMES[decision]
        request = approved.request.moved(
            "decide", State.IN_PROGRESS, decided=outcome, owed=owed, suspended=False, postponed=False
        )
        return approved.then(Transition(request, (events.AnswerDecided.about(request, outcome=outcome, owed=owed),)))

    def forward(self, answered_by: Fact, at: datetime, **detail: JsonValue) -> Transition[Self]:
        """The customer who decides about the data has it (Art. 28(3)(e)); what was taken for ours may turn out theirs.

        ``answered_by``: how the subject is told who answers.
        """
        if self.role == "controller" and self.state is not State.AWAITING_IDENTITY:
            raise IllegalTransition("only what a customer decides about is forwarded, and before we began to answer")
        told: LetterOf = ("forwarded", {"controller": answered_by, "forwarded_on": at})
        theirs = replace(self, role="processor", forwarded_at=at)
        event = events.RequestForwarded.about(theirs)
        noted = replace(theirs.noted("request.forwarded", event, **detail), letters=(told,))
        return noted.then(closed(theirs, "forward", Outcome.FORWARDED, at))

    def hear_controller(self, at: datetime, **detail: JsonValue) -> Transition[Self]:
        """The customer to whom it was passed on has said how they go on, and is reminded no more."""
        if self.forwarded_at is None:
            raise IllegalTransition("it was not passed on to a customer")
        if self.controller_replied_at is not None:
            raise IllegalTransition("the customer has replied before")
        request = self.moved_in_place("hear_controller", controller_replied_at=at)
        return request.noted("controller.replied", events.ControllerReplied.about(request, replied_at=at), **detail)

    def lift(self, at: datetime) -> Transition[Self]:
        """A restriction is to be lifted: the subject is told before any system is changed (Art. 18(3))."""
        in_force = self.right is Right.RESTRICTION and self.outcome in _IN_FORCE
        beside = self.right is not Right.RESTRICTION and self.restricts and self.state is State.CLOSED
        if not (in_force or beside):
            raise IllegalTransition("only a restriction that is in force can be lifted")
        if self.lifted_at is not None:
            raise IllegalTransition("it has been lifted")
        return replace(lifted(self, at), letters=(lifting_letter(self, "decided", lifted_on=at),))

    def extend(
        self,
        due_on: date,
        reason: str,
        words: Mapping[str, LetterField],
        at: datetime,
        proposed_by: str,
        *,
        tell_before: datetime,
        **more: JsonValue,
    ) -> Transition[Self]:
        """Two persons agree that it needs more time; ``words``: what the subject is told of it (Art. 12(3)).

        ``tell_before``: told later than that, it is none.
        """
        request = self.moved("extend", self.state, due_on=due_on, extended=True)
        event = events.RequestExtended.about(request, reason=reason, told_at=at)
        detail: dict[str, JsonValue] = {"reason": reason, "due_on": due_on.isoformat(), "proposed_by": proposed_by}
        detail |= {**more, "due_before": self.due_on.isoformat(), "tell_before": tell_before.isoformat()}
        noted = request.noted("extension.approved", event, **detail)
        return replace(noted, letters=(("extension", {**words, "new_due": due_on}),))

    def out_of_reach(self, system: str) -> tuple[TaskReport, ...]:
        """What is missing in a system that was retired.

        Raises:
            IllegalTransition: nothing is missing there for that reason.
        """
        self.must_be_ours()
        self.must_allow("record_late" if self.state is State.CLOSED else "record")
        parts = tuple(t for t in self.tasks or () if t.system == system and deferrals.is_undone(t))
        if not any(task.failure == SystemRetired.code for task in parts):
            raise IllegalTransition(
                f"nothing is missing in {system} since it was retired: try again, or answer in part"
            )
        return parts

    def end_part(
        self, system: str, reason: str, article: str, proposed_by: str, words: Mapping[str, LetterField]
    ) -> Transition[Self]:
        """Two persons have said it: what is missing there ends, what waited for it goes on, and the subject is told.

        ``words``: what the letter says of the reason.
        """
        ended = {task.task_id: _ended(task, reason) for task in self.out_of_reach(system)}
        request = replace(self, tasks=tuple(ended.get(task.task_id, task) for task in self.tasks or ()))
        recorded = [events.TaskRecorded.about(request, task=task) for task in ended.values()]
        published = (*recorded, *less_owed(self, request))
        said = {"decision": "end_part", "system": system, "reason": reason, "article": article}
        noted = request.noted("decision.made", *published, **said, proposed_by=proposed_by)
        told: LetterOf = ("update", {**words, "about": "part_ended", "system": named_system(system)})
        answered = later_letter(request) if self.goes_on and not request.goes_on else ()
        return replace(noted, letters=(told, *answered))


def _ended(task: TaskReport, reason: str) -> TaskReport:
    known = {name: getattr(task, name) for name in ("task_id", "system", "operation", "not_asked")}
    return TaskReport.model_validate({**known, "outcome": TaskOutcome.NO_LONGER_HELD, "ground": reason.lower()})


def _decided(request: R, decision: str, at: datetime, **said: JsonValue) -> Transition[R]:
    """A person has decided; they need not wait for an answer by what else the requester is known."""
    request.must_be_ours()
    if request.state is not State.AWAITING_CLARIFICATION:
        return request.noted("decision.made", decision=decision, **said)
    if not request.search_incomplete:
        raise IllegalTransition(f"a request that is {request.state} does not wait for a decision")
    return answered(request, at).then(replace(request, question=None).noted("decision.made", decision=decision, **said))


class MovedByPackage(MovingRequest):
    """A request whose package is looked at again."""

    __slots__ = ()

    def must_be_withheld(self) -> None:
        """Raises ``IllegalTransition`` where nothing is withheld, or it is being made anew."""
        self.must_allow("renew")
        if self.package_fault is None or self.package_is_gone:
            raise IllegalTransition("no package of this request is withheld")
        if self.renewing:
            raise IllegalTransition("its package is being made anew")

    def release(self, holder: str) -> Transition[Self]:
        """Two people have looked, and say that it is the subject's: it can be fetched again."""
        self.must_be_withheld()
        detail: dict[str, JsonValue] = {"holder": holder, "fault": self.package_fault}
        released = replace(self, package_fault=None).noted("package.released", **detail)
        return replace(released, letters=(("update", {"about": "package_released"}),))

    def renew(self) -> Transition[Self]:
        """Everything is searched and collected again; the package comes in the place of the one that is withheld.

        Until then it is owed, and its due date is that of the request: nobody has what they asked for.
        """
        self.must_be_withheld()
        renewing = replace(self, renewing=True)
        published = (events.RequestVerified.about(renewing), *less_owed(self, renewing))
        return renewing.noted("package.renewal_decided", *published)

    def renewal_blocked(self, event: events.FulfilmentBlocked) -> Transition[Self]:
        """A system has failed, or what it gave may be somebody else's: a person must see to it, and it stays owed."""
        systems: JsonValue = {report.system: report.outcome or report.failure for report in event.tasks}
        return replace(self, tasks=event.tasks).noted("package.renewal_blocked", systems=systems)

    def made_anew(self, event: events.FulfilmentCompleted) -> Transition[Self]:
        """It was searched again: what there is now is the answer, and the subject is told."""
        now = replace(self, tasks=event.tasks, renewing=False)
        done = less_owed(self, now)
        if event.package_id is None:
            return now.noted("package.not_renewed", *done, outcome=event.outcome)
        renewed = replace(now, package_id=event.package_id, package_fault=None)
        return replace(renewed.noted("package.renewed", *done), letters=later_letter(renewed))

    @property
    def is_renewed(self) -> bool:
        """Whether what is completed now is the package that is made anew."""
        return self.renewing and self.state is State.CLOSED


Finding = Literal["upheld", "overridden", "legal_claims", "contract", "legal_obligation", "consent"]
"""What the weighing finds: the objection is upheld; compelling grounds of ours override it; we need the data for legal
claims; or it does not apply, since we process the data for a contract, for a legal obligation or by consent
(Art. 21(1), 6(1))."""


class MovedByWeighing(MovingRequest):
    """A request that is weighed before it is answered."""

    __slots__ = ()

    def waits_for_weighing(self, event: events.FulfilmentCompleted) -> bool:
        """Whether what was completed is the restriction that an objection begins with, and there is data to weigh."""
        restricted = event.operation == Operation.RESTRICT and event.outcome is not Outcome.NO_DATA
        return self.is_weighed and restricted and self.allows("restricted")

    def must_not_wait_for_weighing(self) -> None:
        """Raises ``IllegalTransition`` for an objection whose restriction is done: there is nothing to be retried."""
        undone = self.unsearched or any(map(deferrals.is_undone, self.tasks or ()))
        if self.is_weighed and self.state is State.AWAITING_DECISION and not undone:
            raise IllegalTransition("its data are restricted: propose what the weighing of the objection finds")

    def restricted(self, event: events.FulfilmentCompleted) -> Transition[Self]:
        """Every system has restricted what it holds: now two persons must weigh the objection."""
        waiting = self.moved("restricted", State.AWAITING_DECISION, tasks=self.reports_with(event.tasks))
        return waiting.noted("decision.needed", operation="weigh")

    def weigh(self, finding: Finding, explanation: str, proposed_by: str, at: datetime) -> Transition[Self]:
        """Two persons have weighed it; ``explanation``: what the person is told of why."""
        upheld = finding == "upheld"
        ended = closed(replace(self, question=None), "weigh", Outcome.FULFILLED if upheld else Outcome.REFUSED, at)
        noted = self.noted("objection.weighed", finding=finding, proposed_by=proposed_by)
        if upheld:
            return noted.then(ended)
        why: Mapping[str, LetterField] = {
            "about": "overridden",
            "answer": (say("answer.weighed"), say(f"finding.{finding}")),
            "explanation": explanation,
            "follows": say("answer.objection_lifted", lifted_on=at),
        }
        letter: LetterOf = ("answer", {**why, "done": done(self.tasks)})
        return noted.then(replace(ended, letters=(letter,)))


def asks_for(right: Right, scope: str | None, changes: Iterable[Change]) -> Action:
    """What is asked for, as far as proof is concerned: an objection that restricts needs that of a restriction."""
    return action_of(right, changes, restricts=scope == "legitimate_interests")
