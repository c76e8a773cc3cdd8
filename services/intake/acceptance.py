"""Accepting requests durably: whoever asks while a commit is under way shares the next one."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from services.intake import assurance, idempotency, repository
from services.intake.keys import Caller
from services.intake.lifecycle import State
from services.intake.problems import BadRequest, KeyReused
from services.intake.request import Request, Transition
from services.intake.submission import Submission, received_in_the_future
from shared.domain.rights import Right
from shared.domain.time_limit import Arrival, calc_version, due_on
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.metrics import REQUESTS
from shared.storage.vault import SubjectData

_LARGEST_GROUP = 1_000
"""Requests of one commit: more would hold the evidence's head, and the memory, for longer than they save."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What came with one HTTP request: who sent it, under which idempotency key if any, and its trace."""

    caller: Caller
    claim: idempotency.Claim | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that is stored: its id, where it stands and by when it is due."""

    request_id: UUID
    state: str
    due_on: date
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    envelope: Envelope
    prepared: Sequence["_Prepared"]
    answer: "asyncio.Future[list[Accepted]]"


@dataclass(frozen=True, slots=True)
class _Prepared:
    received: Transition
    subject_row: tuple[object, ...]

    @property
    def request(self) -> Request:
        return self.received.request


class Acceptance:
    """The counter at which requests are handed in."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, policy: TimeLimitPolicy, required: Mapping[Right, str]) -> None:
        self._transactions = unit_of_work
        self._policy = policy
        self._required = required
        self._waiting: list[_Waiting] = []
        self._working: asyncio.Task[None] | None = None

    async def accept(self, submissions: Sequence[Submission], envelope: Envelope) -> list[Accepted]:
        """Stores all of them or none; a replay of the same idempotency key gives the first answer again.

        Raises ``KeyReused``, ``BadRequest`` or ``MalformedIdentity``; nothing is stored then.
        """
        now = self._transactions.clock.now()
        prepared = [self._prepare(submission, envelope, now) for submission in submissions]
        answer: asyncio.Future[list[Accepted]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(envelope, prepared, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await answer

    def _prepare(self, submission: Submission, envelope: Envelope, now: datetime) -> _Prepared:
        received_at = submission.received_at or now
        if received_in_the_future(received_at, now):
            raise BadRequest("received_at lies in the future; leave it out, or give the instant at which it arrived")
        country = submission.subject.country
        arrival = Arrival(received_at, self._policy.zones_of(country), self._policy.calendar_of(country))
        scope = submission.ground or submission.scope
        request = Request(
            request_id=uuid7(),
            subject_ref=uuid7(),
            right=submission.right,
            state=State.RECEIVED,
            scope=scope,
            channel="api",
            key_id=envelope.caller.key_id,
            received_at=received_at,
            accepted_at=now,
            due_on=due_on(arrival, submission.right, scope, self._policy, submission.role),
            zones=arrival.zones,
            calendar=self._policy.calendar_of(country),
            role=submission.role,
            calc_version=calc_version(self._policy),
        )
        identified = assurance.suffices(submission.assurance, submission.right, self._required)
        proof = submission.assurance.model_dump() if submission.assurance else {}
        subject = SubjectData(
            tuple(submission.subject.identities()), tuple(change.model_dump() for change in submission.changes)
        )
        subject_row = self._transactions.vault.new_subject(request.subject_ref, subject, now)
        return _Prepared(request.receive(proof, identified=identified), subject_row)

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting = _next_group(self._waiting)
            try:
                answers = await self._commit(group)
            except Exception as error:  # noqa: BLE001  # whoever waits must hear of it, whatever it is
                for waiting in group:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
                continue
            for waiting, answer in zip(group, answers, strict=True):
                if waiting.answer.done():
                    continue
                if isinstance(answer, Exception):
                    waiting.answer.set_exception(answer)
                else:
                    waiting.answer.set_result(answer)

    async def _commit(self, group: Sequence[_Waiting]) -> list[list[Accepted] | KeyReused]:
        async with self._transactions.begin() as tx:
            claims = {w.envelope.claim: [p.request.request_id for p in w.prepared] for w in group if w.envelope.claim}
            earlier = await idempotency.claim(tx, claims) if claims else {}
            fresh = [waiting for waiting in group if waiting.envelope.claim not in earlier]
            await self._store(tx, fresh)
        for waiting in fresh:
            for prepared in waiting.prepared:
                REQUESTS.labels(prepared.request.right, "accepted").inc()
                if prepared.request.state is State.AWAITING_IDENTITY:
                    REQUESTS.labels(prepared.request.right, "identity_needed").inc()
        return [
            _replay(waiting.envelope, earlier[waiting.envelope.claim])
            if waiting.envelope.claim in earlier
            else [Accepted(p.request.request_id, p.request.state, p.request.due_on) for p in waiting.prepared]
            for waiting in group
        ]

    async def _store(self, tx: UnitOfWork, fresh: Sequence[_Waiting]) -> None:
        everything = [(waiting.envelope, prepared) for waiting in fresh for prepared in waiting.prepared]
        if not everything:
            return
        await tx.vault.insert_subjects(tx.connection, [prepared.subject_row for _, prepared in everything])
        await repository.insert(tx.connection, [prepared.request for _, prepared in everything])
        for envelope, prepared in everything:
            request_id, received = prepared.request.request_id, prepared.received
            tx.traces[request_id] = envelope.traceparent
            for action, detail in received.evidence:
                tx.log_evidence(request_id, action, detail, envelope.caller.actor)
            for event in received.published:
                tx.publish(event)


def _next_group(waiting: Sequence[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """Those to commit now and those to commit after: one idempotency key at most once, and no more than is bearable."""
    now: list[_Waiting] = []
    later: list[_Waiting] = []
    claimed: set[tuple[str, str]] = set()
    size = 0
    for each in waiting:
        key = each.envelope.claim and (each.envelope.claim.key_id, each.envelope.claim.idempotency_key)
        if key in claimed or (now and size + len(each.prepared) > _LARGEST_GROUP):
            later.append(each)
        else:
            now.append(each)
            size += len(each.prepared)
        if key:
            claimed.add(key)
    return now, later


def _replay(envelope: Envelope, earlier: idempotency.Earlier) -> list[Accepted] | KeyReused:
    if envelope.claim is None or earlier.body_hash != envelope.claim.body_hash:
        return KeyReused("this idempotency key was used before with another body; nothing was stored")
    return [Accepted(request_id, state, due_on, replayed=True) for request_id, state, due_on in earlier.requests]
