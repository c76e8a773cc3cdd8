"""Reads and writes requests, each batch in one statement.

Columns of the table are what queries need; every other field of a request is in ``facts``, where it is not the default.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, Self
from uuid import UUID

import asyncpg
import orjson
from pydantic import TypeAdapter

from services.intake.access import key_suspension
from services.intake.core.metrics import CLOSED, OPEN_SECONDS, REQUESTS
from services.intake.letters import cases, delivery_queue, old_contacts, portal_notifications, sealed_letters
from services.intake.letters.delivery_queue import NewLetter
from services.intake.letters.letter_facts import LetterFacts
from services.intake.recipients import recipients
from services.intake.request import other_restrictions, status
from services.intake.request.aggregate import Request, Transition
from services.intake.request.delivery_effects import OnDelivery, defer_until_delivered
from services.intake.request.disclosed import DisclosedOfAll
from services.intake.request.letter_kinds import ANSWERS, LetterField, LetterOf
from services.intake.request.lifecycle import State
from services.intake.request.stored_request import COPIES, StoredRequest
from services.intake.store import other_requests
from shared.domain.events import Event, RequestClosed, RequestReopened
from shared.domain.operations import TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Fact, Lines, Sentence
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection, column_types, update_rows

log = logging.getLogger(__name__)

_BLOCKED_AGAIN = frozenset({"erasure.deferred_blocked", "part.blocked", "package.renewal_blocked"})
_LATER = frozenset({"erasure.deferred_completed", "part.completed", "restriction.lift_completed"})
_MORE_DONE = _LATER | {"use.stopped_so_far", "decision.needed"}
_FIXED = ["request_id", "subject_ref", "right", "scope", "channel", "key_id", "tenant", "case_id", "accepted_at"]
_CHANGING = ["version", "state", "received_at", "role", "due_on", "outcome", "responded_at", "closed_at", "owed"]
_DERIVED = {"open": "boolean", "waits": "text"}
"""Properties of a request by which lists filter."""
_OF_PACKAGE = ("package_id", "package_fault", "package_gone")
"""Stored in the table of packages."""
_TYPES = column_types(Request)
_UPDATED = {name: _TYPES[name] for name in _CHANGING} | _DERIVED | {"tasks": "jsonb", "facts": "jsonb"}
_FACTS = _TYPES.keys() - {*_FIXED, *_CHANGING, *_OF_PACKAGE, "tasks"}
_ANSWERS_OVER = """
UPDATE approval SET state = 'replaced'
WHERE request_id = $1 AND state = 'approved' AND action IN ('refuse', 'answer-in-part')
"""
_PACKAGES = """
SELECT request_id, package_id, fault AS package_fault, CASE WHEN gone THEN package_id END AS package_gone
FROM package WHERE request_id = ANY($1)
"""
# Of another package nothing is counted yet.
_PACKAGE = """
INSERT INTO package AS p (request_id, package_id, fault) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[])
ON CONFLICT (request_id) DO UPDATE SET package_id = excluded.package_id, fault = excluded.fault,
    downloads = CASE p.package_id WHEN excluded.package_id THEN p.downloads ELSE 0 END,
    gone = p.gone AND p.package_id = excluded.package_id
"""
_COLUMNS = ", ".join(f'"{name}"' for name in (*_FIXED, *_CHANGING, "tasks", "facts"))
_READ = f"SELECT {_COLUMNS} FROM request"  # noqa: S608  # constants
_REQUEST, _TASKS = TypeAdapter(Request), TypeAdapter(tuple[TaskReport, ...])
_new, _changing = attrgetter(*_FIXED, *_CHANGING, *_DERIVED), attrgetter(*_CHANGING, *_DERIVED)


async def read(connection: Connection, request_id: UUID) -> Request | None:
    """Returns the request with that id, if there is one."""
    found = await read_all(connection, [request_id])
    return found[0] if found else None


async def read_all(connection: Connection, request_ids: Sequence[UUID]) -> list[Request]:
    """Returns the requests with these ids, in the order of ids."""
    found = await connection.fetch(f"{_READ} WHERE request_id = ANY($1) ORDER BY request_id", request_ids)
    return await _requests(connection, found)


async def read_case(connection: Connection, case_id: UUID) -> list[Request]:
    """Returns the requests of one message, in the order in which it named the rights."""
    found = await connection.fetch(f"{_READ} WHERE case_id = $1 ORDER BY request_id", case_id)
    return await _requests(connection, found)


async def insert(connection: Connection, requests: Iterable[Request]) -> None:
    """Stores new requests."""
    rows = [(*_new(request), _facts(request)) for request in requests]
    columns = (*_FIXED, *_CHANGING, *_DERIVED, "facts")
    await connection.copy_records_to_table("request", records=rows, columns=columns)


class Requests:
    """Locks requests for a unit of work, applies transitions to them in memory, and saves each of them once."""

    def __init__(self, tx: UnitOfWork, letters: LetterFacts, requests: dict[UUID, Request], actor: str | None) -> None:
        self.tx = tx
        self._letters = letters
        self._requests = requests
        self._before = dict(requests)
        self._actor = actor
        self._changed: set[UUID] = set()
        self._new_letters: list[NewLetter] = []
        self._corrected: list[Request] = []
        self._completed: set[UUID] = set()
        self._copies_since: Mapping[UUID, datetime] | None = None
        self._disclosed = DisclosedOfAll(tx.policy)

    @classmethod
    async def locked(
        cls, tx: UnitOfWork, letters: LetterFacts, request_ids: Iterable[UUID], actor: str | None = None
    ) -> Self:
        """Returns these requests, locked in one order until the unit of work ends; skips unknown ids."""
        known = f"{_READ} WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE"
        rows = await tx.connection.fetch(known, list(set(request_ids)))
        return cls(tx, letters, {each.request_id: each for each in await _requests(tx.connection, rows)}, actor)

    def __getitem__(self, request_id: UUID) -> Request:
        return self._requests[request_id]

    def get(self, request_id: UUID) -> Request | None:
        """Returns the current request, if it is locked here."""
        return self._requests.get(request_id)

    @property
    def all(self) -> tuple[Request, ...]:
        """Returns all locked requests in their current state."""
        return tuple(self._requests.values())

    async def apply(self, transition: Transition) -> Request:
        """Applies a transition; ``save`` then writes the request and its letters.

        Pauses an erasure of a suspended API key. Defers effects that wait for the delivery of a letter. Composes
        letters and logs evidence. Adds identities that earlier erasures located, then publishes the events.
        """
        if key_suspension.starts_erasure(transition) and await key_suspension.is_suspended(
            self.tx.connection, transition.request.key_id
        ):
            transition = key_suspension.pause(transition)
        others = await other_restrictions.sentences(self.tx.connection, transition)
        published = transition.published
        transition, on_delivery = defer_until_delivered(
            transition, readable=await portal_notifications.is_announced(self.tx, transition)
        )
        await portal_notifications.cancel_closed_question(
            self.tx, self._requests[(request := transition.request).request_id], request
        )
        written = recipients.add_recipient_list(self.tx.policy, self._disclosed, request, transition.letters)
        written = cases.add_case_sentence(request, written, await self._same_case(request, written))
        copies = await self._copy_sentences(request, written)
        more: dict[str, LetterField] = {
            "others": others,
            "to_correct": await old_contacts.corrected_fields(self.tx, request, written),
        }
        self._compose_all(request, written, more, copies, on_delivery)
        for action, detail in transition.evidence:
            decided = {"policy": self.tx.policy.version} if action == "decision.made" else {}
            self.tx.log_evidence(request.request_id, action, {**detail, **decided}, self._actor)
        await other_requests.add_located_identities(self.tx, transition.published)
        for event in await other_requests.with_other_requests(self.tx, transition.published):
            self.tx.publish(event)
        for event in published:
            self._count(request, event)
            if isinstance(event, RequestReopened):
                await self._on_reopened(request)
        blocked_again = any(action in _BLOCKED_AGAIN for action, _ in transition.evidence)
        if blocked_again or request.state is State.AWAITING_DECISION is not self._requests[request.request_id].state:
            self._log_unsearched(request)
        self._completed |= {request.request_id for action, _ in transition.evidence if action in _MORE_DONE}
        if request is not self._requests[request.request_id]:
            self._requests[request.request_id] = request
            self._changed.add(request.request_id)
        return request

    async def _on_reopened(self, request: Request) -> None:
        """Registers a reopened request again, and voids approvals and letters of its former answer."""
        await other_requests.register(self.tx, request)
        await self.tx.connection.execute(_ANSWERS_OVER, request.request_id)
        await delivery_queue.drop_effects(self.tx.connection, request.request_id)

    async def _same_case(self, request: Request, written: Sequence[LetterOf]) -> list[Request]:
        """Returns the requests of the same message as an answered one, as they stand in this unit of work."""
        if request.case_id is None or not cases.answers_case(request, written):
            return []
        found = await read_case(self.tx.connection, request.case_id)
        return [self._requests.get(each.request_id, each) for each in found if each.request_id != request.request_id]

    async def _copy_sentences(self, request: Request, written: Sequence[LetterOf]) -> tuple[Sentence, ...]:
        """Returns what the answer to an erasure says about the person's earlier copies."""
        answers = any(kind in ANSWERS for kind, _ in written)
        if not answers or request.right is not Right.ERASURE:
            return ()
        if self._copies_since is None:  # once for the whole batch
            erasures = [each.request_id for each in self._requests.values() if each.right is Right.ERASURE]
            self._copies_since = await other_requests.copies_available_since(self.tx, erasures)
        return self._letters.copies(self._copies_since.get(request.request_id))

    def apply_delivery(self, transition: Transition) -> None:
        """Applies the effects that waited for the delivery or the return of a letter; writes no letter."""
        request = transition.request
        for event in transition.published:
            self.tx.publish(event)
        if request is not self._requests[request.request_id]:
            self._requests[request.request_id] = request
            self._changed.add(request.request_id)

    def bump_version(self, request_id: UUID) -> None:
        """Raises the version of a request at the next ``save``, even if only its history changed."""
        self._changed.add(request_id)

    async def save(self) -> None:
        """Writes every request that has changed, as its next version, and the letters, in one batch.

        Raises:
            Shredded: a letter is to be written, and the key of the correspondence has expired.
        """
        for request, letter in await old_contacts.old_contact_letters(self.tx, self._corrected):
            self._compose(request, letter)
        self._corrected.clear()
        done = [self._disclosed.of(self._requests[each]) for each in sorted(self._completed)]
        facts = await recipients.record_recipients(self.tx, done, self._requests, read_all)
        self._completed.clear()
        await delivery_queue.store_letters(self.tx, self._letters, self._new_letters, facts)
        self._new_letters.clear()
        for request_id in self._changed:
            request = self._requests[request_id]
            self._requests[request_id] = replace(request, version=request.version + 1)
        changed = [self._requests[request_id] for request_id in sorted(self._changed)]
        rows = [(each.request_id, *_changing(each), _tasks(each), _facts(each)) for each in changed]
        await update_rows(self.tx.connection, "request", "request_id", _UPDATED, rows)
        await self._save_packages(changed)
        await other_requests.unregister_closed(self.tx.connection, changed)
        for request in changed:
            if (now := status.status_of(request)) != status.status_of(self._before[request.request_id]):
                status.publish(self.tx, now)
        self._before.update({request.request_id: request for request in changed})

    async def _save_packages(self, changed: Sequence[Request]) -> None:
        rows = [(each.request_id, each.package_id, each.package_fault) for each in changed]
        stored = {(each.request_id, each.package_id, each.package_fault) for each in self._before.values()}
        if new := [row for row in rows if row[1] and row not in stored]:
            await self.tx.connection.execute(_PACKAGE, *map(list, zip(*new, strict=True)))
        if gone := [row[0] for row in rows if not row[1] and self._before[row[0]].package_id]:
            await self.tx.connection.execute("DELETE FROM package WHERE request_id = ANY($1)", gone)

    def _compose_all(
        self,
        request: StoredRequest,
        letters: Sequence[LetterOf],
        common: Mapping[str, LetterField],
        copies: tuple[Sentence, ...],
        on_delivery: Sequence[OnDelivery],
    ) -> None:
        """Composes letters; ``on_delivery`` takes effect when the last of them is delivered."""
        for number, (kind, fields) in enumerate(letters, 1):
            fetch: Fact = self._letters.fetch(request, self.tx.now) if request.package_id else ""
            remains = self._letters.remains(request, self.tx.now, self._disclosed.of(request))
            more: dict[str, LetterField] = {**common, "fetch": fetch, "remains": Lines((*remains, *copies))}
            letter: LetterOf = (kind, {**more, **fields})
            self._compose(request, letter, on_delivery if number == len(letters) else ())

    def _compose(self, request: StoredRequest, letter: LetterOf, on_delivery: Sequence[OnDelivery] = ()) -> None:
        sealing = sealed_letters.compose(self._letters, request, letter, self.tx.now)
        self._new_letters.append(NewLetter(request, sealing, on_delivery))
        self.tx.log_evidence(request.request_id, "letter.written", sealed_letters.letter_evidence(sealing))

    def _count(self, request: Request, event: Event) -> None:
        match event:
            case RequestClosed():
                self._completed.add(request.request_id)
                if old_contacts.made_correction(request):
                    self._corrected.append(request)
                lasted = (self.tx.now - request.accepted_at).total_seconds()
                self.tx.after_commit(partial(CLOSED.labels(event.right, event.outcome).inc))
                self.tx.after_commit(partial(OPEN_SECONDS.labels(event.right).observe, lasted))
                closed = partial(
                    log.info, "request %s is closed: %s, %s", request.request_id, event.right, event.outcome
                )
                self.tx.after_commit(closed)
                if event.outcome is Outcome.UNIDENTIFIED:
                    self.tx.after_commit(partial(REQUESTS.labels(event.right, "identity_abandoned").inc))
            case RequestReopened():
                self.tx.after_commit(partial(REQUESTS.labels(event.right, "reopened").inc))

    def _log_unsearched(self, request: Request) -> None:
        """Logs what could not be searched and waits for a person; the service that worked a task logs its failure."""
        for task in request.tasks or ():
            if task.not_searched:
                waits = (request.request_id, task.operation, task.system, task.not_searched, task.reason)
                self.tx.after_commit(partial(log.warning, "request %s waits for a person: %s in %s: %s: %s", *waits))


def _tasks(request: Request) -> orjson.Fragment | None:
    # a fragment and no list: of a list, the driver would make a dimension of the array
    return None if request.tasks is None else orjson.Fragment(_TASKS.dump_json(request.tasks, exclude_none=True))


def _facts(request: Request) -> orjson.Fragment:
    return orjson.Fragment(_REQUEST.dump_json(request, include=_FACTS, exclude_defaults=True))


async def _requests(connection: Connection, rows: Sequence[asyncpg.Record]) -> list[Request]:
    """Builds requests from their rows; packages are read once the rows are locked."""
    copies = [row["request_id"] for row in rows if row["right"] in COPIES]
    packages = {row[0]: dict(row) for row in await connection.fetch(_PACKAGES, copies)} if copies else {}
    return [_request(row, packages.get(row["request_id"], {})) for row in rows]


def _request(row: asyncpg.Record, package: Mapping[str, object]) -> Request:
    tasks = row["tasks"] and [{"outcome": None, **report} for report in row["tasks"]]
    values: dict[str, Any] = {**dict(row), **row["facts"], **package, "tasks": tasks}
    return _REQUEST.validate_python(values)
