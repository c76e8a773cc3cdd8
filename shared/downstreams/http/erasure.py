"""Erasing what was found, resource by resource and children first, each looked for again before its parent goes."""

from collections.abc import Awaitable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from shared.domain.clock import Clock
from shared.domain.errors import AnswerMalformed, Refused, ResidueFound, SystemRefused, Unavailable
from shared.domain.policy import Policy
from shared.downstreams.contract import Checkpoint, Pending, Result, Task
from shared.downstreams.http.amendment import Amendment
from shared.downstreams.http.budget import Later
from shared.downstreams.http.by_hand import look_by_search, look_key, must_be_whole
from shared.downstreams.http.held import Restriction, unused
from shared.downstreams.http.interface import Interface, Work
from shared.downstreams.http.paths import any_holds, each_at
from shared.downstreams.http.plan import Plan, Target
from shared.downstreams.http.requests import Job, Look, LookAt, Step
from shared.downstreams.http.search import Found
from shared.downstreams.http.staying import staying
from shared.downstreams.http.steps import SLOWER, NotYet, Part, Steps
from shared.downstreams.http_client import together

Some = TypeVar("Some")
_ROUNDS = 5
"""How often records that keep arriving are chased."""


class Erasure(Work):
    """One call: the tasks of several subjects, whose ids may share a request."""

    def __init__(self, interface: Interface, policy: Policy, save_progress: Checkpoint, clock: Clock) -> None:
        super().__init__(interface, save_progress)
        self._policy = policy
        self._clock = clock
        self._ids = {name: each.id for name, each in interface.declaration.resource.items()}
        self._steps = Steps(interface.system, interface.declaration, interface.session, clock)
        self._restriction = Restriction(interface.declaration, Amendment(interface, save_progress))
        self._plans: dict[UUID, Plan] = {}
        self._ended: dict[UUID, Result] = {}

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """One result for each task, in order."""
        self._plans = {task.task_id: plan for task in tasks if (plan := Plan.of(task)) is not None}
        for plan in self._open():
            if plan.noted.finished:
                self._ended[plan.task.task_id] = plan.receipt()
            else:
                plan.spare(self._declaration.resource)
        told = [plan.task for plan in self._open() if plan.noted.told]
        await self._each([*told, *(task for task in tasks if task.task_id not in self._plans)], self._begin)
        await self._note()
        for name in reversed(tuple(self._declaration.order)):
            for place, step in enumerate(self._declaration.resource[name].erase):
                await self._take(name, f"{name}.{place}", step)
            await self._look(name)
        await self._each(self._tasks(), self._search_again)
        await self._note()
        return [self._ended[task.task_id] for task in tasks]

    def _open(self) -> list[Plan]:
        return self._still_open(self._plans.values())

    def _still_open(self, plans: Iterable[Plan]) -> list[Plan]:
        return [plan for plan in plans if plan.task.task_id not in self._ended]

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
        except NotYet as waiting:
            self._ended |= {task.task_id: Pending(task.task_id, waiting.after) for task in tasks}
        except Later as busy:
            self._ended |= {task.task_id: busy.pending(task.task_id) for task in tasks}
        except (Unavailable, Refused) as failure:
            self._ended |= dict.fromkeys((task.task_id for task in tasks), failure)

    async def _begin(self, task: Task) -> None:
        found = await self._search.find(task)
        plan = self._plans.get(task.task_id) or Plan(task)  # there is one where a person was to do a part of it
        look_by_search(self._declaration, plan, found)
        for key in plan.known & found.hits.keys():
            del found.hits[key]
        await self._admit(plan, found)
        self._plans[task.task_id] = plan

    async def _admit(self, plan: Plan, found: Found) -> bool:
        """Takes what was found into the plan, or raises why nothing may be done; whether any of it is to go."""
        hits = found.hits.values()
        stays = staying(self._declaration, self._policy, plan.task, hits)
        plan.leave(stays)
        known, going = sum(plan.noted.counts.values()), [hit for hit in hits if hit.key not in stays]
        people = sum(hit.above is None for hit in hits)
        if excess := self._settings.excess(plan.task, rows=known + len(going), people=people):
            raise excess
        plan.add(going, self._declaration.resource)
        idle = unused(self._declaration, self._policy, plan.task, hits, stays) if plan.task.held else []
        fresh = [hit for hit in idle if str(hit.id) not in plan.noted.unused.get(hit.resource, {})]
        plan.restrict(await self._restriction.of(plan.task, fresh))
        return bool(going)

    async def _take(self, name: str, key: str, step: Step) -> None:
        """One step of one resource, for all subjects."""
        plans = [plan for plan in self._open() if key not in plan.noted.done and plan.noted.targets.get(name)]
        if not plans:
            return
        await self._note()  # raises where a request was withdrawn meanwhile
        together_or_apart: dict[UUID | None, list[tuple[Plan, Target]]] = {}
        for plan in plans:
            whose = plan.task.task_id if key in plan.noted.apart else None
            together_or_apart.setdefault(whose, []).extend((plan, target) for target in plan.left(name, key))
        parts = [part for todo in together_or_apart.values() for part in _parts(todo, step.batch)]
        await together(*(self._end(self._sent(name, key, step, part), _tasks(part)) for part in parts))
        if step.job is not None:
            await self._note()
            jobs = {job_id for plan in self._open() for job_id in plan.noted.jobs.get(key, {})}
            job = self._declaration.job[step.job]
            await together(*(self._followed(key, job_id, job) for job_id in sorted(jobs)))
        for plan in self._still_open(plans):
            plan.end(key)

    async def _sent(self, name: str, key: str, step: Step, part: Part) -> None:
        """One call; refused for several people it is made by halves, until who is to blame is alone."""
        try:
            await self._steps.send(name, key, step, part)
        except (SystemRefused, AnswerMalformed):
            raise
        except Refused:
            if len({plan.task.task_id for plan, _ in part}) == 1:
                raise
            half = len(part) // 2
            halves = (part[:half], part[half:])
            await together(*(self._end(self._sent(name, key, step, each), _tasks(each)) for each in halves))

    async def _followed(self, key: str, job_id: str, job: Job) -> None:
        plans = [plan for plan in self._open() if job_id in plan.noted.jobs.get(key, {})]
        await self._end(self._steps.follow(plans, key, job_id, job), [plan.task for plan in plans])

    async def _look(self, name: str) -> None:
        """Looks at every record of one resource again; who has one that is still there waits."""
        resource = self._declaration.resource[name]
        seen = f"{name}.gone"
        plans = [plan for plan in self._open() if seen not in plan.noted.done and plan.noted.targets.get(name)]
        if resource.by_hand:  # nobody has done it who has not been told
            plans = [plan for plan in plans if plan.noted.told]
        if not isinstance(resource.verify, Look):
            return
        for place, request in enumerate(resource.verify.ask):
            key = look_key(name, place)
            every = [(plan, target) for plan in plans for target in plan.left(name, key)]
            parts = _parts(every, 1 if resource.by_hand else request.batch)
            looks = (self._end(self._look_at(key, resource.verify, request, part), _tasks(part)) for part in parts)
            await together(*looks)
        for plan in self._still_open(plans) if resource.erase else ():
            plan.end(seen)

    async def _look_at(self, key: str, verify: Look, request: LookAt, part: Part) -> None:
        """Looks at some records; who has one that is still there waits, and the others are looked at without it."""
        name, left = key.partition(".")[0], part
        while left:
            plan, target = left[0]
            values = {**plan.values(target, self._ids), "ids": [each.id for _, each in left]}
            answer = await self._session.look(request, values)
            if any_holds(request.gone, answer):
                for each, one in left:
                    each.handle(key, [one])
                return
            if self._declaration.resource[name].by_hand:
                return
            shown = {str(each) for each in each_at(answer.said, request.shown)} if request.shown else set()
            shown = shown & {str(one.id) for _, one in left} or {str(one.id) for _, one in left}
            for each in {plan.task.task_id: plan for plan, one in left if str(one.id) in shown}.values():
                await self._end(self._waits(each, name, verify), [each.task])
            left = [(each, one) for each, one in left if str(one.id) not in shown]

    async def _waits(self, plan: Plan, name: str, verify: Look) -> None:
        raise self._wait(plan, name, verify)

    def _wait(self, plan: Plan, name: str, verify: Look) -> NotYet:
        """When to look again; what can be told to go once more is told so then.

        Raises:
            ResidueFound: it has been shown for too long.
        """
        since = plan.noted.looked_since.setdefault(name, self._clock.now())
        passed = self._clock.now() - since
        if passed > verify.within:
            raise ResidueFound(f"{self._system} says that a {name} was erased, and shows it after {verify.within}")
        # Where each look by its id says that it is gone, the index of the search may lag behind: it is waited for.
        told = f"{name}.gone" in plan.noted.done and verify.ask
        if not told and not any(step.job for step in self._declaration.resource[name].erase):
            plan.again(name)
        return NotYet(max(verify.settle, passed / SLOWER))

    async def _search_again(self, task: Task) -> None:
        """Searches anew by the identities: what came meanwhile is erased too."""
        plan = self._plans[task.task_id]
        looked = [
            name
            for name, each in self._declaration.resource.items()
            if each.erase and isinstance(each.verify, Look) and each.verify.search
        ]
        if looked and plan.known:
            found = await self._search.find(task, plan.known, judged=plan.staying)
            if found.hits and await self._admit(plan, found):
                await self._chase(plan, found)
            for name in looked:
                verify = self._declaration.resource[name].verify
                if isinstance(verify, Look) and found.again(name):
                    raise self._wait(plan, name, verify)
        plan.noted.told = True
        must_be_whole(self._system, self._declaration, plan)
        plan.finish(self._declaration)
        receipt = plan.receipt()
        self._ended[task.task_id] = receipt

    async def _chase(self, plan: Plan, found: Found) -> None:
        if plan.noted.rounds >= _ROUNDS:
            raise ResidueFound(f"{self._system} has new records of the subject each time that it is searched")
        plan.noted.rounds += 1
        for name in {hit.resource for hit in found.hits.values()}:
            plan.again(name)
        raise NotYet(timedelta())


def _parts(some: Sequence[Some], size: int) -> Iterator[Sequence[Some]]:
    return (some[start : start + size] for start in range(0, len(some), size))


def _tasks(part: Part) -> list[Task]:
    return [plan.task for plan, _ in part]
