"""Erasing what was found, resource by resource and children first, each looked for again before its parent goes."""

import hashlib
from collections.abc import Awaitable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from shared.domain.clock import Clock
from shared.domain.errors import AnswerMalformed, NotSupported, Refused, ResidueFound, Unavailable
from shared.downstreams.contract import Checkpoint, Pending, Result, Task
from shared.downstreams.http.budget import Later
from shared.downstreams.http.declaration import Declaration
from shared.downstreams.http.paths import any_holds, at
from shared.downstreams.http.plan import FollowedJob, Plan, Target
from shared.downstreams.http.requests import Job, Look, LookAt, Step
from shared.downstreams.http.search import Found, Search
from shared.downstreams.http.session import Further, Session
from shared.downstreams.http.settings import DeclaredHttpSettings
from shared.downstreams.http_client import together

Some = TypeVar("Some")
_ROUNDS = 5
"""How often records that keep arriving are chased."""
_SLOWER = 4
"""Looked again after this part of the time that has passed, so that a month costs some fifty looks."""


class ErasureRefused(Refused):
    """A record is in a state in which nothing of the subject may be erased; the message says the declared reason."""


class _NotYet(Exception):
    """The system works on it, or does not show yet what it did: ask again after that time."""

    def __init__(self, after: timedelta) -> None:
        super().__init__()
        self.after = after


class Erasure:
    """One call: the tasks of several subjects, whose ids may share a request."""

    def __init__(
        self,
        system: str,
        settings: DeclaredHttpSettings,
        declaration: Declaration,
        session: Session,
        search: Search,
        clock: Clock,
        save_progress: Checkpoint,
    ) -> None:
        self._system = system
        self._settings = settings
        self._declaration = declaration
        self._session = session
        self._search = search
        self._clock = clock
        self._save_progress = save_progress
        self._categories = {name: each.category for name, each in declaration.resource.items()}
        self._ids = {name: each.id for name, each in declaration.resource.items()}
        self._plans: dict[UUID, Plan] = {}
        self._ended: dict[UUID, Result] = {}

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """One result for each task, in order."""
        self._plans = {task.task_id: plan for task in tasks if (plan := Plan.of(task)) is not None}
        for plan in self._open():
            if plan.noted.finished:
                self._ended[plan.task.task_id] = plan.receipt()
        await self._each([task for task in tasks if task.task_id not in self._plans], self._begin)
        await self._note()
        for name in reversed(tuple(self._declaration.order)):
            for place, step in enumerate(self._declaration.resource[name].erase):
                await self._take(name, f"{name}.{place}", step)
            await self._look(name)
        await self._each(self._tasks(), self._search_again)
        await self._note()
        return [self._ended[task.task_id] for task in tasks]

    def _open(self) -> list[Plan]:
        return [plan for task_id, plan in self._plans.items() if task_id not in self._ended]

    def _tasks(self) -> list[Task]:
        return [plan.task for plan in self._open()]

    async def _note(self) -> None:
        """Makes durable how far every plan is, ended or not, before anything irreversible follows."""
        if noted := {key: value for plan in self._plans.values() for key, value in plan.progress.items()}:
            await self._save_progress(noted)

    async def _each(self, tasks: Sequence[Task], do: Any) -> None:
        """Does it for every task side by side; whoever fails takes no further step."""
        await together(*(self._end(do(task), [task]) for task in tasks))

    async def _end(self, work: Awaitable[None], tasks: Sequence[Task]) -> None:
        try:
            await work
        except _NotYet as waiting:
            self._ended |= {task.task_id: Pending(task.task_id, waiting.after) for task in tasks}
        except Later as busy:
            self._ended |= {task.task_id: Pending(task.task_id, busy.after) for task in tasks}
        except (Unavailable, Refused) as failure:
            self._ended |= dict.fromkeys((task.task_id for task in tasks), failure)

    async def _begin(self, task: Task) -> None:
        found = await self._search.find(task)
        plan = Plan(task)
        self._admit(plan, found)
        self._plans[task.task_id] = plan

    def _admit(self, plan: Plan, found: Found) -> None:
        """Takes what was found into the plan, or raises why nothing may be done."""
        for hit in found.hits.values():
            for refusal in self._declaration.resource[hit.resource].refuse_when:
                if refusal.holds_of(hit.record):
                    raise ErasureRefused(f"{self._system} has a {hit.resource} that must stay now: {refusal.reason}")
        rows = sum(plan.noted.counts.values()) + len(found.hits)
        roots = sum(hit.above is None for hit in found.hits.values())
        if excess := self._settings.excess(plan.task, rows=rows, people=roots):
            raise excess
        plan.add(found.hits.values(), self._categories)

    async def _take(self, name: str, key: str, step: Step) -> None:
        """One step of one resource, for all subjects."""
        plans = [plan for plan in self._open() if key not in plan.noted.done and plan.noted.targets.get(name)]
        if not plans:
            return
        await self._note()  # raises where a request was withdrawn meanwhile
        todo = [(plan, target) for plan in plans for target in plan.left(name, key)]
        await together(
            *(
                self._end(self._send(name, key, step, part), [plan.task for plan, _ in part])
                for part in _parts(todo, step.batch)
            )
        )
        if step.job is not None:
            await self._note()
            jobs = {job_id for plan in self._open() for job_id in plan.noted.jobs.get(key, {})}
            job = self._declaration.job[step.job]
            await together(*(self._followed(key, job_id, job) for job_id in sorted(jobs)))
        for plan in self._open():
            if plan in plans:
                plan.end(key)

    async def _send(self, name: str, key: str, step: Step, part: Sequence[tuple[Plan, Target]]) -> None:
        plan, target = part[0]
        ids = [each.id for _, each in part]
        values = {**plan.values(target, self._ids), "ids": ids, "task_id": str(plan.task.task_id)}
        once = {step.idempotency: _key(key, part)} if step.idempotency else {}
        said = await self._session.ask(step, values, Further(headers=once))
        if step.job is None:
            for each, one in part:
                each.handle(key, [one])
            return
        job_id = at(said, self._declaration.job[step.job].id)
        if isinstance(job_id, bool) or not isinstance(job_id, str | int):
            raise AnswerMalformed(f"{self._system} began a job for {name} and does not say which")
        began = FollowedJob(ids=tuple(ids), since=self._clock.now())
        for each, _ in part:
            each.noted.jobs.setdefault(key, {})[str(job_id)] = began

    async def _followed(self, key: str, job_id: str, job: Job) -> None:
        plans = [plan for plan in self._open() if job_id in plan.noted.jobs.get(key, {})]
        await self._end(self._follow(plans, key, job_id, job), [plan.task for plan in plans])

    async def _follow(self, plans: Sequence[Plan], key: str, job_id: str, job: Job) -> None:
        """Returns once the job is done."""
        began = plans[0].noted.jobs[key][job_id]
        state = at(await self._session.ask(job.status, {"job": job_id}), job.state)
        if state in job.done:
            return
        if state in job.failed:
            for plan in plans:  # a person's retry begins another one
                del plan.noted.jobs[key][job_id]
            raise Refused(f"{self._system} says that a job of {key} has failed")
        if self._clock.now() - began.since > job.within:
            raise Refused(f"{self._system} has not ended a job of {key} within {job.within}: look there")
        if state in job.ready and job.run is not None and not began.ran:
            await self._session.ask(job.run, {"job": job_id})
            for plan in plans:
                plan.noted.jobs[key][job_id] = began.model_copy(update={"ran": True})
        raise _NotYet(max(job.every, (self._clock.now() - began.since) / _SLOWER))

    async def _look(self, name: str) -> None:
        """Looks at every record of one resource again; who has one that is still there waits."""
        verify = self._declaration.resource[name].verify
        seen = f"{name}.gone"
        plans = [plan for plan in self._open() if seen not in plan.noted.done and plan.noted.targets.get(name)]
        if not isinstance(verify, Look):
            return
        for place, request in enumerate(verify.ask):
            key = f"{name}.look{place}"
            every = [(plan, target) for plan in plans for target in plan.left(name, key)]
            await together(*(self._look_at(key, verify, request, part) for part in _parts(every, request.batch)))
        for plan in self._open():
            if plan in plans:
                plan.end(seen)

    async def _look_at(self, key: str, verify: Look, request: LookAt, part: Sequence[tuple[Plan, Target]]) -> None:
        plans = {plan.task.task_id: plan for plan, _ in part}

        async def look() -> None:
            plan, target = part[0]
            values = {**plan.values(target, self._ids), "ids": [each.id for _, each in part]}
            if not any_holds(request.gone, await self._session.look(request, values)):
                name = key.partition(".")[0]
                raise max((self._wait(each, name, verify) for each in plans.values()), key=lambda each: each.after)
            for each, one in part:
                each.handle(key, [one])

        await self._end(look(), [plan.task for plan in plans.values()])

    def _wait(self, plan: Plan, name: str, verify: Look) -> _NotYet:
        """When to look again; what can be told to go once more is told so then.

        Raises:
            ResidueFound: it has been shown for too long.
        """
        since = plan.noted.looked_since.setdefault(name, self._clock.now())
        passed = self._clock.now() - since
        if passed > verify.within:
            raise ResidueFound(f"{self._system} says that a {name} was erased, and shows it after {verify.within}")
        if not any(step.job for step in self._declaration.resource[name].erase):
            plan.again(name)
        return _NotYet(max(verify.settle, passed / _SLOWER))

    async def _search_again(self, task: Task) -> None:
        """Searches anew by the identities: what came meanwhile is erased too."""
        plan = self._plans[task.task_id]
        looked = [
            name
            for name, each in self._declaration.resource.items()
            if isinstance(each.verify, Look) and each.verify.search
        ]
        known = {(name, str(each.id)) for name, targets in plan.noted.targets.items() for each in targets}
        if looked and known:
            found = await self._search.find(task, known)
            if found.hits:
                await self._chase(plan, found)
            for name in looked:
                verify = self._declaration.resource[name].verify
                # Where each was looked at by its id too, the index of the search alone lags behind.
                if isinstance(verify, Look) and not verify.ask and found.again(name):
                    raise self._wait(plan, name, verify)
        self._must_be_whole(plan)
        receipt = plan.receipt()
        plan.finish()
        self._ended[task.task_id] = receipt

    async def _chase(self, plan: Plan, found: Found) -> None:
        if plan.noted.rounds >= _ROUNDS:
            raise ResidueFound(f"{self._system} has new records of the subject each time that it is searched")
        self._admit(plan, found)
        plan.noted.rounds += 1
        for name in {hit.resource for hit in found.hits.values()}:
            plan.again(name)
        raise _NotYet(timedelta())

    def _must_be_whole(self, plan: Plan) -> None:
        """Raises where a part of what was found cannot be erased there, or nobody can look at it again."""
        left = [name for name in plan.noted.targets if not self._declaration.resource[name].erase]
        unseen = [name for name in plan.noted.targets if self._declaration.resource[name].verify is False]
        if left:
            raise NotSupported(
                f"{self._system} has no way to erase {', '.join(left)}: do it there, and enter what was done"
            )
        if unseen:
            said = f"{self._system} was told to erase {', '.join(unseen)} and shows nobody whether it did"
            raise NotSupported(f"{said}: look there, and enter what was done")


def _key(key: str, part: Sequence[tuple[Plan, Target]]) -> str:
    """The same for the same records of the same tasks, at each repeat."""
    said = "\n".join(sorted(f"{plan.task.task_id} {plan.task.round} {key} {target.id}" for plan, target in part))
    return hashlib.sha256(said.encode()).hexdigest()


def _parts(some: Sequence[Some], size: int) -> Iterator[Sequence[Some]]:
    return (some[start : start + size] for start in range(0, len(some), size))
