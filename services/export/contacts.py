"""Looks up who is on file for an account that a requester has named and not proved; it reads, and reads nothing else.

Only the source of the register of numbers is asked: what other systems file under an account may be what anybody has
written to them. What it has goes into a record of its own in the vault, and nowhere beside the requester's. That it was
looked up is said in the same words whether there was anything or not.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.app.service import Running
from shared.domain.errors import Unavailable
from shared.domain.events import UNPUBLISHED, ContactLookedUp, ContactSought
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.downstreams.contract import Pending, Receipt, Result, Task
from shared.downstreams.downstream import Downstream
from shared.fulfilment.calls import Calls
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import alive, backoff, retry_while_unavailable
from shared.runtime.metrics import CALL_SECONDS
from shared.runtime.settings import WorkSettings
from shared.storage.subject_data import SubjectData, encode_identities
from shared.storage.systems import Standing, SystemState, standings
from shared.storage.vault import Sealing

LOOP: Final = "contacts"
STEP: Final = ("export", LOOP)
"""What the loop is woken by."""
_TAKEN: Final = timedelta(minutes=1)
"""For how long a lookup is in one process's hands; what it finds once another one has taken it over is dropped."""
_LOOK_SECONDS: Final = 2.0
_ADD = """
INSERT INTO contact_lookup (ask_id, request_id, "right", until, not_before, traceparent)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""
_CLAIM = """
UPDATE contact_lookup SET attempt = attempt + 1, not_before = $2 WHERE ask_id IN (
    SELECT ask_id FROM contact_lookup WHERE not_before <= $1 ORDER BY not_before LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING ask_id, request_id, "right", until, attempt, traceparent
"""
_LATER = "UPDATE contact_lookup SET not_before = $3 WHERE ask_id = $1 AND attempt = $2"
_DONE = "DELETE FROM contact_lookup WHERE ask_id = $1 AND attempt = $2 RETURNING true"


@dataclass(frozen=True, slots=True)
class Sought:
    """A lookup that this process has in hand; ``until``: after that it is of no use any more."""

    ask_id: UUID
    request_id: UUID
    right: Right
    until: datetime
    attempt: int
    traceparent: str | None


async def seek(fulfilments: Fulfilments, events: Sequence[ContactSought], tx: UnitOfWork) -> None:
    """Has contacts looked up."""
    for event in events:
        trace = tx.traces.get(event.request_id)
        await tx.connection.execute(_ADD, event.subject, event.request_id, event.right, event.until, tx.now, trace)
    fulfilments.wake(tx, STEP)


def on_file(named: Collection[Identity], result: Result) -> tuple[Identity, ...]:
    """The addresses that a system has on file for whom it was asked about, and for nobody else; pure.

    None where it has found another account, or several: then it is not known whose they are.
    """
    if not isinstance(result, Receipt):
        return ()
    accounts = {each.value for each in result.identities if each.type is IdentityType.ACCOUNT_ID}
    if accounts != {each.value for each in named}:
        return ()
    theirs = (each for each in result.identities if each.type is IdentityType.EMAIL)
    return tuple(each for each in theirs if each.valid_to is None and not each.shared)


class ContactLookups:
    """Looks up what is due, many at a time."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        declared: Sequence[Downstream],
        settings: WorkSettings,
        heartbeats: Heartbeats,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._source = next((each for each in declared if each.assigns and each.can(Operation.LOCATE)), None)
        self._settings = settings
        self._heartbeats = heartbeats

    async def look(self) -> int:
        """Looks up as much as one call takes, and says so; how many there were."""
        due = await retry_while_unavailable(self._claim, LOOP, self._heartbeats)
        if due:
            known, standing = await retry_while_unavailable(partial(self._known, due), LOOP, self._heartbeats)
            async with alive(LOOP, self._heartbeats):
                named, found = await self._ask(due, known, standing)
            write = partial(self._write, due, named, found)
            await retry_while_unavailable(write, LOOP, self._heartbeats)
        return len(due)

    async def _claim(self) -> list[Sought]:
        now = self._unit_of_work.clock.now()
        async with self._unit_of_work.pool.acquire() as connection:
            rows = await connection.fetch(_CLAIM, now, now + _TAKEN, self._settings.batch)
        return [Sought(row[0], row[1], Right(row[2]), *tuple(row)[3:]) for row in rows]

    async def _known(self, due: Sequence[Sought]) -> tuple[Mapping[UUID, SubjectData], Standing | None]:
        """What is known of whom is looked up, and where the source stands."""
        async with self._unit_of_work.pool.acquire() as connection:
            known = await self._unit_of_work.vault.subject_data(connection, [each.ask_id for each in due])
            return known, (await standings(connection)).get(self._source.name) if self._source else None

    async def _ask(
        self, due: Sequence[Sought], known: Mapping[UUID, SubjectData], standing: Standing | None
    ) -> tuple[Mapping[UUID, Sequence[Identity]], Mapping[UUID, Result]]:
        """What was named, as far as the source may hear of it, and what it answers; by lookup."""
        source = self._source
        if source is None:
            return {}, {}
        named = {each.ask_id: self._heard(source, known.get(each.ask_id)) for each in due}
        asked = [each for each in due if named[each.ask_id]]
        if not standing or standing.state is not SystemState.ON or standing.hash != source.fingerprint:
            away = Unavailable(f"{source.name} is not switched on as it is declared")
            return named, dict.fromkeys((each.ask_id for each in asked), away)
        tasks = {each.ask_id: _task(source, each, named[each.ask_id], self._unit_of_work.clock.now()) for each in asked}
        seconds = CALL_SECONDS.labels(self._unit_of_work.service, source.name, Operation.LOCATE)
        calls = Calls(LOOP, source.operate(Operation.LOCATE), _notes_nothing, seconds)
        results = await calls.make([*tasks.values()], ()) if tasks else {}
        return named, {ask_id: results[task.task_id] for ask_id, task in tasks.items()}

    @staticmethod
    def _heard(source: Downstream, known: SubjectData | None) -> tuple[Identity, ...]:
        stated = [each for each in known.identities if each.source == "requester"] if known else ()
        return tuple(each for each in source.may_hear(stated) if each.type in source.needs)

    async def _write(
        self, due: Sequence[Sought], named: Mapping[UUID, Sequence[Identity]], found: Mapping[UUID, Result]
    ) -> None:
        async with self._unit_of_work.begin() as tx:
            there = await tx.vault.unshredded(tx.connection, [each.ask_id for each in due])
            for each in due:
                result = found.get(each.ask_id)
                again = tx.now + backoff(each.attempt, self._settings)
                if isinstance(result, Unavailable | Pending) and again < each.until:
                    await tx.connection.execute(_LATER, each.ask_id, each.attempt, again)
                    continue
                if not await tx.connection.fetchval(_DONE, each.ask_id, each.attempt):
                    continue
                contacts = on_file(named[each.ask_id], result) if result else ()
                if contacts and self._source and each.ask_id in there:
                    content = encode_identities(contacts)
                    sealing = Sealing(each.ask_id, "identities", self._source.name, content)
                    await tx.vault.seal(tx.connection, [sealing], tx.now)
                name = self._source.name if self._source else None
                tx.log_evidence(each.ask_id, "contact.looked_up", {"system": name, "contacts": len(contacts)})
                tx.traces[each.request_id] = each.traceparent
                about = {"request_id": each.request_id, "right": each.right, "subject": each.ask_id}
                tx.publish(ContactLookedUp.model_validate({"occurred_at": UNPUBLISHED, **about}))


async def run(fulfilments: Fulfilments, running: Running) -> None:
    """Looks up for as long as the service runs."""
    declared = running.downstreams.all if running.downstreams else ()
    lookups = ContactLookups(running.unit_of_work, declared, running.settings.work, running.heartbeats)
    while not running.stopping.is_set():
        if await lookups.look() < running.settings.work.batch:
            await fulfilments.wakeup(STEP).wait(_LOOK_SECONDS)


def _task(source: Downstream, sought: Sought, named: tuple[Identity, ...], now: datetime) -> Task:
    return Task(
        task_id=uuid7(),
        request_id=sought.request_id,
        subject_ref=sought.ask_id,
        system=source.name,
        operation=Operation.LOCATE,
        identities=named,
        attempt=sought.attempt,
        at=now,
    )


async def _notes_nothing(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
    """A lookup changes nothing, so there is nothing to remember."""
    del progress
