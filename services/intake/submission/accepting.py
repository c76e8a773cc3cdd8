"""Accepts submissions: each becomes a request with its due date, its events and its sealed subject."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake.access.auth import Caller
from services.intake.access.grant import INSTRUCTED, Power
from services.intake.access.quota import RateLimiter, SharedQuota
from services.intake.core.errors import BadRequest, TooLarge
from services.intake.core.schemas import Assurance, IdentityProof
from services.intake.core.subject_schemas import DataSubject
from services.intake.identity.proving import ProofEvaluator, identity_policy
from services.intake.letters import sealed_letters
from services.intake.letters.cases import Case
from services.intake.letters.letter_facts import LetterFacts
from services.intake.request import same_person
from services.intake.request.aggregate import Request, asks_for
from services.intake.request.lifecycle import first_state
from services.intake.settings import IntakeSettings
from services.intake.submission.schemas import Submission, scope_of
from services.intake.submission.writer import (
    AcceptedRequest,
    PreparedRequest,
    SubmissionBatch,
    SubmissionContext,
    SubmissionWriter,
)
from shared.app.service import Running
from shared.domain.identities import Identity, IdentityType, MalformedIdentity
from shared.domain.languages import read_languages
from shared.domain.proofs import IdentityPolicy, highest_level
from shared.domain.rights import Level
from shared.domain.time_limit import Arrival, calc_version, due_on
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.settings import PolicySettings
from shared.storage.subject_data import SubjectData

_MINUTE = 60.0
_LEAST_REVEALING: Final[Level] = "L1"
"""The level below which no answer reveals whether an account exists (REQ-S5)."""


class Submissions:
    """Prepares submissions and stores those that come at the same time together."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        policy: TimeLimitPolicy,
        identity: IdentityPolicy,
        settings: IntakeSettings,
        letters: LetterFacts,
    ) -> None:
        self._clock = unit_of_work.clock
        self._vault = unit_of_work.vault
        self._policy = policy
        self._calc_version = calc_version(policy)
        self._identity = identity
        self.letters = letters
        self._consents = unit_of_work.policy.consents
        self.instants = settings.instants
        self._proving = ProofEvaluator(identity, settings.instants)
        self._numbers = settings.batch_numbers
        self._waiting = SharedQuota(settings.waiting)
        self._rate = RateLimiter(per_second=1, burst_seconds=_MINUTE + 0.001)
        most = settings.erasures_per_hour or identity.key_suspension.erasures_per_hour
        self._commits = SubmissionWriter(unit_of_work, most)

    @classmethod
    def of(cls, running: Running, settings: IntakeSettings) -> Self:
        """Builds it from the settings and policies of a running service."""
        limits = PolicySettings().read_time_limits()
        return cls(
            running.unit_of_work, limits, identity_policy(running.unit_of_work.policy.overlay), settings, LetterFacts()
        )

    def prepare(
        self,
        submissions: Iterable[tuple[str, Submission]],
        caller: Caller,
        *,
        one_case: bool = False,
        in_reply_to: str | None = None,
        channel: str | None = None,
    ) -> list[PreparedRequest]:
        """Checks submissions, and builds the requests to store. Each comes with the path of its fields in the body.

        ``one_case``: they came in one message, and become one case. ``in_reply_to``: the Message-ID of their mail.
        ``channel``: how they came, if they do not say so.

        Raises:
            Forbidden: one states or asks for more than the key may
            BadRequest: one is said to have arrived in the future, or too long ago, or was proved by no known method
            MalformedIdentity: an identity cannot be one of its type
            TooLarge: they name more telephone numbers than are looked at for one call
        """
        now, numbers = self._clock.now(), 0
        prepared: list[PreparedRequest] = []
        submissions = list(submissions)
        case = Case([(uuid7(), each.right, each.role) for _, each in submissions]) if one_case else None
        for place, submission in submissions:
            numbers += len(submission.subject.phones)
            if numbers > self._numbers:
                raise TooLarge(f"more than {self._numbers} telephone numbers in one call; send fewer requests")
            try:
                request_id = case.requests[len(prepared)][0] if case else None
                prepared.append(
                    self._prepare(submission, caller, now, request_id, channel, case=case, in_reply_to=in_reply_to)
                )
            except (BadRequest, MalformedIdentity) as error:
                error.field = error.field and f"{place}{error.field}"
                raise
        return prepared

    async def accept(self, prepared: Sequence[PreparedRequest], context: SubmissionContext) -> list[AcceptedRequest]:
        """Stores all of them or none; a replay of the same idempotency key gives the first answer again.

        Raises:
            IdempotencyKeyReused: the key came before with another body
            TooManyCalls, Overloaded: too many wait for their commit, or more than this key may submit in a minute;
                nothing was stored
        """
        if most := context.caller.grant.per_minute:
            if len(prepared) > most:
                raise TooLarge(f"this key may submit {most} requests a minute: send no more in one call")
            self._rate.take(context.caller.key_id, len(prepared) * _MINUTE / most)
        self._waiting.acquire(context.caller.channel, len(prepared))
        try:
            return await self._commits.store(prepared, context)
        finally:
            self._waiting.release(context.caller.channel, len(prepared))

    def check(
        self, subject: DataSubject, assurance: Assurance | None, proofs: Sequence[IdentityProof], caller: Caller
    ) -> None:
        """Raises what ``prepare`` would for this subject and its proofs."""
        caller.grant.must(Power.SUBMIT)
        self._proving.prove(tuple(subject.identities()), assurance, proofs, caller.grant, self._clock.now())

    def prepare_event(
        self, submission: Submission, caller: Caller, request_id: UUID, evidence: Mapping[str, JsonValue], number: int
    ) -> PreparedRequest:
        """Builds the request that a user event asks for, like ``prepare``.

        ``evidence``: what to log about the event. ``number``: its place among the events of its key in this batch,
        which the rate limit counts.

        Raises:
            what ``prepare`` raises, and
            TooManyCalls: more than the key may submit in a minute; call ``count_event`` once it is stored
        """
        if most := caller.grant.per_minute:
            self._rate.check_capacity(caller.key_id, number * _MINUTE / most)
        return self._prepare(submission, caller, self._clock.now(), request_id, "events", evidence)

    def count_event(self, caller: Caller) -> None:
        """Counts a stored event towards the rate limit of its key."""
        if most := caller.grant.per_minute:
            self._rate.count(caller.key_id, _MINUTE / most)

    async def write(
        self, tx: UnitOfWork, submitted: Sequence[SubmissionBatch]
    ) -> list[list[AcceptedRequest] | Exception]:
        """Stores prepared submissions in the caller's unit of work; returns a result or an error for each."""
        return await self._commits.write(tx, submitted)

    def _prepare(
        self,
        submission: Submission,
        caller: Caller,
        now: datetime,
        request_id: UUID | None = None,
        channel: str | None = None,
        evidence: Mapping[str, JsonValue] = {},
        case: Case | None = None,
        in_reply_to: str | None = None,
    ) -> PreparedRequest:
        self._check_grant(submission, caller)
        self._check_purposes(submission.purposes)
        received_at = self.instants.arrived(submission.received_at, now)
        stated = tuple(submission.subject.identities())
        proved = self._proving.prove(stated, submission.assurance, submission.proofs, caller.grant, now)
        country = submission.subject.country
        arrival = Arrival(received_at, self._policy.zones_of(country), self._policy.calendar_of(country))
        scope, languages = scope_of(submission), read_languages()
        tenant = caller.grant.tenant  # who asks the customer for it, the customer has to know
        least = self._identity.least(asks_for(submission.right, scope, submission.changes))
        identified = bool(tenant) or highest_level(proved.identities) >= least
        request = Request(
            request_id=request_id or uuid7(),
            subject_ref=uuid7(),
            case_id=case.case_id if case else None,
            right=submission.right,
            state=first_state(submission.role, identified=identified),
            scope=scope,
            purposes=submission.purposes,
            consent_text=submission.consent_text,
            channel=channel or submission.channel,
            key_id=caller.key_id,
            received_at=received_at,
            accepted_at=now,
            due_on=due_on(arrival, submission.right, scope, self._policy, submission.role),
            zones=arrival.zones,
            calendar=arrival.calendar or "",
            country=country,
            language=submission.language or (languages.customers if tenant else languages.of(country)),
            role=submission.role,
            calc_version=self._calc_version,
            anonymous=not tenant
            and least < _LEAST_REVEALING
            and any(i.level < _LEAST_REVEALING for i in _searchable(proved.identities)),
            tenant=tenant,
            instruction_id=submission.instruction_id,
        )
        proof: dict[str, JsonValue] = {**evidence, **(dict(submission.assurance) if submission.assurance else {})}
        if submission.purposes:
            proof |= {"purposes": [*submission.purposes], "consent_text": submission.consent_text}
        if case:
            proof["case_number"] = str(case.case_id)
        if proved.evidence:
            proof["proofs"] = [*proved.evidence]
        identities, keys = proved.identities, self._vault.keyring
        person = same_person.UNPROVED if tenant else same_person.proved_person(identities, keys)
        if tenant:
            identities = tuple(replace(each, level=INSTRUCTED) for each in identities)
        row = self._vault.new_subject(request.subject_ref, SubjectData(identities, submission.changes, tenant), now)
        new_letters = sealed_letters.new_correspondence(
            self._vault, self.letters, request, identities, now, case, in_reply_to
        )
        transition = request.receive(proof)
        if new_letters.acknowledgement:
            transition = transition.then(
                request.noted("letter.written", **sealed_letters.letter_evidence(new_letters.acknowledgement))
            )
        return PreparedRequest(transition, person, row, new_letters)

    def _check_purposes(self, purposes: Iterable[str]) -> None:
        """Raises ``BadRequest`` for a purpose that does not rest on consent."""
        if strange := sorted({*purposes} - {*self._consents}):
            known = ", ".join(sorted(self._consents))
            raise BadRequest(
                f"{len(strange)} of the purposes are none that we process data for by consent; write {known}",
                "purposes",
            )

    @staticmethod
    def _check_grant(submission: Submission, caller: Caller) -> None:
        """Raises ``Forbidden`` for more than the key may state or ask for."""
        grant = caller.grant
        if submission.channel != "api":
            caller.must_be("privacy")
        grant.must(Power.SUBMIT)
        grant.must_handle(submission.right)
        grant.must_instruct(submission.instruction_id)
        grant.must_not_vouch(submission.assurance, submission.proofs)


def _searchable(identities: Iterable[Identity]) -> Iterator[Identity]:
    """Yields identities by which systems are searched: all but names."""
    return (each for each in identities if each.type is not IdentityType.NAME)
