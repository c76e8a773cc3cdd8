"""Whose data the nightly sweep spares: restrictions on some grounds, legal holds, and copies that are not made yet."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from services.erasure.sweeping.finding import task_of
from shared.app.service import Service
from shared.domain import events
from shared.domain.assignments import NUMBERS
from shared.domain.events import LiftDecided, RequestClosed, RequestVerified, RequestWithdrawn
from shared.domain.holds import Hold
from shared.domain.identities import Identity, marked
from shared.domain.policy import Policy
from shared.domain.policy_files import sweep_policy
from shared.domain.proofs import proved
from shared.domain.rights import Level, Outcome, Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import holds
from shared.storage.holds import LegalHold
from shared.storage.postgres import Connection
from shared.storage.vault import Vault
from shared.systems.contract import Task

_IN_FORCE = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED})
"""How a request for restriction ends that is in force."""
_LEAST: Level = "L1"
"""What is only stated may be anybody's: it spares nobody's data."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_NOTE = "INSERT INTO spared SELECT * FROM unnest($1::uuid[], $2::uuid[]) ON CONFLICT DO NOTHING"
_END = "DELETE FROM spared WHERE request_id = ANY($1)"
_RESTRICTED = "SELECT request_id, subject_ref FROM spared"

Reason = tuple[UUID, tuple[str, ...]]
"""A restriction or a hold, and the categories that a hold names."""


def hear(service: Service) -> None:
    """Lets the service hear of restrictions."""
    service.on(events.RequestVerified, begin, right=Right.RESTRICTION)
    for lifted in (events.LiftDecided, events.RequestWithdrawn):
        service.on(lifted, end, right=Right.RESTRICTION)
    service.on(events.RequestClosed, close, right=Right.RESTRICTION)


async def begin(verified: Sequence[RequestVerified], tx: UnitOfWork) -> None:
    """A restriction has begun: on a ground of the policy the sweep spares the data (Art. 18(1)(b), (c))."""
    spares = sweep_policy(tx.policy.overlay).spares
    begun = [event for event in verified if event.scope in spares]
    await tx.connection.execute(_NOTE, [e.request_id for e in begun], [e.subject for e in begun])


async def end(lifted: Sequence[LiftDecided | RequestWithdrawn], tx: UnitOfWork) -> None:
    """A restriction ends, or was withdrawn."""
    await tx.connection.execute(_END, [event.request_id for event in lifted])


async def close(closed: Sequence[RequestClosed], tx: UnitOfWork) -> None:
    """A request for restriction was answered: what was not restricted is not spared."""
    over = [event.request_id for event in closed if event.outcome not in _IN_FORCE]
    await tx.connection.execute(_END, over)


class Spared:
    """Everybody whose data stay this night, as tasks that find their rows."""

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
    async def of(cls, connection: Connection, vault: Vault, policy: Policy, copied: Sequence[Task]) -> "Spared":
        """Those of now; ``copied``: who waits for a copy."""
        rows = await connection.fetch(_RESTRICTED)
        in_force = await holds.in_force(connection)
        refs = {row[1] for row in rows} | {hold.hold_id for hold in in_force}
        known = await vault.subject_data(connection, refs) if refs else {}
        restricted = [
            task_of(request_id, ref, proved(marked(of.identities, of.identities), _LEAST))
            for request_id, ref in rows
            if (of := known.get(ref)) is not None and of.tenant is None
        ]
        held = []
        for hold in in_force:
            covers = Hold((hold.hold_id,), frozenset(hold.categories), everything=not hold.categories)
            of = known.get(hold.hold_id)
            held.append((covers, task_of(hold.hold_id, hold.hold_id, map(_of_all_time, of.identities)) if of else None))
        return cls(restricted, copied, held, policy.category_of, _reasons([row[0] for row in rows], in_force))

    async def is_outdated(self, connection: Connection) -> bool:
        """Whether a restriction or a hold has come since, so that more must stay."""
        restricted = [row[0] for row in await connection.fetch(_RESTRICTED)]
        now = _reasons(restricted, await holds.in_force(connection))
        return not now <= self._reasons

    def of_categories(self, categories: Collection[str]) -> tuple[Mapping[str, Sequence[Task]], frozenset[str]]:
        """For each category whose rows stay, and the categories that a hold covers of which nobody knows whom."""
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


def _reasons(restricted: Iterable[UUID], in_force: Iterable[LegalHold]) -> frozenset[Reason]:
    held = ((hold.hold_id, tuple(sorted(hold.categories))) for hold in in_force)
    return frozenset([*((each, ()) for each in restricted), *held])


def _of_all_time(identity: Identity) -> Identity:
    """The same; of a number of which nobody says since when it is theirs, for all time: rather too much is held."""
    numbered = identity.type in NUMBERS and identity.valid_from is None
    return replace(identity, valid_from=_LONG_AGO) if numbered else identity
