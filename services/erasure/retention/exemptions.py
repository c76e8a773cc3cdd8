"""Exempts people from the retention run: restrictions on some grounds, legal holds, and copies not made yet.

A copy is usually collected seconds after proof. If an officer must review it first, nights may pass; until then the
data stay, for at most as many days as the policy says.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from shared.app.service import Service
from shared.domain import events
from shared.domain.assignments import NUMBERS
from shared.domain.events import LiftDecided, RequestClosed, RequestVerified, RequestWithdrawn
from shared.domain.holds import Hold
from shared.domain.identities import Identity, marked_as_shared
from shared.domain.operations import Limit, Operation
from shared.domain.policy import Policy
from shared.domain.policy_files import SweepPolicy, sweep_policy
from shared.domain.proofs import proved
from shared.domain.rights import Level, Outcome, Right
from shared.fulfilment.adapter_calls import AdapterCalls
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import metrics
from shared.storage import holds
from shared.storage.holds import LegalHold
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData
from shared.storage.vault import Vault
from shared.systems.contract import Receipt, Task
from shared.systems.downstream import Downstream

_COPIES = (Right.ACCESS, Right.PORTABILITY)
_IN_FORCE = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED})
"""Outcomes of a restriction that is in force."""
_LEAST: Level = "L1"
"""The least assurance level: a stated identity without proof exempts nothing."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_ANY_NUMBER: Mapping[str, int] = dict.fromkeys(map(str, Limit), 1_000_000_000)
"""No limit, since a search for exemptions changes nothing."""
_ROUNDS = 3
"""The number of times that systems are searched with identities found in others."""

_NOTE_RESTRICTION = "INSERT INTO spared SELECT * FROM unnest($1::uuid[], $2::uuid[]) ON CONFLICT DO NOTHING"
_END_RESTRICTION = "DELETE FROM spared WHERE request_id = ANY($1)"
_RESTRICTED = "SELECT request_id, subject_ref FROM spared"
_NOTE_COPY = (
    "INSERT INTO copying SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) ON CONFLICT DO NOTHING"
)
_END_COPY = "DELETE FROM copying WHERE request_id = ANY($1)"
_UNCOPIED = """
SELECT request_id, subject_ref FROM copying c WHERE since > $1 AND NOT EXISTS (
    SELECT FROM vault.sealed s WHERE s.subject_ref = c.subject_ref
    AND (s.kind = 'records' AND s.source = $2 OR s.kind = 'package'))
"""

Reason = tuple[UUID, tuple[str, ...]]
"""A restriction or a hold, and the categories that a hold names."""


def join(service: Service) -> None:
    """Subscribes the handlers of restrictions and copies."""
    service.on(events.RequestVerified, begin_restriction, right=Right.RESTRICTION)
    for lifted in (events.LiftDecided, events.RequestWithdrawn):
        service.on(lifted, end_restriction, right=Right.RESTRICTION)
    service.on(events.RequestClosed, close_restriction, right=Right.RESTRICTION)
    for right in _COPIES:
        service.on(events.RequestVerified, begin_copy, right=right)
        service.on(events.RequestWithdrawn, end_copy, right=right)
        service.on(events.RequestClosed, end_copy, right=right)


async def begin_restriction(verified: Sequence[RequestVerified], tx: UnitOfWork) -> None:
    """Begins the exemption of a restriction on a ground that the policy names (Art. 18(1)(b), (c))."""
    spares = sweep_policy(tx.policy.overlay).spares
    begun = [event for event in verified if event.scope in spares]
    await tx.connection.execute(_NOTE_RESTRICTION, [e.request_id for e in begun], [e.subject for e in begun])


async def end_restriction(lifted: Sequence[LiftDecided | RequestWithdrawn], tx: UnitOfWork) -> None:
    """Ends the exemption of a restriction that is lifted or withdrawn."""
    await tx.connection.execute(_END_RESTRICTION, [event.request_id for event in lifted])


async def close_restriction(closed: Sequence[RequestClosed], tx: UnitOfWork) -> None:
    """Ends the exemption of a request that was answered without a restriction."""
    over = [event.request_id for event in closed if event.outcome not in _IN_FORCE]
    await tx.connection.execute(_END_RESTRICTION, over)


async def begin_copy(verified: Sequence[RequestVerified], tx: UnitOfWork) -> None:
    """Begins the exemption of a person who waits for a copy; tenants delete their own data."""
    ours = [event for event in verified if event.tenant is None]
    known = ([e.request_id for e in ours], [e.subject for e in ours], [tx.now] * len(ours))
    await tx.connection.execute(_NOTE_COPY, *known)


async def end_copy(over: Sequence[RequestClosed | RequestWithdrawn], tx: UnitOfWork) -> None:
    """Ends the exemption of a copy that is made or withdrawn."""
    await tx.connection.execute(_END_COPY, [event.request_id for event in over])


class Exemptions:
    """The people whose data stay this night, as tasks that find their rows."""

    def __init__(
        self,
        restricted: Sequence[Task],
        copied: Sequence[Task],
        held: Sequence[tuple[Hold, Task | None]],
        category_of: Callable[[str], str | None],
        reasons: frozenset[Reason],
    ) -> None:
        self._wholly = [*restricted, *copied]
        self._held = held
        self._category_of = category_of
        self._reasons = reasons

    @classmethod
    async def of(cls, connection: Connection, vault: Vault, policy: Policy, copied: Sequence[Task]) -> "Exemptions":
        """Reads the current exemptions; ``copied``: people who wait for a copy."""
        rows = await connection.fetch(_RESTRICTED)
        in_force = await holds.in_force(connection)
        refs = {row[1] for row in rows} | {hold.hold_id for hold in in_force}
        known = await vault.subject_data(connection, refs) if refs else {}
        restricted = [
            _person(request_id, ref, of)
            for request_id, ref in rows
            if (of := known.get(ref)) is not None and of.tenant is None
        ]
        held = []
        for hold in in_force:
            covers = Hold((hold.hold_id,), frozenset(hold.categories), everything=not hold.categories)
            of = known.get(hold.hold_id)
            held.append((covers, _task(hold.hold_id, hold.hold_id, map(_of_all_time, of.identities)) if of else None))
        return cls(restricted, copied, held, policy.category_of, _reasons([row[0] for row in rows], in_force))

    async def is_outdated(self, connection: Connection) -> bool:
        """Returns whether a restriction or hold was added since."""
        restricted = [row[0] for row in await connection.fetch(_RESTRICTED)]
        now = _reasons(restricted, await holds.in_force(connection))
        return not now <= self._reasons

    def of_categories(self, categories: Collection[str]) -> tuple[Mapping[str, Sequence[Task]], frozenset[str]]:
        """Returns the exempt people by category, and the categories under a hold on an unknown person."""
        found: defaultdict[str, list[Task]] = defaultdict(list)
        unreadable: set[str] = set()
        for category in categories:
            found[category] += self._wholly
        for hold, task in self._held:
            for category in hold.covers(categories, self._category_of):
                if task is None:
                    unreadable.add(category)
                else:
                    found[category].append(task)
        return found, frozenset(unreadable)


async def waiting_for_a_copy(
    unit_of_work: UnitOfWorkFactory, policy: SweepPolicy, system: str, knowing: Collection[Downstream]
) -> Sequence[Task]:
    """Returns the people whose copy that system has not made, with identities found in every system.

    The run does not wait for an unavailable system.
    """
    bound = unit_of_work.clock.now() - timedelta(days=policy.copied_within_days)
    async with unit_of_work.pool.acquire() as connection:
        rows = await connection.fetch(_UNCOPIED, bound, system)
        known = await unit_of_work.vault.subject_data(connection, {row[1] for row in rows}) if rows else {}
    people = [_person(request_id, ref, known[ref]) for request_id, ref in rows if ref in known]
    for _ in range(_ROUNDS if people else 0):
        found = people
        for each in knowing:
            found = await _located_by(each, unit_of_work, found)
        if found == people:
            break
        people = found
    return people


async def _located_by(system: Downstream, unit_of_work: UnitOfWorkFactory, people: Sequence[Task]) -> list[Task]:
    """Adds the identities that one system holds of these people."""
    given = {each.task_id: system.may_receive(each.identities) for each in people}
    asked = [
        replace(
            each,
            system=system.name,
            operation=Operation.LOCATE,
            identities=given[each.task_id],
            confirmed=_ANY_NUMBER,
            at=unit_of_work.clock.now(),
        )
        for each in people
        if any(identity.type in system.needs for identity in given[each.task_id])
    ]
    if not asked:
        return [*people]
    seconds = metrics.CALL_SECONDS.labels(unit_of_work.service, system.name, Operation.LOCATE)
    calls = AdapterCalls(f"{system.name}:copying", system.operate(Operation.LOCATE), _note_nothing, seconds)
    results = await calls.make(asked, set[UUID]())
    return [_with(each, results.get(each.task_id)) for each in people]


def _with(task: Task, result: object) -> Task:
    known = {(each.type, each.value) for each in task.identities}
    fresh = [each for each in getattr(result, "identities", ()) if (each.type, each.value) not in known]
    return replace(task, identities=(*task.identities, *fresh)) if isinstance(result, Receipt) and fresh else task


async def _note_nothing(_progress: object) -> None:
    """Ignores progress, since a search changes nothing."""


def _person(request_id: UUID, ref: UUID, known: SubjectData) -> Task:
    return _task(request_id, ref, proved(marked_as_shared(known.identities, known.identities), _LEAST))


def _task(request_id: UUID, ref: UUID, known: Iterable[Identity]) -> Task:
    """Builds a task that only describes whose rows to find."""
    return Task(request_id, request_id, ref, "", Operation.ERASE, identities=tuple(known))


def _reasons(restricted: Iterable[UUID], in_force: Iterable[LegalHold]) -> frozenset[Reason]:
    held = ((hold.hold_id, tuple(sorted(hold.categories))) for hold in in_force)
    return frozenset([*((each, ()) for each in restricted), *held])


def _of_all_time(identity: Identity) -> Identity:
    """Extends a number without a period to all time, so that no held data are missed."""
    numbered = identity.type in NUMBERS and identity.valid_from is None
    return replace(identity, valid_from=_LONG_AGO) if numbered else identity
