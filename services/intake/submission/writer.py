"""Stores submissions by group commit: those that arrive during a commit share the next transaction."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import islice
from operator import attrgetter
from uuid import UUID

from services.intake.access import key_suspension
from services.intake.access.auth import Caller
from services.intake.core.errors import IdempotencyKeyReused
from services.intake.core.metrics import REQUESTS
from services.intake.letters import delivery_queue
from services.intake.letters.sealed_letters import NewCorrespondence
from services.intake.request import status
from services.intake.request.aggregate import Request, Transition
from services.intake.request.lifecycle import State
from services.intake.request.same_person import ProvedPerson
from services.intake.store import lookup, other_requests, repository
from shared.domain.rights import Right
from shared.messaging.group_commit import GroupCommit
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.telemetry import sampled_trace
from shared.storage.vault import Row

_CLAIM_KEYS = """
INSERT INTO idempotency (channel, idempotency_key, body_hash, request_ids, accepted_at)
SELECT c.channel, c.idempotency_key, c.body_hash, c.request_ids, $5
FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) AS c (channel, idempotency_key, body_hash, request_ids)
ON CONFLICT DO NOTHING RETURNING channel, idempotency_key
"""
_READ_KEYS = """
SELECT i.channel, i.idempotency_key, i.body_hash,
       ARRAY(SELECT encode(substring(i.request_ids FROM place FOR 16), 'hex')::uuid
             FROM generate_series(1, length(i.request_ids), 16) AS place ORDER BY place)
FROM idempotency i JOIN unnest($1::text[], $2::bytea[]) AS c (channel, idempotency_key) USING (channel, idempotency_key)
"""

_Key = tuple[str, bytes]
"""A channel, and an idempotency key that came with one of its API keys."""


@dataclass(frozen=True, slots=True)
class SubmissionContext:
    """The sender of a submission, keyed hashes of its idempotency key and body, and its trace."""

    caller: Caller
    idempotency_key: bytes | None
    body_hash: bytes
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request that is ready to be stored, with its sealed subject and its sealed first letter.

    ``person``: what the requester has proved.
    """

    transition: Transition
    person: ProvedPerson
    subject_row: Row
    correspondence: NewCorrespondence

    @property
    def request(self) -> Request:
        """The request as it is stored."""
        return self.transition.request


@dataclass(frozen=True, slots=True)
class AcceptedRequest:
    """The result for one stored request; ``replayed``: an earlier call has stored it."""

    request_id: UUID
    state: str
    due_on: date
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class SubmissionBatch:
    """The requests of one call, of which all are stored or none."""

    context: SubmissionContext
    prepared: Sequence[PreparedRequest]

    @property
    def requests(self) -> list[Request]:
        """The requests as they are stored."""
        return [each.request for each in self.prepared]

    @property
    def key(self) -> _Key | None:
        """The idempotency key with its channel, if there is one."""
        key = self.context.idempotency_key
        return (self.context.caller.channel, key) if key else None


class SubmissionWriter:
    """Writes concurrent submissions in one transaction."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, erasures_per_hour: int) -> None:
        self._unit_of_work = unit_of_work
        self._erasures_per_hour = erasures_per_hour
        self._group: GroupCommit[SubmissionBatch, list[AcceptedRequest]] = GroupCommit(
            self._commit, lambda each: len(each.prepared), attrgetter("key")
        )

    async def store(self, prepared: Sequence[PreparedRequest], context: SubmissionContext) -> list[AcceptedRequest]:
        """Stores all of them or none; a replay of the same idempotency key gives the first answer again.

        Raises:
            IdempotencyKeyReused: the key came before with another body
        """
        return await self._group.commit(SubmissionBatch(context, prepared))

    async def _commit(self, group: Sequence[SubmissionBatch]) -> list[list[AcceptedRequest] | Exception]:
        async with self._unit_of_work.begin() as tx:
            await tx.plan_once(len(group))
            return await self.write(tx, group)

    async def write(self, tx: UnitOfWork, group: Sequence[SubmissionBatch]) -> list[list[AcceptedRequest] | Exception]:
        """Stores batches in the caller's unit of work; returns a result or an error for each."""
        replays = await _claim_keys(tx, group)
        fresh = await self._suspended(tx, [each for each in group if each.key not in replays])
        await _insert(tx, fresh)
        tx.after_commit(partial(_count, [prepared.request for each in fresh for prepared in each.prepared]))
        stored = iter(fresh)
        return [
            replays[each.key]
            if each.key in replays
            else [AcceptedRequest(r.request_id, r.state, r.due_on) for r in next(stored).requests]
            for each in group
        ]

    async def _suspended(self, tx: UnitOfWork, group: Sequence[SubmissionBatch]) -> Sequence[SubmissionBatch]:
        """Returns the batches, with erasures of suspended API keys paused."""
        erasures = [p for each in group for p in each.prepared if p.request.right is Right.ERASURE]
        keys = await key_suspension.count_erasures(tx, (p.request.key_id for p in erasures), self._erasures_per_hour)
        return [replace(each, prepared=[_paused(p, keys) for p in each.prepared]) for each in group] if keys else group


def _count(requests: Iterable[Request]) -> None:
    for request in requests:
        REQUESTS.labels(request.right, "accepted").inc()
        if request.state is State.AWAITING_IDENTITY:
            REQUESTS.labels(request.right, "identity_needed").inc()


def _paused(prepared: PreparedRequest, keys: Collection[str]) -> PreparedRequest:
    transition = prepared.transition
    if prepared.request.key_id in keys and key_suspension.starts_erasure(transition):
        return replace(prepared, transition=key_suspension.pause(transition))
    return prepared


async def _claim_keys(
    tx: UnitOfWork, group: Sequence[SubmissionBatch]
) -> dict[_Key | None, list[AcceptedRequest] | Exception]:
    """Claims the idempotency keys of a group; returns the first result for each key that was used before."""
    keyed = {key: each for each in group if (key := each.key)}
    if not keyed:
        return {}
    packed = [b"".join(p.request.request_id.bytes for p in each.prepared) for each in keyed.values()]
    hashes = [each.context.body_hash for each in keyed.values()]
    claimed = await tx.connection.fetch(_CLAIM_KEYS, *map(list, zip(*keyed, strict=True)), hashes, packed, tx.now)
    taken = keyed.keys() - {tuple(row) for row in claimed}
    if not taken:
        return {}
    rows = await tx.connection.fetch(_READ_KEYS, *map(list, zip(*taken, strict=True)))
    every = [request_id for row in rows for request_id in row[3]]
    query = "SELECT request_id, state, due_on FROM request WHERE request_id = ANY($1)"
    first = {
        row[0]: AcceptedRequest(row[0], row[1], row[2], replayed=True)
        for row in await tx.connection.fetch(query, every)
    }
    reused = "this idempotency key was used before with another body; nothing was stored"
    return {
        (channel, value): [first[request_id] for request_id in request_ids]
        if body_hash == keyed[channel, value].context.body_hash
        else IdempotencyKeyReused(reused)
        for channel, value, body_hash, request_ids in rows
    }


async def _insert(tx: UnitOfWork, submissions: Sequence[SubmissionBatch]) -> None:
    """Inserts vault rows, requests, lookups and letters, then publishes the events of each request."""
    context_of = {each.request.request_id: s.context for s in submissions for each in s.prepared}
    if not context_of:
        return
    prepared = [each for submission in submissions for each in submission.prepared]
    records = [record for each in prepared for record in (each.subject_row, each.correspondence.record)]
    await tx.vault.insert_subjects(tx.connection, records)
    await tx.vault.insert_sealed(tx.connection, [row for each in prepared for row in each.correspondence.sealed])
    await other_requests.register_new(tx, [(each.request, each.person) for each in prepared])
    await repository.insert(tx.connection, [each.request for each in prepared])
    stated = [(each.request.request_id, each.correspondence.identities, each.person) for each in prepared]
    await lookup.index_requests(tx, stated)
    await delivery_queue.queue_acknowledgements(tx, [(each.request, each.correspondence) for each in prepared])
    events = [event for each in prepared for event in each.transition.published]
    await other_requests.add_located_identities(tx, events)
    published = iter(await other_requests.with_other_requests(tx, events))
    for transition in (each.transition for each in prepared):
        request_id = transition.request.request_id
        context = context_of[request_id]
        tx.traces[request_id] = context.traceparent
        for action, detail in transition.evidence:
            traced = {"trace": trace} if (trace := sampled_trace(context.traceparent)) else {}
            tx.log_evidence(request_id, action, {**detail, **traced}, context.caller.actor)
        for event in islice(published, len(transition.published)):
            tx.publish(event)
        status.publish(tx, status.status_of(transition.request))
