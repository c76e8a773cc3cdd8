"""Accepting submissions: each becomes a request with its due date, its events and its subject sealed in the vault."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from uuid_utils.compat import uuid7

from services.intake import assurance
from services.intake.group_commit import Accepted, GroupCommit, PreparedRequest, SubmissionContext
from services.intake.lifecycle import first_state
from services.intake.request import Request
from services.intake.schemas import Submission, refuse_future
from shared.domain.rights import Right
from shared.domain.time_limit import Arrival, calc_version, due_on
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage.vault import SubjectData


class Submissions:
    """Prepares what was submitted and stores it, together with what others submit at the same time."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, policy: TimeLimitPolicy, required: Mapping[Right, str]) -> None:
        self._clock = unit_of_work.clock
        self._vault = unit_of_work.vault
        self._policy = policy
        self._calc_version = calc_version(policy)
        self._required = required
        self._commits = GroupCommit(unit_of_work)

    async def accept(self, submissions: Sequence[Submission], context: SubmissionContext) -> list[Accepted]:
        """Stores all of them or none; a replay of the same idempotency key gives the first answer again.

        Raises:
            BadRequest: one is said to have arrived in the future
            MalformedIdentity: an identity cannot be one of its type
            IdempotencyKeyReused: the key came before with another body
        """
        now = self._clock.now()
        return await self._commits.store(
            [self._prepare(submission, context, now) for submission in submissions], context
        )

    def _prepare(self, submission: Submission, context: SubmissionContext, now: datetime) -> PreparedRequest:
        received_at = submission.received_at or now
        refuse_future(received_at, now)
        submission.subject.refuse_future(now)
        country = submission.subject.country
        arrival = Arrival(received_at, self._policy.zones_of(country), self._policy.calendar_of(country))
        scope = submission.ground or submission.scope
        identified = assurance.suffices(submission.assurance, submission.right, self._required)
        request = Request(
            request_id=uuid7(),
            subject_ref=uuid7(),
            right=submission.right,
            state=first_state(submission.role, identified=identified),
            scope=scope,
            channel="api",
            key_id=context.caller.key_id,
            received_at=received_at,
            accepted_at=now,
            due_on=due_on(arrival, submission.right, scope, self._policy, submission.role),
            zones=arrival.zones,
            calendar=arrival.calendar or "",
            role=submission.role,
            calc_version=self._calc_version,
        )
        proof = dict(submission.assurance) if submission.assurance else {}
        subject = SubjectData(tuple(submission.subject.identities()), submission.changes)
        row = self._vault.new_subject(request.subject_ref, subject, now)
        return PreparedRequest(request.receive(proof), row)
