"""Locate, export, erase and amend a customer in Tryton, for hundreds of requests with a few calls."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import httpx

from shared.domain.assignments import AssignedNumber
from shared.domain.clock import Clock, SystemClock
from shared.domain.errors import Refused, ResidueFound
from shared.domain.identities import Identity
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.policy import Policy, read_policy
from shared.downstreams import flags
from shared.downstreams.contract import Checkpoint, Receipt, Record, Result, Task
from shared.downstreams.http_client import connect
from shared.downstreams.results import of_whom_found, per_task, where_held
from shared.downstreams.sweepable import Counted, Dated, Due, GoOn, Spared, Swept
from shared.downstreams.tryton import sweeping
from shared.downstreams.tryton.erasure import erase
from shared.downstreams.tryton.export import Shown, records
from shared.downstreams.tryton.grounds import DeclaredGrounds
from shared.downstreams.tryton.open_requests import mark
from shared.downstreams.tryton.party import CATEGORIES, Party, counts
from shared.downstreams.tryton.reasons import Reasons
from shared.downstreams.tryton.rectification import FIELDS, rectify
from shared.downstreams.tryton.reduction import Reduction, reduce
from shared.downstreams.tryton.rpc import TrytonRpc
from shared.downstreams.tryton.search import PARTY, Named, assigned, load, wanting_marketing
from shared.downstreams.tryton.settings import TrytonSettings
from shared.downstreams.tryton.subjects import Subjects, party_ids
from shared.downstreams.tryton.sweeping import Sweep

_FLAGS = {
    Operation.RESTRICT: ("restricted", True),
    Operation.LIFT: ("restricted", False),
    Operation.SUPPRESS: ("marketing_opt_out", True),
}


class TrytonAdapter:
    """The CRM as a downstream; every hit is proven to be the subject's before anything is done to it (``proof.py``)."""

    categories = CATEGORIES
    one_flag = True
    """A party is restricted or is not, by however many requests."""
    knows_times = False
    """It is searched for all that is a number's, of whatever time."""
    tells_holders_apart = True
    """The customer number tells one party from the others that have an address or a number of theirs."""

    def __init__(
        self,
        system: str,
        settings: TrytonSettings,
        *,
        environment: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
        policy: Policy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._client = connect(
            base_url=settings.url, timeout=settings.timeout_seconds, transport=transport, trust_env=False
        )
        self._rpc = TrytonRpc(
            self._client,
            settings.database,
            settings.login,
            environment[settings.password_env],
            settings.concurrency,
            settings,
        )
        self._subjects = Subjects(self._rpc, system, settings)
        self._system = system
        self._grounds = settings.grounds
        self._reasons = Reasons(self._rpc, settings.grounds, policy or read_policy(), clock or SystemClock())
        self._sweep = Sweep(self._rpc, self._subjects, settings.grounds or DeclaredGrounds(), self._reasons)

    @property
    def may_refuse(self) -> bool:
        """Whether it is declared which of its fields say that data must stay."""
        return self._grounds is not None

    @property
    def knows_no_states(self) -> bool:
        """Whether it is not declared which of its fields say that a contract is active or an invoice open."""
        return self._grounds is None

    @property
    def tells(self) -> frozenset[str]:
        """The states of the policy of which it tells whether they last."""
        return self._grounds.states if self._grounds else frozenset()

    @property
    def dated(self) -> Sequence[Dated]:
        """By which declared fields its parties have an age."""
        return sweeping.dated(self._grounds)

    async def count(self, due: Sequence[Due], spared: Spared) -> Sequence[Counted | Refused]:
        """How many of its parties are past each of these ceilings."""
        return await self._sweep.count(due, spared)

    async def sweep(self, due: Sequence[Due], spared: Spared, go_on: GoOn) -> Sequence[Swept | Refused]:
        """Let go what is past them."""
        return await self._sweep.sweep(due, spared, go_on)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def inspect(self) -> Sequence[str]:
        """Signs in, and asks for nobody; raises what a task would be answered."""
        await self._rpc.search(PARTY, [["id", "=", 0]], ["id"])
        return ()

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Who the subject is here: customer number, and all addresses and numbers with their periods."""
        del save_progress  # reading leaves nothing to remember
        return await self._read(tasks, TaskOutcome.LOCATED)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Everything held about the subject (Art. 15, 20)."""
        del save_progress
        return await self._read(tasks, TaskOutcome.EXPORTED)

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """What an erasure would find, or why nothing may be erased."""
        del save_progress
        hits = await self._subjects.hits(tasks)
        found = {task.task_id: self._subjects.among(hits, task) for task in tasks}
        facts = await self._reasons.facts(found)
        why = self._reasons.of(tasks, found, facts)

        def decide(task: Task, parties: Sequence[Party]) -> Result:
            states = facts[task.task_id].states if task.task_id in facts else None
            match why.get(task.task_id):
                case Reduction() as reduction:
                    return replace(reduction.receipt(task, TaskOutcome.PLANNED), states=states)
                case None:
                    return replace(Receipt.planned(task, counts(parties)), states=states)
                case refused:
                    refused.states, refused.found = states, counts(parties)
                    return refused

        return per_task(tasks, found, decide)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Remove the subject, also what Tryton's own erasure forgets, and look again (Art. 17).

        What a rule keeps of them stays, reduced to that, until its day.
        """
        begun = {task.task_id: plan for task in tasks if (plan := Reduction.noted(task)) is not None}
        fresh = [task for task in tasks if task.task_id not in begun and "parties" not in task.progress]
        hits = await self._subjects.hits(fresh if self._grounds else ())
        found = {task.task_id: self._subjects.among(hits, task) for task in fresh if self._grounds}
        why = {**begun, **self._reasons.of(fresh, found, await self._reasons.facts(found))}
        refused = {key: each for key, each in why.items() if isinstance(each, Refused)}
        reductions = {key: each for key, each in why.items() if isinstance(each, Reduction)}
        kept = await reduce(self._rpc, tasks, reductions, save_progress)
        gone = [task for task in tasks if task.task_id not in why]
        erased = await erase(self._rpc, self._subjects, gone, save_progress, self._reasons.names) if gone else []
        results = {**refused, **kept, **dict(zip((task.task_id for task in gone), erased, strict=True))}
        return [results[task.task_id] for task in tasks]

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Correct a field (Art. 16), hide the subject from all but the privacy team (18), stop marketing (21(2))."""
        if tasks[0].operation is Operation.RECTIFY:
            correct = partial(rectify, self._rpc, self._subjects, save_progress=save_progress)
            return await where_held(tasks, FIELDS, correct)
        return await self._set_flag(tasks, save_progress)  # a flag that is set again is the same flag

    async def flag(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Show with the subject's party that a request is open, and take it away when it is answered."""
        return await mark(self._rpc, self._subjects, tasks, save_progress)

    async def assignments(self) -> Sequence[AssignedNumber]:
        """Whose every number is and was, as the company assigned it."""
        return await assigned(self._rpc, self._system)

    async def shown(self, operation: Operation) -> int:
        """How many parties bear the flag, whoever has set it."""
        flag, value = _FLAGS[operation]
        return int(await self._rpc.call(f"model.{PARTY}.search_count", [[flag, "=", value]]))

    async def shown_of(self, tasks: Sequence[Task]) -> Collection[str]:
        """Those of the subjects of these tasks."""
        flag, value = _FLAGS[tasks[0].operation]
        found = of_whom_found(await self._subjects.of(tasks))
        return {str(party.id) for parties in found.values() for party in parties if getattr(party, flag) is value}

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """The parties without the mark that stops it: their customer number, and what they are reached by today."""
        async for parties in wanting_marketing(self._rpc):
            yield [[each for each in p.identities(self._system) if each.valid_to is None] for p in parties]

    async def _set_flag(self, tasks: Sequence[Task], save_progress: Checkpoint) -> list[Result]:
        flag, value = _FLAGS[tasks[0].operation]
        acting = [task for task in tasks if not task.marked]  # a flag says not whose it is
        found = {**dict.fromkeys((task.task_id for task in tasks), ()), **await self._subjects.of(acting)}
        stays = {int(each) for task in tasks for each in flags.left_as_found(task)}
        wrong = {p.id for parties in of_whom_found(found).values() for p in parties if getattr(p, flag) is not value}
        ids = [party for party in party_ids(found) if party not in stays]
        versions = {party.id: party.version for parties in of_whom_found(found).values() for party in parties}
        # Whoever looks at our own tasks between reading a version and changing it changes nothing that its heir did.
        had = {key: {str(p.id): getattr(p, flag) is value for p in each} for key, each in of_whom_found(found).items()}
        await save_progress({task.task_id: flags.found(task, had.get(task.task_id, {})) for task in acting})
        await self._rpc.write(PARTY, ids, {flag: value}, versions)
        now = await load(self._rpc, ids)

        def decide(task: Task, every: Sequence[Party]) -> Result:
            parties = [party for party in every if party.id not in stays]
            if any(party.id not in now or getattr(now[party.id], flag) is not value for party in parties):
                return ResidueFound(f"the CRM accepted {flag} and still shows the old value")
            n = sum(party.id in wrong for party in parties) if task.repair else len(parties)
            return Receipt.counted(task, TaskOutcome.AMENDED, {"account": n})

        return per_task(tasks, found, decide)

    async def _read(self, tasks: Sequence[Task], outcome: TaskOutcome) -> list[Result]:
        located = outcome is TaskOutcome.LOCATED
        hits = await self._subjects.hits(tasks)
        found = {task.task_id: self._subjects.among(hits, task) for task in tasks}
        shared = await self._subjects.held_by_others(tasks, hits, found) if located else frozenset()
        facts = {} if located else await self._reasons.shown(found)

        def decide(task: Task, parties: Sequence[Party]) -> Receipt:
            held = counts(parties)
            n = sum(held.values())
            return Receipt(
                task.task_id,
                outcome,
                found=n,
                remaining=n,
                by_category=held,
                identities=tuple(_yielded(parties, self._system, shared)) if located else (),
                records=() if located else tuple(chain.from_iterable(_shown(parties, self._system, facts))),
            )

        return per_task(tasks, found, decide)


def _shown(parties: Sequence[Party], system: str, facts: Mapping[int, Shown]) -> Iterator[Iterator[Record]]:
    return (records(party, system, facts.get(party.id)) for party in parties)


def _yielded(parties: Sequence[Party], system: str, shared: Collection[Named]) -> Iterator[Identity]:
    """What the parties are known by, with what others have too marked as such."""
    for identity in (each for party in parties for each in party.identities(system)):
        yield replace(identity, shared=True) if (identity.type, identity.value) in shared else identity
