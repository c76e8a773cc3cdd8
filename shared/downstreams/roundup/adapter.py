"""Roundup as a downstream: locate, export, erase, amend, escalate; hundreds of tasks in as few calls as it allows."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import cast
from uuid import UUID

import httpx
from pydantic import JsonValue

from shared.domain.errors import Refused, Unavailable
from shared.domain.identities import Identity, IdentityType, ended
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.domain.policy import OnErasure, Other, Policy, read_policy
from shared.domain.rights import Right
from shared.downstreams import flags
from shared.downstreams.contract import Checkpoint, NotSearched, Receipt, Result, Task
from shared.downstreams.http_client import failures_of
from shared.downstreams.in_parts import InParts
from shared.downstreams.protocols import HandOver
from shared.downstreams.results import of_corrections, of_whom_found, per_task, where_held
from shared.downstreams.roundup import amendment, directory, erasure, escalation, export, history, overwriting
from shared.downstreams.roundup.answers import ROWS
from shared.downstreams.roundup.directory import Records
from shared.downstreams.roundup.erasure import CATEGORIES, HISTORY, Plan
from shared.downstreams.roundup.export import Holdings
from shared.downstreams.roundup.settings import RoundupSettings
from shared.downstreams.roundup.subjects import Candidates, Person, has, identities_of, searched, subjects
from shared.downstreams.roundup.sweeping import Ending
from shared.downstreams.roundup.tracker import Failure, Tracker
from shared.downstreams.standing import Standing


class Copies:
    """What is ``shown`` of the tracker, by task; handed over while it is read, where somebody takes it.

    ``telling``: the records whose history is shown too, by task; ``untold``: the tasks whose history cannot be read.
    """

    def __init__(
        self, shown: Mapping[UUID, Records], hand_over: HandOver | None, telling: Mapping[UUID, Records] = {}
    ) -> None:
        self._whose, self._telling = _by_record(shown), telling
        self._histories = _by_record(telling)
        self._copies = InParts(hand_over)
        self.untold: set[UUID] = set()

    async def take(self, portion: Holdings) -> None:
        """Takes what was read; what two people share is both's."""
        for key, record in portion.items():
            for task_id in self._whose[key]:
                await self._copies.add(task_id, record)

    async def take_history(self, tracker: Tracker, portion: Holdings) -> None:
        """Takes what the history says of what was read."""
        shown = [key for key in portion if key in self._histories]
        said = await history.changes(tracker, shown) if shown else {}
        for key in shown:
            for task_id in self._histories[key]:
                if said is None:
                    self.untold.add(task_id)
                    continue
                for row in history.rows(key, portion[key], said[key], self._telling[task_id]["user"]):
                    await self._copies.add(task_id, row)

    def receipt(self, task_id: UUID, left_out: Records) -> Receipt:
        """What was found of one, with what was not handed over yet; ``left_out``: what others wrote beside it."""
        why = Unsearched.HISTORY_NOT_READABLE if task_id in self.untold else None
        read = None if task_id in self._telling and not why else tuple(sorted(CATEGORIES.values()))
        return replace(self._copies.receipt(task_id, counted(left_out)), not_searched=why, categories=read)


def _by_record(held: Mapping[UUID, Records]) -> Mapping[tuple[str, str], Sequence[UUID]]:
    """Returns for each record the tasks that show it."""
    whose: defaultdict[tuple[str, str], list[UUID]] = defaultdict(list)
    for task_id, records in held.items():
        for classname, ids in records.items():
            for one in ids:
                whose[classname, one].append(task_id)
    return whose


def counted(records: Records) -> int | None:
    """How many these are, if there are any."""
    return sum(map(len, records.values())) or None


@dataclass(frozen=True, slots=True)
class Found:
    """The users who are the subject of a task; ``ids`` also has those that an earlier attempt noted."""

    people: Sequence[Person]
    ids: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.ids)


Search = Mapping[UUID, Found | NotSearched | Failure]
_SEARCHED = {IdentityType.EMAIL, IdentityType.PHONE}


class RoundupAdapter(Ending):
    """One Roundup tracker.

    Its history keeps every former value in clear and REST cannot remove it: erasure needs the privacy routes in
    ``deploy/downstreams/roundup/tracker/interfaces.py``. In a tracker without them everything is overwritten all the
    same, and the task is told as ``ResidueFound``.
    """

    categories = tuple(sorted((*CATEGORIES.values(), HISTORY)))
    """What a subject may have in it."""
    one_flag = True
    """A user is restricted or is not, by however many requests."""
    knows_times = False
    """It is searched for all that is a number's, of whatever time."""
    may_refuse = False
    """Nothing in it is in a state in which it must stay."""
    knows_no_states = True
    """No field of it says that a contract is active or an invoice open."""
    on_erasure = frozenset({OnErasure.DELETE})
    """It knows no rule by which a ticket would have to stay."""
    tells_holders_apart = True
    """Where others have an address or a number of the subject's, the name must be theirs (``subjects.py``)."""

    def __init__(
        self,
        system: str,
        settings: RoundupSettings,
        *,
        environment: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
        policy: Policy | None = None,
    ) -> None:
        self._system, self._policy = system, policy or read_policy()
        self._settings = settings
        self._tracker = Tracker(system, settings, environment[settings.password_env], transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._tracker.close()

    async def inspect(self) -> Sequence[str]:
        """Signs in, and asks for nobody; raises what a task would be answered."""
        await self._tracker.search("user", "id", id=["0"])
        return ()

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Find the subject's users and what else they are known by."""
        del save_progress

        def decide(task: Task, found: Found) -> Result:
            known = {(identity.type, identity.value) for identity in task.identities}
            held = (identity for person in found.people for identity in identities_of(person, self._system))
            new = tuple(dict.fromkeys(each for each in held if (each.type, each.value) not in known))
            n = len(found.people)
            return self._settings.excess(task, rows=len(new)) or Receipt(
                task.task_id, TaskOutcome.LOCATED, found=n, by_category={CATEGORIES["user"]: n}, identities=new
            )

        return per_task(tasks, await self._find(tasks), decide)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Read the account, the tickets, every message and file of each subject, and the history of these."""
        return await self.export_in_parts(tasks, save_progress, None)

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver | None
    ) -> Sequence[Result]:
        """The same, handed over while it is read."""
        del save_progress
        search = await self._find(tasks)
        records = await self._records(search)
        search = {**search, **self._too_much(tasks, records)}  # known by their ids, before anything of it is read
        people = of_whom_found(search)
        theirs = [(task, person) for task in tasks if task.task_id in people for person in people[task.task_id].people]
        said = {person.id: export.matches_of(person, task.identities) for task, person in theirs}
        third = await export.of_third(self._tracker, {key: records[key] for key in people})
        left_out = Other.WRITERS in self._policy.redacts("ticket")
        shown = {key: records[key] if left_out else erasure.all_of((records[key], third[key])) for key in people}
        telling = {t.task_id: records[t.task_id] for t in tasks if t.task_id in people and _shows_history(t)}
        copies = Copies(shown, hand_over, telling)
        ended = self._settings.resolved_on
        async for portion in export.portions(self._tracker, self._system, shown.values(), said, ended):
            await copies.take(portion)
            await copies.take_history(self._tracker, portion)

        def decide(task: Task, _: Found) -> Receipt:
            return copies.receipt(task.task_id, third[task.task_id] if left_out else {})

        return per_task(tasks, search, decide)

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """What an erasure would find, or that it would be too much."""
        del save_progress
        search = await self._find(tasks)
        records = await self._records(search)
        search = {**search, **self._too_much(tasks, records)}
        left = [records[key] for key in of_whom_found(search)]
        rows = (await erasure.history(self._tracker, left) if left else None) or {}

        def decide(task: Task, _: Found) -> Receipt:
            return Receipt.planned(task, Plan().plus(records[task.task_id], rows).found)

        return per_task(tasks, search, decide)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Overwrite and retire the subject with all that is theirs, close their tickets, look again."""
        search = await self._find(tasks)
        plans, failures = await self._plan(tasks, search, save_progress)
        ready = {key: plan.records for key, plan in plans.items() if key not in failures}
        standing = Standing(ready, save_progress, self._settings.parallel)
        tickets = any(records.get("issue") for records in ready.values())
        closed = await erasure.closed_status(self._tracker) if tickets else None
        failures |= await overwriting.overwrite(self._tracker, ready, standing, closed)
        written = {key: plan.records for key, plan in plans.items() if key not in failures}
        await self._tracker.privacy("forget", {"records": erasure.all_of(written.values())}, ROWS)
        remaining = await erasure.left(self._tracker, written.values(), closed)
        rows = await erasure.history(self._tracker, written.values())
        done = [replace(task, progress=plans[task.task_id].model_dump()) for task in tasks if task.task_id in written]
        again = await self._find(done)
        third = await export.of_third(self._tracker, written)

        def decide(task: Task, _: Found) -> Result:
            plan, look = plans[task.task_id], again[task.task_id]
            residue = erasure.residue(plan, remaining, rows, len(look.people) if isinstance(look, Found) else 1)
            erased = Receipt.counted(task, TaskOutcome.ERASED, plan.found)
            return residue or replace(erased, written_by_others=counted(third[task.task_id]))

        return per_task(tasks, {**search, **failures}, decide)

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Correct name, e-mail address or number; mark who is restricted or wants no marketing."""
        return await where_held(tasks, amendment.FIELDS, partial(self._amend, save_progress=save_progress))

    async def _amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        acting = [task for task in tasks if not task.marked]  # a flag says not whose it is
        search = {**{task.task_id: Found((), ()) for task in tasks}, **await self._find(acting)}
        people = of_whom_found(search)
        found = [task for task in tasks if task.task_id in people]
        # A corrected address no longer finds the subject: a repeat must know who they were.
        if new := [task.task_id for task in found if not task.progress]:
            await save_progress({key: {"people": list(people[key].ids)} for key in new})
        wrong = {
            task.task_id: await amendment.wrong(self._tracker, task, people[task.task_id].ids)
            for task in found
            if task.repair
        }
        changed = {
            t.task_id: [each for each in people[t.task_id].ids if each not in flags.left_as_found(t)] for t in found
        }
        if first := {task.task_id: task for task in found if flags.is_first(task)}:
            everybody = {each for key in first for each in people[key].ids}
            bear = await amendment.bearing(self._tracker, everybody, Operation.RESTRICT)
            had = {key: {each: each in bear for each in people[key].ids} for key in first}
            await save_progress({key: flags.found(task, had[key]) for key, task in first.items()})
        turn = asyncio.Semaphore(self._settings.parallel)
        shown: dict[UUID, list[int]] = {}

        async def change(task: Task) -> None:
            async with turn:  # or all would have looked long before the tracker comes to them
                look = partial(save_progress, {task.task_id: {}})
                shown[task.task_id] = await amendment.amend(self._tracker, task, changed[task.task_id], look)

        failures = await failures_of({task.task_id: change(task) for task in found})

        def decide(task: Task, found: Found) -> Receipt:
            if task.operation is Operation.RECTIFY:
                rows = shown[task.task_id]
                return of_corrections(task, {CATEGORIES["user"]: max(rows, default=0)}, rows, len(found.ids))
            number = len([each for each in found.ids if each not in flags.left_as_found(task)])
            return Receipt.counted(task, TaskOutcome.AMENDED, {CATEGORIES["user"]: wrong.get(task.task_id, number)})

        return per_task(tasks, {**search, **failures}, decide)

    async def shown(self, operation: Operation) -> int:
        """How many users bear the flag, whoever has set it."""
        return len(await amendment.flagged(self._tracker, operation))

    async def shown_of(self, tasks: Sequence[Task]) -> Collection[str]:
        """Those of the subjects of these tasks."""
        people = of_whom_found(await self._find(tasks))
        theirs = {person for found in people.values() for person in found.ids}
        return theirs & await amendment.flagged(self._tracker, tasks[0].operation)

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """The users without the mark that stops it."""
        yield [identities_of(person, self._system) for person in await directory.wanting_marketing(self._tracker)]

    async def escalate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Put each request before the privacy team: one ticket, commented as it worsens."""
        del save_progress
        results: list[Result] = []
        for task in tasks:  # one after another: two tasks may be about one request
            try:
                results.append(await escalation.escalate(self._tracker, task))
            except (Unavailable, Refused) as failure:
                results.append(failure)
        return results

    async def _find(self, tasks: Sequence[Task]) -> Search:
        """Who the subject of each task is; who an earlier attempt noted stays the subject, and nobody joins them."""
        hits = await directory.people(self._tracker, chain.from_iterable(task.identities for task in tasks))
        everybody = Candidates(hits)
        return {task.task_id: self._subject(task, everybody.of(task.identities)) for task in tasks}

    def _subject(self, task: Task, candidates: Sequence[Person]) -> Found | NotSearched | Failure:
        noted = _noted_people(task.progress)
        if noted:
            mine = [person for person in candidates if person.id in noted]
            people = tuple(p for p in mine if any(has(p, key) for key in searched(task.identities)))
        elif searched(task.identities):
            try:
                people = subjects(candidates, task.identities)
            except Refused as failure:
                return failure
        else:
            past = any(each.type in _SEARCHED for each in ended(task.identities))
            return NotSearched(task.task_id, Unsearched.NO_LONGER_THEIRS if past else Unsearched.NOTHING_TO_SEARCH_BY)
        return self._settings.excess(task, people=len(people)) or Found(
            people, noted or [person.id for person in people]
        )

    async def _records(self, search: Search) -> Mapping[UUID, Records]:
        """What belongs to each subject, the people themselves among it."""
        found = of_whom_found(search)
        owned = await directory.records(self._tracker, chain.from_iterable(one.ids for one in found.values()))
        return {
            key: {"user": sorted(one.ids, key=int), **erasure.all_of(owned[owner] for owner in one.ids)}
            for key, one in found.items()
        }

    async def _plan(
        self, tasks: Sequence[Task], search: Search, save_progress: Checkpoint
    ) -> tuple[dict[UUID, Plan], dict[UUID, Failure]]:
        """What there is to do for each task, noted before anything is done; and for which it is too much."""
        records = await self._records(search)
        plans = {task.task_id: Plan.model_validate(task.progress) for task in tasks if task.task_id in records}
        new = {key: plans[key].lacking(some) for key, some in records.items()}
        failures = self._too_much(tasks, records)
        grown = {key: some for key, some in new.items() if key not in failures and any(some.values())}
        rows_before = await erasure.history(self._tracker, grown.values()) or {}
        plans |= {key: plans[key].plus(some, rows_before) for key, some in grown.items()}
        if grown:
            await save_progress({key: plans[key].model_dump(mode="json") for key in grown})
        return plans, failures

    def _too_much(self, tasks: Sequence[Task], records: Mapping[UUID, Records]) -> dict[UUID, Failure]:
        """Of which tasks there is more than one request may touch."""
        held = ((task, records[task.task_id]) for task in tasks if task.task_id in records)
        excess = ((task, self._settings.excess(task, rows=sum(map(len, some.values())))) for task, some in held)
        return {task.task_id: failure for task, failure in excess if failure is not None}


def _shows_history(task: Task) -> bool:
    """Tells a portability from the rest: it gets what the subject has provided (Art. 20), and the history is not."""
    return task.details.get("right") != Right.PORTABILITY


def _noted_people(progress: Mapping[str, JsonValue]) -> Sequence[str]:
    return Plan.model_validate(progress).records.get("user") or cast("list[str]", progress.get("people", []))
