"""Finds each night suppressed people to whom a system would send marketing, and stops it.

An import may bring back a contact point after an erasure or an objection, when the vault no longer knows the subject.
So each system lists its marketing recipients, which are compared by keyed hash. One process compares a system, once a
night.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from prometheus_client import Gauge
from uuid_utils.compat import uuid7

from services.amendment import repairs
from services.amendment.reconciliation import night_of
from shared.app.service import Running
from shared.domain.errors import Unavailable
from shared.domain.identities import Identity
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import FulfilmentResult
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import alive, run_periodically
from shared.storage import leader_lease, suppression
from shared.storage.leader_lease import LeaderLease, LeaderLeaseLost
from shared.storage.postgres import RETRYABLE, UNAVAILABLE
from shared.storage.subject_data import SubjectData
from shared.storage.suppression import CHANNELS
from shared.storage.systems import REQUIRED_STATES, SystemState, read_systems
from shared.systems.downstream import Downstream
from shared.systems.protocols import MarketingList

log = logging.getLogger(__name__)

NOT_COMPARED = Gauge(
    "dsr_marketing_not_compared",
    "1: a system's marketing recipients were not compared with the suppression list, or not for two days",
    ["system"],
)

LOOP = "returned"
_EVERY_SECONDS = 60.0
_TURN = timedelta(minutes=5)
"""Duration of the lease: longer than a system may take for one page."""

_COMPARED = "SELECT EXISTS (SELECT FROM compared WHERE system = $1 AND compared_at >= $2)"
_NOTE = """
INSERT INTO compared (system, compared_at, failed) VALUES ($1, $2, $3)
ON CONFLICT (system) DO UPDATE SET compared_at = $2, failed = $3
"""
_MISSED = "SELECT system, failed OR compared_at < $2 FROM compared WHERE system = ANY($1)"
_LATE = timedelta(days=2)
"""The time without a comparison after which the metric reports a system."""
_LAST_TIME = "DELETE FROM vault.returned WHERE system = $1 RETURNING subject_ref, request_id"
_STOPPED = "DELETE FROM vault.returned WHERE subject_ref = ANY($1) RETURNING subject_ref"


async def run(running: Running, fulfilments: Fulfilments) -> None:
    """Compares until the service stops."""
    systems = running.downstreams.all if running.downstreams else ()
    returned = Returned(running.unit_of_work, systems, fulfilments, running.heartbeats)
    await run_periodically(returned.look, LOOP, _EVERY_SECONDS, running.stopping, running.heartbeats)


async def forget(tx: UnitOfWork, completed: Sequence[FulfilmentResult]) -> None:
    """Deletes the identities of a reimported contact once its marketing is stopped."""
    stopped = await tx.connection.fetch(_STOPPED, [done.subject_ref for done in completed])
    await _forget(tx, [row[0] for row in stopped])


class Returned:
    """Compares each system with the suppression list; an unavailable one is retried."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        systems: Sequence[Downstream],
        fulfilments: Fulfilments,
        heartbeats: Heartbeats,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._systems = systems
        self._fulfilments = fulfilments
        self._heartbeats = heartbeats

    async def look(self) -> None:
        """Compares active systems that were not compared since this night began."""
        async with self._unit_of_work.pool.acquire() as connection:
            known = await read_systems(connection)
        for system in self._systems:
            state = known[system.name].state if system.name in known else SystemState.ON
            adapter: object = system.adapter
            if state in REQUIRED_STATES and isinstance(adapter, MarketingList):
                async with alive(LOOP, self._heartbeats):
                    await self._in_turn(system, adapter)
        await self._show()

    async def _show(self) -> None:
        """Sets the metric of failed or missing comparisons; every instance shows the same."""
        since = self._unit_of_work.clock.now() - _LATE
        async with self._unit_of_work.pool.acquire() as connection:
            found = await connection.fetch(_MISSED, [system.name for system in self._systems], since)
        NOT_COMPARED.clear()
        for system, missed in found:
            NOT_COMPARED.labels(system).set(missed)

    async def _in_turn(self, system: Downstream, adapter: MarketingList) -> None:
        async with self._unit_of_work.pool.acquire() as connection:
            night = night_of(self._unit_of_work.clock.now())
            turn = await leader_lease.acquire(connection, f"{LOOP}:{system.name}", _TURN)
            done = turn is None or await connection.fetchval(_COMPARED, system.name, night)
        if turn is None:
            return
        try:
            if not done:
                await self._compare(turn, system, adapter)
        except (Unavailable, LeaderLeaseLost):
            return
        except (*UNAVAILABLE, *RETRYABLE):
            raise
        except Exception as error:  # noqa: BLE001  # a failing system does not stop the others
            log.warning("suppression comparison failed system=%s at=%s", system.name, telemetry.where(error))
            await self._note(system.name, failed=True)
        finally:
            async with self._unit_of_work.pool.acquire() as connection:
                await turn.release(connection)

    async def _compare(self, turn: LeaderLease, system: Downstream, adapter: MarketingList) -> None:
        pages = aiter(adapter.would_get_marketing())
        page = await anext(pages, None)  # repairs in an unavailable system stay open
        async with self._unit_of_work.begin() as tx:
            before = await tx.connection.fetch(_LAST_TIME, system.name)
            await repairs.call_off(tx, [row[1] for row in before], Operation.SUPPRESS, repairs.RETURNED)
            await _forget(tx, [row[0] for row in before])
        while page is not None:
            async with self._unit_of_work.begin() as tx:
                await turn.renew(tx.connection)
                await self._stop(tx, system, page)
            page = await anext(pages, None)
        await self._note(system.name, failed=False)

    async def _stop(self, tx: UnitOfWork, system: Downstream, page: Sequence[Sequence[Identity]]) -> None:
        """Opens a repair for each listed person; uses unlisted identities only if no listed one finds them."""
        fingerprint = tx.vault.keyring.fingerprint
        points = [{fingerprint(each): each for each in person if each.type in CHANNELS} for person in page]
        listed = await suppression.in_force(tx.connection, {one for each in points for one in each})
        found = [(person, own) for person, own in zip(page, points, strict=True) if not listed.keys().isdisjoint(own)]
        if not found:
            return
        subjects, new = [], []
        for person, own in found:
            request_id = next(request for key, request in listed.items() if key in own)
            theirs = [each for each in person if each.type not in CHANNELS or fingerprint(each) in listed]
            if not any(each.type in system.needs for each in theirs):
                theirs = [*person]
            known = SubjectData(tuple(replace(each, proved_since=tx.now) for each in theirs))
            subject_ref = uuid7()
            subjects.append(tx.vault.new_subject(subject_ref, known, tx.now))
            new.append((subject_ref, request_id, system.name))
        await tx.vault.insert_subjects(tx.connection, subjects)
        await tx.connection.copy_records_to_table("returned", schema_name="vault", records=new)
        await self._fulfilments.open_all(
            tx,
            [
                repairs.repair(tx, request, ref, Right.OBJECTION, Operation.SUPPRESS, [system.name], repairs.RETURNED)
                for ref, request, _ in new
            ],
        )

    async def _note(self, system: str, *, failed: bool) -> None:
        async with self._unit_of_work.pool.acquire() as connection:
            await connection.execute(_NOTE, system, self._unit_of_work.clock.now(), failed)


async def _forget(tx: UnitOfWork, subjects: Sequence[UUID]) -> None:
    await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = ANY($1)", subjects)
