"""Roundup as a downstream: locate, export, erase, amend, escalate; hundreds of tasks in as few calls as it allows."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from uuid import UUID

import httpx
from pydantic import JsonValue

from shared.domain.errors import Misconfigured, Refused, Unavailable
from shared.domain.identities import IdentityType
from shared.domain.operations import TaskOutcome, Unsearched
from shared.downstreams.contract import Checkpoint, NotSearched, Receipt, Result, Task
from shared.downstreams.roundup import amendment, directory, erasure, escalation, export, overwriting
from shared.downstreams.roundup.directory import Records
from shared.downstreams.roundup.erasure import Plan
from shared.downstreams.roundup.overwriting import Failure
from shared.downstreams.roundup.settings import RoundupSettings
from shared.downstreams.roundup.subjects import Candidates, Person, has, identities_of, searched, subjects
from shared.downstreams.roundup.tracker import Tracker


@dataclass(frozen=True, slots=True)
class Found:
    """The users who are the subject of a task; ``ids`` also has those that an earlier attempt noted."""

    task: Task
    people: Sequence[Person]
    ids: Sequence[str]


_SEARCHED = {IdentityType.EMAIL, IdentityType.PHONE}


class RoundupAdapter:
    """One Roundup tracker.

    Its history keeps every former value in clear and REST cannot remove it: erasure needs the privacy routes in
    ``deploy/downstreams/roundup/tracker/interfaces.py``. In a tracker without them everything is overwritten all the
    same, and the task is told as ``ResidueFound``.
    """

    def __init__(
        self,
        system: str,
        settings: RoundupSettings,
        *,
        environment: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if settings.password_env not in environment:
            raise Misconfigured(f"{system}: the environment variable {settings.password_env} (password_env) is not set")
        self._system = system
        self._settings = settings
        self._tracker = Tracker(system, settings, environment[settings.password_env], transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._tracker.close()

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Find the subject's users and what else they are known by."""
        del save_progress
        found = await self._find(tasks)

        async def tell(one: Found) -> Result:
            known = {(identity.type, identity.value) for identity in one.task.identities}
            new = {
                i: None for p in one.people for i in identities_of(p, self._system) if (i.type, i.value) not in known
            }
            count = len(one.people)
            return Receipt(
                one.task.task_id,
                TaskOutcome.LOCATED,
                found=count,
                by_category={"account": count},
                identities=tuple(new),
            )

        return await self._conclude(tasks, found, tell)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Read the account, the tickets, and every message and file of each subject."""
        del save_progress
        found = await self._find(tasks)
        records = await self._records(found)
        owners = chain.from_iterable(one.ids for one in found.values() if isinstance(one, Found))
        holdings = await export.holdings(self._tracker, self._system, records.values(), owners)

        async def tell(one: Found) -> Result:
            held = tuple(export.of(records[one.task.task_id], holdings))
            counts = {
                category: sum(r.category == category for r in held) for category in sorted({r.category for r in held})
            }
            return Receipt(one.task.task_id, TaskOutcome.EXPORTED, found=len(held), by_category=counts, records=held)

        return await self._conclude(tasks, found, tell)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Overwrite and retire the subject with all that is theirs, remove its history, look again."""
        found = await self._find(tasks)
        plans, failures = await self._plan(found, save_progress)
        ready = {key: plan.records for key, plan in plans.items() if key not in failures}
        failures |= await overwriting.overwrite(self._tracker, ready)
        written = {key: plan.records for key, plan in plans.items() if key not in failures}
        await erasure.forget(self._tracker, written.values())
        remaining = await erasure.left(self._tracker, written.values())
        rows = await erasure.history(self._tracker, written.values())
        done = [replace(task, progress=plans[task.task_id].progress()) for task in tasks if task.task_id in written]
        again = await self._find(done)

        async def tell(one: Found) -> Result:
            key = one.task.task_id
            if key in failures:
                return failures[key]
            look = again[key]
            erasure.judge(plans[key], remaining, rows, len(look.people) if isinstance(look, Found) else 1)
            total = sum(plans[key].found.values())
            return Receipt(key, TaskOutcome.ERASED, found=total, changed=total, by_category=plans[key].found)

        return await self._conclude(tasks, found, tell)

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

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Correct name, e-mail address or number; set and take away the marks that ordinary users of it obey."""
        found = await self._find(tasks)
        # A corrected address no longer finds the subject: a repeat must know who they were.
        new = {key: one for key, one in found.items() if isinstance(one, Found) and one.ids and not one.task.progress}
        if new:
            await save_progress({key: {"people": list(one.ids)} for key, one in new.items()})

        async def tell(one: Found) -> Result:
            await amendment.amend(self._tracker, one.task, one.ids)
            count = len(one.ids)
            return Receipt(
                one.task.task_id, TaskOutcome.AMENDED, found=count, changed=count, by_category={"account": count}
            )

        return await self._conclude(tasks, found, tell)

    async def _find(self, tasks: Sequence[Task]) -> Mapping[UUID, Found | Failure]:
        """Who the subject of each task is; who an earlier attempt noted stays the subject, and nobody joins them."""
        hits = await directory.people(self._tracker, chain.from_iterable(task.identities for task in tasks))
        everybody = Candidates(hits)
        found: dict[UUID, Found | Failure] = {}
        for task in tasks:
            noted, candidates = _noted_people(task.progress), everybody.of(task.identities)
            try:
                if noted:
                    mine = [person for person in candidates if person.id in noted]
                    people = tuple(p for p in mine if any(has(p, key) for key in searched(task.identities)))
                else:
                    people = subjects(candidates, task.identities)
            except Refused as failure:
                found[task.task_id] = failure
                continue
            excess = self._settings.excess(people=len(people))
            found[task.task_id] = excess or Found(task, people, noted or [person.id for person in people])
        return found

    async def _records(self, found: Mapping[UUID, Found | Failure]) -> Mapping[UUID, Records]:
        """What belongs to each subject, the people themselves among it."""
        ones = {key: one for key, one in found.items() if isinstance(one, Found) and one.ids}
        owned = await directory.records(self._tracker, chain.from_iterable(one.ids for one in ones.values()))
        return {
            key: {"user": sorted(one.ids, key=int), **erasure.together(owned[owner] for owner in one.ids)}
            for key, one in ones.items()
        }

    async def _plan(
        self, found: Mapping[UUID, Found | Failure], save_progress: Checkpoint
    ) -> tuple[dict[UUID, Plan], dict[UUID, Failure]]:
        """What there is to do for each task, noted before anything is done; and for which it is too much."""
        records = await self._records(found)
        plans = {one.task.task_id: Plan.noted(one.task.progress) for one in found.values() if isinstance(one, Found)}
        new = {key: plans[key].lacking(some) for key, some in records.items()}
        failures: dict[UUID, Failure] = {}
        for key, some in records.items():
            if excess := self._settings.excess(rows=sum(map(len, some.values()))):
                failures[key] = excess
        grown = {key: some for key, some in new.items() if key not in failures and any(some.values())}
        rows_before = await erasure.history(self._tracker, grown.values()) or {}
        plans |= {key: plans[key].plus(some, rows_before) for key, some in grown.items()}
        if grown:
            await save_progress({key: plans[key].progress() for key in grown})
        return plans, failures

    async def _conclude(
        self,
        tasks: Sequence[Task],
        found: Mapping[UUID, Found | Failure],
        tell: Callable[[Found], Coroutine[Any, Any, Result]],
    ) -> Sequence[Result]:
        async def one(task: Task) -> Result:
            subject = found[task.task_id]
            if not isinstance(subject, Found):
                return subject
            if not subject.ids:
                if not any(i.type in _SEARCHED for i in task.identities):
                    return NotSearched(task.task_id, Unsearched.NOTHING_TO_SEARCH_BY)
                return Receipt(task.task_id, TaskOutcome.NO_MATCH)
            try:
                return await tell(subject)
            except (Unavailable, Refused) as failure:
                return failure

        return await self._tracker.all(map(one, tasks))


def _noted_people(progress: Mapping[str, JsonValue]) -> Sequence[str]:
    records = progress.get("records")
    noted = records.get("user") if isinstance(records, dict) else progress.get("people")
    return [str(one) for one in noted] if isinstance(noted, list) else []
