"""Moves a request: each method is a step of the lifecycle, in the order in which a request meets them.

Pure, without a clock or a database. A method returns a ``Transition``, or raises ``IllegalTransition`` where the
lifecycle has no such step. A message that comes too late is recorded in the evidence and changes nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import JsonValue

from services.intake.request import deferrals, reports
from services.intake.request.closing import closing_letter, follow_up_letter, lifting_letter, refusal_letter, work_lines
from services.intake.request.letter_kinds import LetterField, LetterOf
from services.intake.request.lifecycle import State, first_state
from services.intake.request.messages.retained import was_announced
from services.intake.request.reasons import OUTCOMES, Answering
from services.intake.request.stored_request import COPIES, OpenQuestion, StoredRequest
from shared.domain import events, reference
from shared.domain.errors import IllegalTransition, SystemRetired
from shared.domain.events import Event
from shared.domain.operations import Change, Limit, Operation, TaskOutcome, TaskReport
from shared.domain.proofs import ProofAction, action_of
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Fact, Term, named_system, say
from shared.domain.time_limit import Arrival, resumed_due
from shared.domain.time_limit_policy import Question, TimeLimitPolicy

_BY_HAND: Mapping[str, TaskOutcome] = {
    Operation.LOCATE: TaskOutcome.LOCATED,
    Operation.EXPORT: TaskOutcome.EXPORTED,
    Operation.ERASE: TaskOutcome.ERASED,
}
"""The outcome of an operation that a person did by hand and that found something; else amended."""
_IN_FORCE = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED, Outcome.ASSISTED})

Finding = Literal["upheld", "overridden", "legal_claims", "contract", "legal_obligation", "consent"]
"""The decision of two people about an objection (Art. 21(1)): it is upheld; our compelling grounds override it; we need
the data for legal claims; or it does not apply, since we process the data by another ground (Art. 6(1))."""
Redating = Literal["receipt_corrected", "policy_changed"]
Evidence = tuple[str, Mapping[str, JsonValue]]


@dataclass(frozen=True, slots=True)
class Transition:
    """A request after a move, and what follows: events, evidence, and letters to the subject."""

    request: "Request"
    published: tuple[Event, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    letters: tuple[LetterOf, ...] = ()

    def then(self, after: "Transition") -> "Transition":
        """Combines this transition with the next one."""
        published, evidence = (*self.published, *after.published), (*self.evidence, *after.evidence)
        return Transition(after.request, published, evidence, (*self.letters, *after.letters))


@dataclass(slots=True)
class Request(StoredRequest):
    """A data subject request with the moves of its lifecycle."""

    # What every step uses.

    def require_controller(self) -> None:
        """Raises ``IllegalTransition`` where a customer decides about the data: we only forward it."""
        if self.role == "processor":
            raise IllegalTransition("we only process these data for a customer: forward the request to that customer")

    def noted(self, action: str, *published: Event, **detail: JsonValue) -> Transition:
        """Adds one entry of evidence, and the events to publish with it."""
        return Transition(self, published, ((action, detail),))

    def reports_with(self, later: Sequence[TaskReport]) -> tuple[TaskReport, ...]:
        """Returns the reports with later ones; what earlier ones have changed stays."""
        return reports.merge_reports(self.right, self.tasks, later)

    def moved(self, move: str, state: State, **changes: Any) -> Self:
        self.must_allow(move)
        return replace(self, **{"state": state, "resumable": False, **changes})

    def begin_work(self) -> Transition:
        return Transition(self, (events.RequestVerified.about(self, arrival=None),))

    def resume_work(self) -> Transition:
        return Transition(self, (events.RetryRequested.about(self),))

    def question_answered(self, received_at: datetime) -> Transition:
        """Records the answer to the open question, if there is one; the request stays as it is."""
        if self.question is None:
            return Transition(self)
        event = events.QuestionAnswered.about(self, question_id=self.question.question_id, answered_at=received_at)
        return self.noted("question.answered", event, received_at=received_at.isoformat())

    # The requester asks, and proves who they are.

    def receive(self, proof: Mapping[str, JsonValue]) -> Transition:
        """Starts the request; ``proof``: level and method of assurance that the channel states."""
        detail = {"right": self.right, "role": self.role, "state": self.state, "due_on": self.due_on.isoformat()}
        instructed = {"tenant": self.tenant, "instruction_id": self.instruction_id} if self.tenant else {}
        event: Event
        if self.state is State.IN_PROGRESS:
            arrival = events.ArrivalFacts(received_at=self.received_at, calendar=self.calendar, role=self.role)
            event = events.RequestVerified.about(self, arrival=arrival)
        else:
            event = events.RequestReceived.about(self)
        return Transition(self, (event,), (("request.received", {**detail, **instructed, **proof}),))

    def verify(self, proof: Mapping[str, JsonValue], at: datetime, policy: TimeLimitPolicy) -> Transition:
        """Begins work once the requester has proved who they are, or goes on; after the last notice it reopens.

        A question that a person has worded and that could not be read yet stays open, and stops no work.
        """
        self.require_controller()
        proved = self.noted("identity.verified", **proof)
        if self.resumable and self.awaits_proof:
            return proved.then(self._reopened(at, policy))
        if self.state is State.AWAITING_DECISION and not self.awaits_proof:
            raise IllegalTransition("nothing of it waits for proof")
        undelivered, own = (self.question.undelivered, self.question.own_words) if self.question else (None, None)
        request = self.moved("verify", State.IN_PROGRESS, question=self.question if undelivered and own else None)
        goes_on = request.resume_work() if self.awaits_proof else request.begin_work()
        return proved.then(Transition(self) if undelivered else self.question_answered(at)).then(goes_on)

    # A question to the requester, and its answer.

    def ask(
        self, asked: Question, question_id: UUID, words: str, at: datetime, *, recorded: bool, own: bool = False
    ) -> Transition:
        """Sends a question, one at a time; a clarification never stops work that has begun (REQ-T10).

        ``recorded``: reasonable doubt (Art. 12(6)), or a large quantity of data (Recital 63), is on file. ``own``: a
        person has worded it.
        """
        if self.question is not None:
            raise IllegalTransition("a question is open already; wait for its answer")
        if not self.may_ask(asked):
            raise IllegalTransition(f"a request that is {self.state} does not allow to ask for: {asked}")
        about, state = str(asked), State.AWAITING_CLARIFICATION
        if asked is Question.IDENTITY:
            about, state = "proof" if self.awaits_proof else about, State.AWAITING_IDENTITY
        elif own and recorded:
            about = "meaning"
        request = self.moved("ask", state, question=OpenQuestion(question_id, at, None, None, own, recorded))
        sent = events.QuestionSent.about(
            self, question_id=question_id, question=asked.value, asked_at=at, condition_recorded=recorded
        )
        noted = request.noted("question.sent", sent, question=asked, condition_recorded=recorded)
        return replace(noted, letters=(("question", {"about": about, "question": words}),))

    def may_ask(self, asked: Question) -> bool:
        """Whether that question may be asked in the present state, an open question aside."""
        if asked is Question.IDENTITY:
            proof = self.awaits_proof and self.allows("ask") and self.state is not State.AWAITING_CLARIFICATION
            return proof or (self.state is State.AWAITING_IDENTITY and not self.awaits_proof)
        return self.state in {State.IN_PROGRESS, State.AWAITING_DECISION}

    def may_be_asked(self, found: Sequence[TaskReport]) -> Question | None:
        """Returns the question that these reports raise, unless something failed elsewhere: proof, or other identities.

        Each is asked once unless a person asks again, and not where systems contradict one another. A requester who
        has not proved who they are is not asked: the question would say who is a customer.
        """
        fresh = self.state is State.IN_PROGRESS and not (self.question or self.decided or self.anonymous)
        if not fresh or deferrals.in_conflict(found) or any(map(deferrals.needs_judgement, found)):
            return None
        if deferrals.unproved(found):
            return None if deferrals.unproved(self.tasks) else Question.IDENTITY
        asked_before = deferrals.answerable(self.tasks)
        return Question.CLARIFICATION if deferrals.answerable(found) and not asked_before else None

    def withdraw_question(self) -> Transition:
        """Withdraws the open question about identity: no time limit has stopped for it."""
        question = self.question
        if question is None or self.state is not State.AWAITING_IDENTITY:
            raise IllegalTransition("no question about who they are is open: nothing is to be taken back")
        event = events.QuestionAnswered.about(self, question_id=question.question_id, answered_at=question.asked_at)
        moved = self.moved("answer", self.state, question=None)
        published = () if question.undelivered else (event,)
        return moved.noted("question.taken_back", *published, question_id=str(question.question_id))

    def answer(self, received_at: datetime, at: datetime, policy: TimeLimitPolicy, *, identities: bool) -> Transition:
        """Takes the requester's answer: the request goes on, closes with what was done meanwhile, or is reopened.

        A reply to a person's question about who they are proves nothing, and proof is still awaited. Where a system
        could not be searched, work goes on by ``identities`` that came with the answer; else a person decides.
        """
        if self.question is None:
            raise IllegalTransition("no clarification is open; proof of identity goes to /verify")
        if self.question.own_words and self.state is State.AWAITING_IDENTITY:
            answered = Transition(self) if self.question.undelivered else self.question_answered(received_at)
            return answered.then(Transition(self.moved("answer", self.state, question=None)))
        needs_proof = self.awaits_proof and not deferrals.answerable(self.tasks)
        if needs_proof or not (self.resumable or self.has_begun):
            raise IllegalTransition("no clarification is open; proof of identity goes to /verify")
        if self.resumable:
            return self._reopened(received_at, policy)
        clear = replace(self, question=None)
        return self.question_answered(received_at).then(clear.clarified(at, identities=identities))

    def clarified(self, at: datetime, *, identities: bool) -> Transition:
        begins_later = self.suspended or self.postponed  # and is searched then by what is known then
        asked = self.state is State.AWAITING_CLARIFICATION
        if begins_later or not (asked or (identities and self.search_incomplete)):
            return Transition(self)
        if self.finished is not None:
            return self.close("answer", self.amount_to(self.finished), at)
        if not self.search_incomplete:
            return Transition(self.moved("answer", first_state(self.role)))
        if not identities:
            return Transition(self.moved("answer", State.AWAITING_DECISION))
        return self.moved("answer", State.IN_PROGRESS).resume_work()

    def unanswered(self, event: events.TimerFired, words: str, at: datetime) -> Transition:
        """Sends a reminder, or the last notice (Art. 12(4)): the request closes unless work on it goes on.

        Where a system could not be searched, it is answered with what was found elsewhere once nothing else is missing.
        The notice says which it is.
        """
        question, asked = self.question, event.question
        if question is None or asked is None or not self.awaits_answer_to(event.question_id):
            return self.noted("question.notice_late", notice=event.step, state=self.state)
        fields: Mapping[str, LetterField] = {"asked_on": question.asked_at, "question": words}
        if event.step == "reminder":
            return Transition(self, letters=(("question", {"about": "again", **fields}),))
        request = replace(self, question=replace(question, last_notice_at=at))
        given_up = request.noted("question.given_up", question=asked)
        if asked is Question.IDENTITY and not self.tasks:  # the notice says everything
            notice: LetterOf = ("last_notice", {**fields, "about": "identity"})
            closed = replace(request.close("give_up", Outcome.UNIDENTIFIED, at), letters=())
            return replace(given_up, letters=(notice,)).then(closed)
        if self.finished is not None:
            follows = request.close("give_up", request.amount_to(self.finished), at)
        else:
            follows = request.proceed_without_reply()
        about = "proof" if asked is Question.IDENTITY else "unsearched" if self.search_incomplete else "meaning"
        answers = follows.request.decided or follows.request.state is State.CLOSED
        if about != "meaning" and not answers:  # no letter is promised that must wait for something else
            about = f"{about}_unfinished"
        return replace(given_up, letters=(("last_notice", {**fields, "about": about}),)).then(follows)

    def proceed_without_reply(self) -> Transition:
        """Goes on after the last notice: what could not be searched is answered with what was found elsewhere.

        What waits for a person, a key or another request comes before.
        """
        waits_already = self.state in {State.IN_PROGRESS, State.AWAITING_DECISION}
        if self.suspended or self.postponed or (waits_already and not deferrals.only_unsearched(self.tasks)):
            return Transition(self.moved("give_up", self.state if waits_already else State.IN_PROGRESS))
        if not self.search_incomplete:
            return Transition(self.moved("give_up", first_state(self.role)))
        if self.state is State.IN_PROGRESS:  # it is being searched once more
            return Transition(self)
        if not deferrals.only_unsearched(self.tasks):
            return Transition(self.moved("give_up", State.AWAITING_DECISION))
        outcome = Outcome.PARTIALLY_FULFILLED if deferrals.found(self.tasks) else Outcome.UNIDENTIFIED
        awaiting = self.moved("give_up", State.IN_PROGRESS, decided=outcome)
        return Transition(awaiting, (events.AnswerDecided.about(awaiting, outcome=outcome, owed=False),))

    def _reopened(self, answered_at: datetime, policy: TimeLimitPolicy) -> Transition:
        """Begins work again, with the time that was left when the question was sent (REQ-T9)."""
        question = self.question
        if question is None:
            raise IllegalTransition(f"a request that is {self.state} without an open question cannot be resumed")
        due_on = resumed_due(question.asked_at, answered_at, self.zones, self.due_on, policy)
        nothing = dict.fromkeys(("outcome", "responded_at", "closed_at", "question", "finished", "decided", "warning"))
        resumed = self.moved("reopen", State.IN_PROGRESS, due_on=due_on, resumed=True, owed=False, **nothing)
        event = events.RequestReopened.about(resumed, question_id=question.question_id, answered_at=answered_at)
        noted = resumed.noted("request.reopened", event, due_on=due_on.isoformat(), received_at=answered_at.isoformat())
        letter: LetterOf = ("update", {"about": "reopened", "answered_on": answered_at, "new_due": due_on})
        return replace(noted, letters=(letter,)).then(resumed.begin_work())

    def withdraw(self, at: datetime) -> Transition:
        """Withdraws the request: what has not begun does not begin.

        A restriction in force is lifted as any other (Art. 18(3)).
        """
        if self.is_in_force:
            given_up = self.noted("restriction.given_up").then(self.lift_decided(at))
            return replace(given_up, letters=(lifting_letter(self, "given_up", lifted_on=at),))
        # Before the closure: an erasure must stop working before the key that it works with is shredded.
        withdrawn = Transition(self, (events.RequestWithdrawn.about(self),))
        return withdrawn.then(replace(self, question=None).close("withdraw", Outcome.WITHDRAWN, at))

    # The systems work, and report.

    def complete(self, event: events.FulfilmentCompleted, at: datetime) -> Transition:
        """Answers the request once every system has done its part, unless a question is still open."""
        if event.operation == Operation.LIFT:
            lifted = replace(self, lifted_at=at)
            return lifted.show_lifts("restriction.lift_completed", event.tasks, outcome=event.outcome)
        if self.right is Right.RECTIFICATION and event.operation == Operation.RESTRICT:
            restricted = replace(self, tasks=self.reports_with(event.tasks))
            return restricted.noted("restriction.completed", outcome=event.outcome)
        if event.deferred or self.answered_in_part:
            action = "erasure.deferred_completed" if event.deferred else "part.completed"
            return self._done_later(action, event.tasks, event.package_id)
        if not self.has_begun:
            return self.noted("completion.late", state=self.state, outcome=event.outcome)
        return self._completed(event, at)

    def _completed(self, event: events.FulfilmentCompleted, at: datetime) -> Transition:
        done = replace(self, tasks=self.reports_with(event.tasks), package_id=event.package_id or self.package_id)
        if self.decided is not None:
            return done.noted("completion.waits_for_report", outcome=event.outcome)
        if self.state is not State.AWAITING_CLARIFICATION:
            return done.close("complete", done.amount_to(event.outcome), at)
        if self.search_incomplete:  # what it was asked for is known now
            done = replace(done, question=None)
            return self.question_answered(at).then(done.close("complete", done.amount_to(event.outcome), at))
        return replace(done, finished=event.outcome).noted("completion.waits_for_reply", outcome=event.outcome)

    def block(self, event: events.FulfilmentBlocked) -> Transition:
        """Records that a system failed for good: a person must decide, and nothing untrue is called done.

        Where nothing failed and something could not be searched, the open question about that governs: after its last
        notice the request is answered with what was found.
        """
        if event.operation == Operation.LIFT:
            return self.show_lifts("restriction.lift_blocked", event.tasks)
        if event.deferred or self.answered_in_part:
            return self._done_later("erasure.deferred_blocked" if event.deferred else "part.blocked", event.tasks)
        if not self.has_begun:
            return self.noted("completion.late", state=self.state, blocked=True)
        asked = self.question is not None and not self.given_up and self.decided is None
        judged = deferrals.in_conflict(event.tasks) or any(map(deferrals.needs_judgement, event.tasks))
        governs = asked and deferrals.answerable(event.tasks) and not judged
        state = State.AWAITING_CLARIFICATION if governs else State.AWAITING_DECISION
        waiting = self.moved("stop", state, tasks=self.reports_with(event.tasks))
        if self.given_up and self.decided is None and deferrals.only_unsearched(event.tasks):
            return waiting.noted("search.incomplete", operation=event.operation).then(waiting.proceed_without_reply())
        action = "search.waits_for_reply" if governs else "decision.needed"
        return waiting.noted(action, operation=event.operation)

    def stopped_so_far(self, event: events.FulfilmentReported) -> Transition:
        """Shows where use has stopped while other systems are still asked or a person must look."""
        if self.state is State.CLOSED or not event.tasks:
            return Transition(self)
        systems: JsonValue = {report.system: report.changed for report in event.tasks if report.outcome}
        return replace(self, tasks=self.reports_with(event.tasks)).noted("use.stopped_so_far", systems=systems)

    def report(self, event: events.FulfilmentReported, words: Mapping[str, LetterField], at: datetime) -> Transition:
        """Answers as two people have decided, now that it is known what is done; ``words`` say why.

        Without words no answer has come by which the rest could be searched. What was changed meanwhile is no refusal;
        where all was done it is fulfilled. After a withdrawal it only says what had been done.
        """
        systems = _by_system(event.tasks)
        if self.state is State.CLOSED and not self.owed and (self.decided or self.outcome is Outcome.WITHDRAWN):
            return self._reported_late(event.tasks, systems)
        if self.decided is None or not self.has_begun:
            return self.noted("completion.late", state=self.state, reported=True)
        refused = self.decided is Outcome.REFUSED
        package_id = None if refused else event.package_id or self.package_id
        known = replace(self, tasks=self.reports_with(event.tasks), package_id=package_id)
        if not refused and event.tasks and not deferrals.undone(event.tasks):
            overtaken = known.noted("decision.overtaken", outcome=event.outcome)
            return overtaken.then(known.close("complete", known.amount_to(event.outcome), at))
        asked_for = reports.of_request(self.right, known.tasks)
        refused = refused and not deferrals.changed(asked_for)
        nothing = self.decided is Outcome.UNIDENTIFIED and not deferrals.found(asked_for)
        in_part = Outcome.UNIDENTIFIED if nothing else Outcome.PARTIALLY_FULFILLED
        answered = known.close("complete", Outcome.REFUSED if refused else in_part, at)
        if not words:
            return answered
        closing = refusal_letter if refused else closing_letter
        return replace(answered, letters=closing(answered.request, words))

    def _reported_late(self, tasks: Sequence[TaskReport], systems: JsonValue) -> Transition:
        """Records what had been done; after a withdrawal the subject is notified where it is more than they know."""
        known = replace(self, tasks=self.reports_with(tasks))
        noted = known.noted("work.reported", systems=systems)
        more = deferrals.rows_changed(known.tasks) > deferrals.rows_changed(self.tasks)
        notifies = more and self.outcome is Outcome.WITHDRAWN and not self.anonymous
        return replace(noted, letters=closing_letter(known)) if notifies else noted

    def close(self, move: str, outcome: Outcome, at: datetime) -> Transition:
        """Answers the request with the letter of that outcome; the clock stops.

        After a last notice it may be resumed at any time, unless it is withdrawn or forwarded. A customer's
        instruction is assisted, not fulfilled.
        """
        if self.tenant and outcome in {Outcome.FULFILLED, Outcome.NO_DATA}:
            outcome = Outcome.ASSISTED
        resumable = self.given_up and outcome not in {Outcome.WITHDRAWN, Outcome.FORWARDED}
        # A restriction is lifted with the answer if it has taken effect, or may at this very moment.
        begun, nothing = self.has_begun or self.was_restricted, outcome is Outcome.NO_DATA and not self.was_restricted
        lifts = self.restricts and begun and not nothing and reports.ends_restriction(self.right, outcome)
        closed = self.moved(
            move, State.CLOSED, outcome=outcome, responded_at=at, closed_at=at, resumable=resumable,
            lift_notified_at=at if lifts else self.lift_notified_at,
        )  # fmt: skip
        detail: dict[str, JsonValue] = {"resumable": True} if resumable else {}
        event = events.RequestClosed.about(closed)
        noted = closed.noted("request.closed", event, right=self.right, outcome=outcome, **detail)
        ended = replace(noted, letters=closing_letter(closed))
        return closed.lift_decided(at).then(ended) if lifts else ended

    # What comes first: another request of the person, a suspended key, the register of numbers, a hold.

    def wait_for_requests(self, awaits: Sequence[UUID], *, opposed: bool) -> Transition:
        """Postpones an erasure until other requests of the same person are done.

        ``opposed``: one of them is a restriction, and a person must find out which of the two holds.
        """
        if not self.has_begun:
            return self.noted("erasure.postponed_late", state=self.state)
        next_state = State.AWAITING_DECISION if opposed else State.IN_PROGRESS
        state = self.state if self.state is State.AWAITING_CLARIFICATION else next_state
        request = self.moved("stop", state, postponed=True, opposed=opposed)
        others: list[JsonValue] = [str(other) for other in awaits]
        noted = request.noted("erasure.postponed", awaits=others, opposed=opposed)
        if opposed and not self.opposed:
            named = ", ".join(map(reference.of, awaits))
            return replace(noted, letters=(("update", {"about": "erasure_opposed", "restriction": named}),))
        return noted

    def begin(self, cause: Literal["answered", "decided"]) -> Transition:
        """Begins a postponed erasure: nothing is awaited any more, or two people decided it."""
        if not self.postponed:
            raise IllegalTransition("this request does not wait for another")
        state = State.AWAITING_CLARIFICATION if self.state is State.AWAITING_CLARIFICATION else State.IN_PROGRESS
        request = self.moved("begin", state, postponed=False, opposed=False)
        event = events.RetryRequested.about(request, regardless=cause == "decided")
        return request.noted("erasure.begun", event, cause=cause)

    def must_have_begun(self) -> None:
        """Raises ``IllegalTransition`` for an erasure that waits for other requests: it has nothing to retry."""
        if self.postponed:
            raise IllegalTransition("it waits for other requests of the same person: answer those, or decide `begin`")

    def pause(self) -> Transition:
        """Pauses an erasure of a suspended API key until the key is released."""
        return replace(self, suspended=True).noted("erasure.suspended")

    def resume(self) -> Transition:
        """Begins an erasure once its API key is released, unless it is closed or waits for proof."""
        free = replace(self, suspended=False).noted("erasure.released")
        if self.state in {State.CLOSED, State.AWAITING_IDENTITY}:
            return free
        self.must_allow("begin")
        return free.then(free.request.begin_work())

    def search_again(self, at: datetime) -> Transition:
        """Searches what was left out because the holder of a number was unknown, now that more is known.

        Not while a suspended key, another request or the decision about an objection comes first.
        """
        closed_for_good = self.state is State.CLOSED and not self.may_be_done_later
        if self.suspended or self.postponed or closed_for_good or (self.is_weighed and not self.unsearched):
            return Transition(self)
        noted = self.noted("search.begun_again")
        if self.state is State.CLOSED:
            return noted.then(self.resume_work())
        asked = self.state is State.AWAITING_CLARIFICATION and self.search_incomplete
        answered = self.question_answered(at) if asked else Transition(self)
        waits = not asked and self.question is not None and not self.given_up
        # What was asked for may be asked again: it is another search.
        remaining = tuple(task for task in self.tasks or () if not task.not_searched)
        remaining = (*reports.past_changes(self.tasks, remaining), *remaining)
        state = State.AWAITING_CLARIFICATION if waits else State.IN_PROGRESS
        begun = self.moved("retry", state, tasks=remaining, question=None if asked else self.question)
        return noted.then(answered).then(begun.resume_work())

    def release_hold(self, systems: Collection[str]) -> Transition:
        """Retries these systems after a legal hold was lifted, unless the request was withdrawn."""
        if self.outcome is Outcome.WITHDRAWN:
            return Transition(self)
        event = events.HoldLifted.about(self, systems=tuple(sorted(systems)))
        return self.noted("hold.let_go", event, systems=[*sorted(systems)])

    # The privacy team decides.

    def retry(self) -> Transition:
        """Retries what is not done, or is still to be done after the answer; a question stays open."""
        if self.may_be_done_later:
            return self.noted("decision.made", decision="retry", deferred=True).then(self.resume_work())
        if self.state is State.AWAITING_CLARIFICATION and not self.search_incomplete:
            raise IllegalTransition(f"a request that is {self.state} does not wait for a decision")
        self.require_controller()
        waits = self.question is not None and not self.given_up
        state = State.AWAITING_CLARIFICATION if waits else State.IN_PROGRESS
        return self.noted("decision.made", decision="retry").then(self.moved("retry", state).resume_work())

    def found_beyond(self, system: str, limit: Limit) -> int:
        """Returns the most that a task of that system has found beyond that limit; 0 if none waits because of it."""
        beyond = [t.exceeded for t in self.tasks or () if t.system == system and t.exceeded]
        return max((each.found for each in beyond if each.limit is limit), default=0)

    def exceed(self, system: str, limit: Limit, proposed_by: str, holder: str) -> Transition:
        """Lets a task touch what it found beyond a limit, as two people decided; raises if no task waits for that."""
        self.must_allow("follow_up" if self.may_be_done_later else "retry")
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
        detail: dict[str, JsonValue] = {"system": system, **numbers, "holder": holder, "proposed_by": proposed_by}
        return request.noted("limit.confirmed", event, **detail)

    def record(self, system: str, found: int, changed: int, **detail: JsonValue) -> Transition:
        """Records what a person has done by hand for a system that cannot do it; raises if no task waits for that."""
        self._must_record()
        todo = next((t for t in self.tasks or () if t.system == system and deferrals.may_be_done_by_hand(t)), None)
        if todo is None:
            raise IllegalTransition(
                f"nothing in {system} waits to be done by hand: that is what it cannot do or has not lifted. What a"
                " limit has stopped, or rows of others: two people let it go on (exceed-limit) or answer in part"
            )
        if todo.operation not in {Operation.LOCATE, Operation.EXPORT} and changed < found:
            remaining = f"{found - changed} of {found} are left in {system}"
            raise IllegalTransition(f"{remaining}: enter it when all is done; where that cannot be, answer in part")
        outcome = _BY_HAND.get(todo.operation, TaskOutcome.AMENDED) if found else TaskOutcome.NO_MATCH
        known = {"task_id": todo.task_id, "system": system, "operation": todo.operation}
        counts: dict[str, JsonValue] = {"outcome": outcome, "found": found, "changed": changed}
        done = TaskReport.model_validate({**known, **counts, "by_hand": True, "not_asked": todo.not_asked})
        request = replace(self, tasks=tuple(done if task is todo else task for task in self.tasks or ()))
        event = events.TaskRecorded.about(request, task=done)
        noted = request.noted(
            "task.recorded", event, *_less_owed(self, request), system=system, operation=todo.operation, **counts,
            **detail,
        )  # fmt: skip
        return (
            replace(noted, letters=follow_up_letter(request))
            if self.has_outstanding and not request.has_outstanding
            else noted
        )

    def _must_record(self) -> None:
        self.require_controller()
        self.must_allow("follow_up" if self.state is State.CLOSED else "record")

    def out_of_reach(self, system: str) -> tuple[TaskReport, ...]:
        """Returns the tasks of a retired system that are still missing; raises where none is."""
        self._must_record()
        parts = tuple(t for t in self.tasks or () if t.system == system and deferrals.is_undone(t))
        if not any(task.failure == SystemRetired.code for task in parts):
            raise IllegalTransition(
                f"nothing is missing in {system} since it was retired: try again, or answer in part"
            )
        return parts

    def end_part(
        self, system: str, reason: str, article: str, proposed_by: str, words: Mapping[str, LetterField]
    ) -> Transition:
        """Ends what is missing in a retired system, by decision of two people; ``words``: the reason in the letter."""
        ended = {task.task_id: _ended(task, reason) for task in self.out_of_reach(system)}
        request = replace(self, tasks=tuple(ended.get(task.task_id, task) for task in self.tasks or ()))
        recorded = [events.TaskRecorded.about(request, task=task) for task in ended.values()]
        detail = {"decision": "end_part", "system": system, "reason": reason, "article": article}
        published = (*recorded, *_less_owed(self, request))
        noted = request.noted("decision.made", *published, **detail, proposed_by=proposed_by)
        letter: LetterOf = ("update", {**words, "about": "part_ended", "system": named_system(system)})
        answered = follow_up_letter(request) if self.has_outstanding and not request.has_outstanding else ()
        return replace(noted, letters=(letter, *answered))

    def must_allow_to(self, decision: Answering) -> None:
        """Raises ``IllegalTransition`` where two people may not decide that now.

        An objection to marketing cannot be refused (Art. 21(3)), nor what is being done or was done in part: that is
        answered in part.
        """
        self.require_controller()
        self.must_allow("decide")
        if self.decided is not None:
            raise IllegalTransition("two people have decided how it is answered; it is closed in a moment")
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
        if self.state is State.IN_PROGRESS and self.right not in COPIES and not not_begun:
            raise IllegalTransition("it is being done: it cannot be refused any more; answer it in part")
        if changed := deferrals.changed(reports.of_request(self.right, self.tasks)):
            raise IllegalTransition(f"it was done in part, in {', '.join(changed)}: answer it in part")

    def decide(
        self, decision: Answering, reason: str, article: str, proposed_by: str, at: datetime, *, owed: bool
    ) -> Transition:
        """Decides how to answer, by two people; the answer follows as soon as it is known what is done."""
        self.must_allow_to(decision)
        detail: dict[str, JsonValue] = {"reason": reason, "article": article, "owed": owed, "proposed_by": proposed_by}
        before, request = Transition(self), self
        if self.state is State.AWAITING_CLARIFICATION:
            before, request = self.question_answered(at), replace(self, question=None)
        outcome = OUTCOMES[decision]
        request = request.moved(
            "decide", State.IN_PROGRESS, decided=outcome, owed=owed, suspended=False, postponed=False
        )
        event = events.AnswerDecided.about(request, outcome=outcome, owed=owed)
        return before.then(request.noted("decision.made", event, decision=decision, **detail))

    def waits_for_weighing(self, event: events.FulfilmentCompleted) -> bool:
        """Whether an objection's restriction is done, and there is data to decide about."""
        restricted = event.operation == Operation.RESTRICT and event.outcome is not Outcome.NO_DATA
        return self.is_weighed and restricted and self.has_begun

    def must_not_wait_for_weighing(self) -> None:
        """Raises ``IllegalTransition`` for an objection whose restriction is done: there is nothing to retry."""
        undone = self.unsearched or any(map(deferrals.is_undone, self.tasks or ()))
        if self.is_weighed and self.state is State.AWAITING_DECISION and not undone:
            raise IllegalTransition("its data are restricted: propose what the weighing of the objection finds")

    def restricted(self, event: events.FulfilmentCompleted) -> Transition:
        """Asks two people to decide the objection, since every system has restricted what it holds."""
        waiting = self.moved("stop", State.AWAITING_DECISION, tasks=self.reports_with(event.tasks))
        return waiting.noted("decision.needed", operation="weigh")

    def weigh(self, finding: Finding, explanation: str, proposed_by: str, at: datetime) -> Transition:
        """Decides an objection, by two people; ``explanation``: the reasons that the person reads."""
        if self.state is not State.AWAITING_DECISION:
            raise IllegalTransition(f"an objection that is {self.state} cannot be decided yet, or any more")
        upheld = finding == "upheld"
        ended = replace(self, question=None).close("decide", Outcome.FULFILLED if upheld else Outcome.REFUSED, at)
        noted = self.noted("objection.weighed", finding=finding, proposed_by=proposed_by)
        if upheld:
            return noted.then(ended)
        why: Mapping[str, LetterField] = {
            "about": "overridden",
            "answer": (say("answer.weighed"), say(f"finding.{finding}")),
            "explanation": explanation,
            "follows": say("answer.objection_lifted", lifted_on=at),
        }
        return noted.then(replace(ended, letters=(("answer", {**why, "done": work_lines(self.tasks)}),)))

    # Its dates.

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
    ) -> Transition:
        """Extends the time limit, by two people; it holds if its letter arrives before ``tell_before`` (Art. 12(3))."""
        request = self.moved("redate", self.state, due_on=due_on, extended=True)
        event = events.RequestExtended.about(request, reason=reason, notified_at=at)
        detail: dict[str, JsonValue] = {"reason": reason, "due_on": due_on.isoformat(), "proposed_by": proposed_by}
        detail |= {**more, "due_before": self.due_on.isoformat(), "tell_before": tell_before.isoformat()}
        noted = request.noted("extension.approved", event, **detail)
        return replace(noted, letters=(("extension", {**words, "new_due": due_on}),))

    def redate(
        self, cause: Redating, arrival: Arrival, due_on: date, calc_version: str, **why: JsonValue
    ) -> Transition:
        """Sets another arrival or due date; a warning of a date that has moved away is removed."""
        arrived = {"received_at": arrival.received_at, "zones": arrival.zones, "calendar": arrival.calendar or ""}
        warning = None if due_on > self.due_on else self.warning
        moved = self.moved("redate", self.state, due_on=due_on, calc_version=calc_version, warning=warning, **arrived)
        event = events.RequestRedated.about(moved, cause=cause)
        return moved.noted("request.redated", event, cause=cause, before=self.dates, after=moved.dates, **why)

    def warn(self, warning: str) -> Transition:
        """Shows the latest milestone while open; a missed target of the staff hides no warning of the limit."""
        graver = warning.startswith("target_") and not (self.warning or "target_").startswith("target_")
        return Transition(self if graver or self.state is State.CLOSED else replace(self, warning=warning))

    # A customer who decides about the data.

    def forward(self, answered_by: Fact, at: datetime, **detail: JsonValue) -> Transition:
        """Forwards to the customer who decides about the data (Art. 28(3)(e)), and who answers (``answered_by``)."""
        if self.role == "controller" and self.state is not State.AWAITING_IDENTITY:
            raise IllegalTransition("only what a customer decides about is forwarded, and before we began to answer")
        letter: LetterOf = ("forwarded", {"controller": answered_by, "forwarded_on": at})
        forwarded = replace(self, role="processor", forwarded_at=at)
        event = events.RequestForwarded.about(forwarded)
        noted = replace(forwarded.noted("request.forwarded", event, **detail), letters=(letter,))
        return noted.then(forwarded.close("forward", Outcome.FORWARDED, at))

    def record_controller_reply(self, at: datetime, **detail: JsonValue) -> Transition:
        """Records the reply of the customer to whom it was forwarded; reminders end."""
        if self.forwarded_at is None:
            raise IllegalTransition("it was not passed on to a customer")
        if self.controller_replied_at is not None:
            raise IllegalTransition("the customer has replied before")
        self.must_allow("follow_up")
        request = replace(self, controller_replied_at=at)
        return request.noted("controller.replied", events.ControllerReplied.about(request, replied_at=at), **detail)

    def controller_is_silent(self, event: events.TimerFired, controller: str) -> Transition:
        """Reminds the customer of what was forwarded, or asks the privacy team to look."""
        if self.forwarded_at is None or self.controller_replied_at is not None or not controller:
            return self.noted("controller.notice_late", notice=event.step)
        if event.step == "escalation":
            return self.noted("controller.silent", working_days=event.days)
        right = Term("right", self.right)
        fields: Mapping[str, LetterField] = {"to": controller, "forwarded_on": self.forwarded_at, "right": right}
        return replace(
            self.noted("controller.reminded", working_days=event.days), letters=(("controller_reminder", fields),)
        )

    # After the answer: a part that is owed, a lift, a package that is withheld.

    def _done_later(self, action: str, tasks: Sequence[TaskReport], package_id: UUID | None = None) -> Transition:
        """Records the results that came after the answer.

        The subject is notified with the last that was owed, and whenever what is left is not as they know (REQ-R7).
        """
        now = deferrals.updated(self.tasks, tasks)
        updated = replace(self, tasks=now, package_id=package_id or self.package_id)
        noted = updated.noted(action, *_less_owed(self, updated), systems=_by_system(tasks))
        notifies = self.has_outstanding and not updated.has_outstanding
        notifies |= self.outcome is not Outcome.WITHDRAWN and not was_announced(self.tasks, now)
        return replace(noted, letters=follow_up_letter(updated)) if notifies else noted

    def lift(self, at: datetime) -> Transition:
        """Decides to lift a restriction: the subject is notified before any system is changed (Art. 18(3))."""
        in_force = self.right is not Right.RESTRICTION or self.outcome in _IN_FORCE
        if not (self.restricts and in_force and self.allows("follow_up")):
            raise IllegalTransition("only a restriction that is in force can be lifted")
        if self.lifted_at is not None:
            raise IllegalTransition("it has been lifted")
        return replace(self.lift_decided(at), letters=(lifting_letter(self, "decided", lifted_on=at),))

    def lift_decided(self, at: datetime) -> Transition:
        lifting = replace(self, lift_notified_at=at)
        event = events.LiftDecided.about(lifting)
        return lifting.noted("restriction.lift_decided", event, informed_at=at.isoformat())

    def show_lifts(self, action: str, tasks: Sequence[TaskReport], **detail: JsonValue) -> Transition:
        """Shows what is not lifted, or was lifted by hand or late; the request stays as it was."""
        before = {task.system for task in self.tasks or () if task.operation == Operation.LIFT}
        lifts = [
            task
            for task in tasks
            if task.operation == Operation.LIFT
            and (deferrals.lift_undone(task) or deferrals.is_manual_lift(task) or task.system in before)
        ]
        now = {task.system for task in lifts}
        others = (t for t in self.tasks or () if t.operation != Operation.LIFT or t.system not in now)
        shown = replace(self, tasks=(*others, *lifts)) if lifts else self
        return shown.noted(action, **detail)

    def must_be_withheld(self) -> None:
        """Raises ``IllegalTransition`` where no package is withheld, or it is being rebuilt."""
        self.must_allow("follow_up")
        if self.package_fault is None or self.package_is_gone:
            raise IllegalTransition("no package of this request is withheld")
        if self.renewing:
            raise IllegalTransition("its package is being rebuilt")

    def release(self, holder: str) -> Transition:
        """Lets a withheld package be fetched again, after two people found that it is the subject's."""
        self.must_be_withheld()
        detail: dict[str, JsonValue] = {"holder": holder, "fault": self.package_fault}
        released = replace(self, package_fault=None).noted("package.released", **detail)
        return replace(released, letters=(("update", {"about": "package_released"}),))

    def renew(self) -> Transition:
        """Rebuilds a withheld package: everything is searched again, and owed until then."""
        self.must_be_withheld()
        renewing = replace(self, renewing=True)
        published = (events.RequestVerified.about(renewing, arrival=None), *_less_owed(self, renewing))
        return renewing.noted("package.renewal_decided", *published)

    @property
    def is_renewed(self) -> bool:
        """Whether the rebuilt package is what is completed now."""
        return self.renewing and self.state is State.CLOSED

    def renewal_blocked(self, event: events.FulfilmentBlocked) -> Transition:
        """Records that the rebuild failed, or found data of another person: a person must look, and it stays owed."""
        return replace(self, tasks=event.tasks).noted("package.renewal_blocked", systems=_by_system(event.tasks))

    def package_rebuilt(self, event: events.FulfilmentCompleted) -> Transition:
        """Answers with the rebuilt package, and notifies the subject."""
        now = replace(self, tasks=event.tasks, renewing=False)
        less = _less_owed(self, now)
        if event.package_id is None:
            return now.noted("package.not_renewed", *less, outcome=event.outcome)
        renewed = replace(now, package_id=event.package_id, package_fault=None)
        return replace(renewed.noted("package.renewed", *less), letters=follow_up_letter(renewed))


def _less_owed(before: StoredRequest, after: StoredRequest) -> tuple[Event, ...]:
    """Returns the event that a part owed after the answer was done, if it was."""
    return (events.PartAnswered.about(after),) if after.outstanding != before.outstanding else ()


def _by_system(tasks: Iterable[TaskReport]) -> dict[str, JsonValue]:
    return {report.system: report.outcome or report.failure for report in tasks}


def _ended(task: TaskReport, reason: str) -> TaskReport:
    known = {name: getattr(task, name) for name in ("task_id", "system", "operation", "not_asked")}
    return TaskReport.model_validate({**known, "outcome": TaskOutcome.NO_LONGER_HELD, "ground": reason.lower()})


def asks_for(right: Right, scope: str | None, changes: Iterable[Change]) -> ProofAction:
    """Returns the right whose proof is needed: an objection that restricts needs that of a restriction."""
    return action_of(right, changes, restricts=scope == "legitimate_interests")
