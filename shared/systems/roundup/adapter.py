"""Serves a Roundup tracker by the engine; it works hundreds of tasks in few calls."""

from collections.abc import AsyncIterator, Mapping, Sequence

import httpx

from shared.domain.errors import Refused, Unavailable
from shared.domain.identities import Identity
from shared.domain.policy import OnErasure, Other, Policy, read_policy
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, CopiedRecord, Result, Task
from shared.systems.engine.adapter import EngineAdapter
from shared.systems.engine.copying import Copies
from shared.systems.engine.ownership import OwnedRecord
from shared.systems.engine.records import NumberPeriod
from shared.systems.protocols import HandOver, Tried
from shared.systems.roundup.copies import CATEGORIES, HISTORY
from shared.systems.roundup.escalation import escalate
from shared.systems.roundup.people import USER, TrackerUser
from shared.systems.roundup.settings import RoundupSettings
from shared.systems.roundup.system import MARKS, Scope, TicketSystem, TicketUnit
from shared.systems.roundup.tracker import RESOLVED, ROWS, Tracker
from shared.systems.sweepable import DatedPlace, DueCount, DueRecords, Exemptions, SweepResult, SweepStep


class _AdapterCall(EngineAdapter):
    """One call of an operation."""

    def __init__(self, system: TicketSystem, policy: Policy) -> None:
        super().__init__(system, policy)
        self._tickets, self._policy = system, policy

    def _copies(self, kept_periods: Sequence[NumberPeriod]) -> Copies:
        return _CopiesAsRead(self._tickets.name, self._policy, kept_periods)


class _CopiesAsRead(Copies):
    """The system itself has written down what its records say: what they hide is in their history, too."""

    def record(self, owned: OwnedRecord) -> CopiedRecord:
        read = owned.record.ref
        if not isinstance(read, CopiedRecord):
            raise TypeError("a record was read without what it says")
        return read


async def _nothing_to_note(_: object) -> None:
    """Reading leaves nothing to remember."""


class RoundupAdapter:
    """One Roundup tracker."""

    can = Capabilities(
        on_erasure=frozenset({OnErasure.DELETE}),  # it knows no rule by which a ticket would have to stay
        one_flag=True,
        categories=tuple(sorted((*CATEGORIES.values(), HISTORY))),
        has_record_times=False,
        distinguishes_holders=True,  # of those who have one address the name must be the subject's (``people.py``)
        reports_no_states=True,
    )

    def __init__(
        self,
        system: str,
        settings: RoundupSettings,
        *,
        environment: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
        policy: Policy | None = None,
    ) -> None:
        self._name, self._settings, self._policy = system, settings, policy or read_policy()
        self._tracker = Tracker(system, settings, environment[settings.password_env], transport)

    async def close(self) -> None:
        """Closes the connections."""
        await self._tracker.close()

    async def inspect(self) -> Sequence[Tried]:
        """Signs in, and calls one of the privacy routes; raises what a task would be answered."""
        await self._tracker.search("user", "id", id=["0"])
        await self._tracker.of_records("history", {}, ROWS)
        return [Tried("access", "search of users, route of histories")]

    def _system(self, scope: Scope, save_progress: Checkpoint = _nothing_to_note) -> TicketSystem:
        shows_others = Other.WRITERS not in self._policy.redacts("ticket")
        unit = TicketUnit(self._tracker, self._settings, scope, save_progress, shows_others=shows_others)
        return TicketSystem(self._name, self._settings, unit, self._settings.parallel)

    # Operations.

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Finds the subject's users and what else they are known by."""
        return await _AdapterCall(self._system("names"), self._policy).locate(tasks, save_progress)

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Returns what an erasure would find, or why it would do nothing."""
        return await _AdapterCall(self._system("all"), self._policy).plan(tasks, save_progress)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Reads the account, the tickets, every message and file of each subject, and the history of these."""
        return await self.export_in_parts(tasks, save_progress, None)

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver | None
    ) -> Sequence[Result]:
        """The same, handed over while it is read; counts what others wrote on their tickets."""
        return await _AdapterCall(self._system("all"), self._policy).export_in_parts(tasks, save_progress, hand_over)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Overwrites and retires the subject's users and records, closes their tickets, and verifies."""
        return await _AdapterCall(self._system("all", save_progress), self._policy).erase(tasks, save_progress)

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Corrects name, e-mail address or number; marks who is restricted or wants no marketing."""
        return await _AdapterCall(self._system("flags", save_progress), self._policy).amend(tasks, save_progress)

    async def escalate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Opens one ticket for each request to the privacy team, and adds comments as it escalates."""
        del save_progress
        results: list[Result] = []
        for task in tasks:  # one after another: two tasks may be about one request
            try:
                results.append(await escalate(self._tracker, task))
            except (Unavailable, Refused) as failure:
                results.append(failure)
        return results

    # Comparing.

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """The users without the mark that stops it."""
        users = await self._tracker.search("user", f"{USER},{MARKS['marketing']}")
        mailed = (TrackerUser.read(fields) for fields in users if not fields.get(MARKS["marketing"]))
        yield [person.identities(self._name) for person in mailed]

    # What is past its day, by night.

    @property
    def dated(self) -> Sequence[DatedPlace]:
        """Tickets, by the field with the time of their resolution, if one is declared."""
        field = self._settings.resolved_on
        return (DatedPlace("issue", CATEGORIES["issue"], {RESOLVED: field}),) if field else ()

    async def count(self, due: Sequence[DueRecords], exempt: Exemptions) -> Sequence[DueCount | Refused]:
        """Counts the due tickets."""
        return await _AdapterCall(self._system("desk"), self._policy).count(due, exempt)

    async def sweep(
        self, due: Sequence[DueRecords], exempt: Exemptions, step: SweepStep
    ) -> Sequence[SweepResult | Refused]:
        """Lets each go, with its messages, its files and their history."""
        return await _AdapterCall(self._system("desk"), self._policy).sweep(due, exempt, step)
