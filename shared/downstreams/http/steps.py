"""One step of an erasure: sent for some records, of several people too, and followed where it began a job."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from shared.domain.clock import Clock
from shared.domain.errors import AnswerMalformed, Refused
from shared.downstreams.http.declaration import Declaration
from shared.downstreams.http.paths import at
from shared.downstreams.http.plan import FollowedJob, Plan, Target
from shared.downstreams.http.requests import Job, Step
from shared.downstreams.http.session import Further, Session

SLOWER = 4
"""Looked again after this part of the time that has passed, so that a month costs some fifty looks."""
Part = Sequence[tuple[Plan, Target]]
"""The records of one call, each with the plan that it belongs to."""


class NotYet(Exception):
    """The system works on it, or does not show yet what it did: ask again after that time."""

    def __init__(self, after: timedelta) -> None:
        super().__init__()
        self.after = after


class Steps:
    """Takes steps in one system."""

    def __init__(self, system: str, declaration: Declaration, session: Session, clock: Clock) -> None:
        self._system = system
        self._declaration = declaration
        self._session = session
        self._clock = clock
        self._ids = {name: each.id for name, each in declaration.resource.items()}

    async def send(self, name: str, key: str, step: Step, part: Part) -> None:
        """One call for these records; a job that it began is noted, and followed later."""
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
        if isinstance(job_id, bool) or not isinstance(job_id, str | int) or not str(job_id).isprintable():
            raise AnswerMalformed(f"{self._system} began a job for {name} and does not say which")
        began = FollowedJob(ids=tuple(ids), since=self._clock.now())
        for each, _ in part:
            each.noted.jobs.setdefault(key, {})[str(job_id)] = began

    async def follow(self, plans: Sequence[Plan], key: str, job_id: str, job: Job) -> None:
        """Returns once the job is done; what failed for several people together is begun for each by themselves.

        Raises:
            NotYet: the system works on it.
            Refused: it has failed, or did not end in time.
        """
        began = plans[0].noted.jobs[key][job_id]
        state = at(await self._session.ask(job.status, {"job": job_id}), job.state)
        if state in job.done:
            return
        if state in job.failed:
            for plan in plans:  # a person's retry begins another one
                del plan.noted.jobs[key][job_id]
            if len(plans) > 1:
                for plan in plans:
                    plan.noted.apart.append(key)
                raise NotYet(timedelta())
            raise Refused(f"{self._system} says that a job of {key} has failed")
        if self._clock.now() - began.since > job.within:
            raise Refused(f"{self._system} has not ended a job of {key} within {job.within}: look there")
        if state in job.ready and job.run is not None and not began.ran:
            await self._session.ask(job.run, {"job": job_id})
            for plan in plans:
                plan.noted.jobs[key][job_id] = began.model_copy(update={"ran": True})
        raise NotYet(max(job.every, (self._clock.now() - began.since) / SLOWER))


def _key(key: str, part: Part) -> str:
    """The same for the same records of the same tasks, at each repeat."""
    said = "\n".join(sorted(f"{plan.task.task_id} {plan.task.round} {key} {target.id}" for plan, target in part))
    return hashlib.sha256(said.encode()).hexdigest()
