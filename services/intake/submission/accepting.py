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
from services.intake.access.quota import Quota, Rate
from services.intake.core.errors import BadRequest, TooLarge
from services.intake.core.schemas import Assurance, IdentityProof
from services.intake.core.subject_schemas import DataSubject
from services.intake.identity.proving import Proving, identity_policy
from services.intake.letters import correspondence
from services.intake.letters.cases import Case
from services.intake.letters.rendering import Letters
from services.intake.request import same_person
from services.intake.request.aggregate import Request, asks_for
from services.intake.request.lifecycle import first_state
from services.intake.settings import IntakeSettings
from services.intake.submission.group_commit import (
    Accepted,
    PreparedRequest,
    SubmissionContext,
    SubmissionWriter,
    Submitted,
)
from services.intake.submission.schemas import Submission, scope_of
from shared.app.service import Running
from shared.domain.identities import Identity, IdentityType, MalformedIdentity
from shared.domain.proofs import IdentityPolicy, highest_level
from shared.domain.rights import Level
from shared.domain.time_limit import Arrival, calc_version, due_on
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.domain.wording import read_languages
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.settings import PolicySettings
from shared.storage.subject_data import SubjectData

_MINUTE = 60.0
_KNOWN: Final[Level] = "L1"
"""The level below which no answer reveals whether an account exists (REQ-S5)."""


class Submissions:
    """Prepares submissions and stores those that come at the same time together."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        policy: TimeLimitPolicy,
        identity: IdentityPolicy,
        settings: IntakeSettings,
        letters: Letters,
    ) -> None:
        self._clock = unit_of_work.clock
        self._vault = unit_of_work.vault
        self._policy = policy
        self._calc_version = calc_version(policy)
        self._identity = identity
        self._letters = letters
        self._consents = unit_of_work.policy.consents
        self.instants = settings.instants
        self._proving = Proving(identity, settings.instants)
        self._numbers = settings.batch_numbers
        self._waiting = Quota(settings.waiting)
        self._rate = Rate(per_second=1, burst_seconds=_MINUTE + 0.001)
        most = settings.erasures_per_hour or identity.key_suspension.erasures_per_hour
        self._commits = SubmissionWriter(unit_of_work, most)

    @classmethod
    def of(cls, running: Running, settings: IntakeSettings) -> Self:
        """Returns it for a running service, by the policies that it reads."""
        limits = PolicySettings().read_time_limits()
        return cls(
            running.unit_of_work, limits, identity_policy(running.unit_of_work.policy.overlay), settings, Letters()
        )

    def prepare(
        self,
        submissions: Iterable[tuple[str, Submission]],
        caller: Caller,
        *,
        together: bool = False,
        follows: str | None = None,
        channel: str | None = None,
    ) -> list[PreparedRequest]:
        """Returns what to store of each submission, which comes with the place of its fields in the body.

        ``together``: they came in one message, so they are one case, known by the first of them. ``follows``: the
        Message-ID of the mail by which they came. ``channel``: by which way they came, if they do not say it.

        Raises:
            Forbidden: one states or asks for more than the key may
            BadRequest: one is said to have arrived in the future, or too long ago, or was proved by no known method
            MalformedIdentity: an identity cannot be one of its type
            TooLarge: they name more telephone numbers than are looked at for one call
        """
        now, numbers = self._clock.now(), 0
        prepared: list[PreparedRequest] = []
        submissions = list(submissions)
        case = Case([(uuid7(), each.right, each.role) for _, each in submissions]) if together else None
        for place, submission in submissions:
            numbers += len(submission.subject.phones)
            if numbers > self._numbers:
                raise TooLarge(f"more than {self._numbers} telephone numbers in one call; send fewer requests")
            try:
                request_id = case.requests[len(prepared)][0] if case else None
                prepared.append(self._prepare(submission, caller, now, request_id, channel, case=case, follows=follows))
            except (BadRequest, MalformedIdentity) as error:
                error.field = error.field and f"{place}{error.field}"
                raise
        return prepared

    async def accept(self, prepared: Sequence[PreparedRequest], context: SubmissionContext) -> list[Accepted]:
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
        self._waiting.take(context.caller.channel, len(prepared))
        try:
            return await self._commits.store(prepared, context)
        finally:
            self._waiting.give(context.caller.channel, len(prepared))

    def check(
        self, subject: DataSubject, assurance: Assurance | None, proofs: Sequence[IdentityProof], caller: Caller
    ) -> None:
        """Raises what ``prepare`` would for this subject and its proofs."""
        caller.grant.must(Power.SUBMIT)
        self._proving.prove(tuple(subject.identities()), assurance, proofs, caller.grant, self._clock.now())

    def prepare_reported(
        self, submission: Submission, caller: Caller, request_id: UUID, evidence: Mapping[str, JsonValue], number: int
    ) -> PreparedRequest:
        """Returns what to store of an emitter's event, as ``prepare``, with its evidence.

        ``number``: how many events of the key are stored together, this one included.

        Raises:
            what ``prepare`` raises, and
            TooManyCalls: more than the key may submit in a minute; call ``counted`` once it is stored
        """
        if most := caller.grant.per_minute:
            self._rate.check_capacity(caller.key_id, number * _MINUTE / most)
        return self._prepare(submission, caller, self._clock.now(), request_id, "events", evidence)

    def counted(self, caller: Caller) -> None:
        """Counts an event of an emitter."""
        if most := caller.grant.per_minute:
            self._rate.count(caller.key_id, _MINUTE / most)

    async def write(self, tx: UnitOfWork, submitted: Sequence[Submitted]) -> list[list[Accepted] | Exception]:
        """Stores what was prepared with whatever else the unit of work does; gives the answer for each."""
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
        follows: str | None = None,
    ) -> PreparedRequest:
        self._must_be_granted(submission, caller)
        self._must_be_consents(submission.purposes)
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
            anonymous=not tenant and least < _KNOWN and any(i.level < _KNOWN for i in _searched(proved.identities)),
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
        person = same_person.UNKNOWN if tenant else same_person.person(identities, keys)
        if tenant:
            identities = tuple(replace(each, level=INSTRUCTED) for each in identities)
        row = self._vault.new_subject(request.subject_ref, SubjectData(identities, submission.changes, tenant), now)
        opened = correspondence.begin(self._vault, self._letters, request, identities, now, case, follows)
        received = request.receive(proof)
        if opened.acknowledgement:
            received = received.then(request.noted("letter.written", **correspondence.named(opened.acknowledgement)))
        return PreparedRequest(received, person, row, opened)

    def _must_be_consents(self, purposes: Iterable[str]) -> None:
        """Raises ``BadRequest`` for a purpose for which no data is processed by consent."""
        if strange := sorted({*purposes} - {*self._consents}):
            known = ", ".join(sorted(self._consents))
            raise BadRequest(
                f"{len(strange)} of the purposes are none that we process data for by consent; write {known}",
                "purposes",
            )

    @staticmethod
    def _must_be_granted(submission: Submission, caller: Caller) -> None:
        """Raises ``Forbidden`` for more than the key may state or ask for."""
        grant = caller.grant
        if submission.channel != "api":
            caller.must_be("privacy")
        grant.must(Power.SUBMIT)
        grant.must_handle(submission.right)
        grant.must_instruct(submission.instruction_id)
        grant.must_not_vouch(submission.assurance, submission.proofs)


def _searched(identities: Iterable[Identity]) -> Iterator[Identity]:
    """Yields identities by which systems are searched: all but names."""
    return (each for each in identities if each.type is not IdentityType.NAME)
