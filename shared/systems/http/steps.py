"""Erases records step by step, also of several people together; follows jobs, and verifies each record.

Where the API cannot erase, a person gets manual steps that name ids only; afterwards the records are verified.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from shared.domain.clock import Clock
from shared.domain.errors import (
    AnswerMalformed,
    DataStillPresent,
    NotSupported,
    Refused,
    SystemRefused,
    Unavailable,
)
from shared.systems.contract import Result
from shared.systems.engine.records import Record
from shared.systems.engine.stepwise import Journal, PendingErasure, RetryLater, SaveJournals
from shared.systems.http.declaration import ChangeStep, Declaration, Job, Resource, VerifyRequest
from shared.systems.http.paths import any_holds, in_text, value_at, values_at
from shared.systems.http.session import RequestExtras, Session
from shared.systems.http_client import run_together

Item = TypeVar("Item")
Batch = Sequence[tuple[Journal, PendingErasure]]
"""The records of one call, each with its journal."""
_POLL_FACTOR = 4
"""The pause is the elapsed time divided by this, so that a month takes about fifty looks."""
_AT_A_TIME = 100
"""The most records in one command."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The ids allowed in a command: without characters that a shell or a search interprets."""


class HttpSteps:
    """Erases and verifies records of one system."""

    def __init__(self, system: str, declaration: Declaration, session: Session, clock: Clock) -> None:
        self._system, self._session, self._clock = system, session, clock
        self._jobs, self._resources = declaration.job, declaration.resource
        self._order = tuple(declaration.order)
        self._ids = {name: each.id for name, each in declaration.resource.items()}
        looks = {name: each.verify for name, each in self._resources.items() if each.erase}
        self.searched = frozenset(name for name, each in looks.items() if each and each.search)

    def journal_entry(self, record: Record) -> PendingErasure:
        """Returns the journal entry of a record to erase."""
        hit = record.ref
        ways = enumerate(self._resources[hit.resource].by_hand)
        way = next((n for n, each in ways if not each.when or any(c.holds_of(hit.record) for c in each.when)), 0)
        return PendingErasure(
            place=hit.resource, id=hit.id, above={each.resource: each.id for each in hit.line}, variant=way
        )

    async def take_steps(self, journals: Sequence[Journal], note: SaveJournals) -> Mapping[UUID, Result]:
        """Erases as far as possible, children first; returns the results of tasks that wait or failed."""
        call = _EraseCall(journals)
        for name in reversed(self._order):
            for n, step in enumerate(self._resources[name].erase):
                await self._take(call, name, n, step, note)
            await self._look(call, name)
        return call.ended

    async def _take(self, call: "_EraseCall", name: str, n: int, step: ChangeStep, note: SaveJournals) -> None:
        """Takes one step of one resource, for all subjects."""
        if not (todo := call.at(name, n)):
            return
        await note()  # raises where a request was withdrawn meanwhile
        begun = [(journal, each) for journal, each in todo if not each.job]
        groups: dict[UUID | None, list[tuple[Journal, PendingErasure]]] = {}
        for journal, each in begun:
            groups.setdefault(journal.task.task_id if each.alone else None, []).append((journal, each))
        parts = [part for some in groups.values() for part in _parts(some, step.batch)]
        await run_together(*(call.end(partial(self._sent, call, name, n, step, part), part) for part in parts))
        if step.job is None:
            return
        await note()
        jobs: dict[str, list[tuple[Journal, PendingErasure]]] = {}
        for journal, each in call.at(name, n):
            jobs.setdefault(each.job, []).append((journal, each))
        job = self._jobs[step.job]
        await run_together(
            *(call.end(partial(self._follow, name, part, job), part) for _, part in sorted(jobs.items()))
        )

    async def _sent(self, call: "_EraseCall", name: str, n: int, step: ChangeStep, part: Batch) -> None:
        """Sends one call; if it is refused for several people, sends it by halves until the cause is alone."""
        try:
            await self._send(name, n, step, part)
        except (SystemRefused, AnswerMalformed):
            raise
        except Refused:
            if len({journal.task.task_id for journal, _ in part}) == 1:
                raise
            half = len(part) // 2
            halves = (part[:half], part[half:])
            await run_together(*(call.end(partial(self._sent, call, name, n, step, each), each) for each in halves))

    async def _send(self, name: str, n: int, step: ChangeStep, part: Batch) -> None:
        """Sends one call for these records; notes the job that it started."""
        journal, record = part[0]
        values = {**self._values(journal, record), "ids": [each.id for _, each in part]}
        once = {step.idempotency: _key(f"{name}.{n}", part)} if step.idempotency else {}
        body = await self._session.ask(
            step, {**values, "task_id": str(journal.task.task_id)}, RequestExtras(headers=once)
        )
        if step.job is None:
            _advance(part)
            return
        job_id = value_at(body, self._jobs[step.job].id)
        if isinstance(job_id, bool) or not isinstance(job_id, str | int) or not str(job_id).isprintable():
            raise AnswerMalformed(f"{self._system} began a job for {name} and does not say which")
        for _, each in part:
            each.job, each.since, each.job_continued = str(job_id), self._clock.now(), False

    async def _follow(self, name: str, part: Batch, job: Job) -> None:
        """Returns once the job is done; a job that failed for several people is started again for each of them.

        Raises:
            Later: the job is running.
            Refused: the job has failed, or did not end in time.
        """
        began = part[0][1]
        passed = self._clock.now() - (began.since or self._clock.now())
        state = value_at(await self._session.ask(job.status, {"job": began.job}), job.state)
        if state in job.done:
            _advance(part)
            return
        if state in job.failed:
            several = len({journal.task.task_id for journal, _ in part}) > 1
            for _, each in part:  # a retry starts another job
                each.job, each.alone = "", several
            if several:
                raise self._later(timedelta())
            raise Refused(f"{self._system} says that a job of {name} has failed")
        if passed > job.within:
            raise Refused(f"{self._system} has not ended a job of {name} within {job.within}: look there")
        if state in job.ready and job.run is not None and not began.job_continued:
            await self._session.ask(job.run, {"job": began.job})
            for _, each in part:
                each.job_continued = True
        raise self._later(max(job.every, passed / _POLL_FACTOR))

    def _later(self, after: timedelta) -> RetryLater:
        return RetryLater(f"{self._system} works on it", after)

    async def _look(self, call: "_EraseCall", name: str) -> None:
        """Verifies every record of one resource; tasks with a record that is still there wait."""
        resource = self._resources[name]
        verify = resource.verify
        if not verify:
            return
        for n, request in enumerate(verify.ask, start=len(resource.erase)):
            # a person erases only after getting the manual steps
            every = [(j, each) for j, each in call.at(name, n) if j.noted.by_person or not resource.by_hand]
            parts = _parts(every, 1 if resource.by_hand else request.batch)
            await run_together(
                *(call.end(partial(self._look_at, call, resource, name, request, part), part) for part in parts)
            )
        for _, each in call.at(name, len(resource.erase) + len(verify.ask)):
            each.erased = True

    async def _look_at(
        self, call: "_EraseCall", resource: Resource, name: str, request: VerifyRequest, part: Batch
    ) -> None:
        """Verifies some records; if one is still there, its task waits and the others are verified without it."""
        remaining = part
        while remaining:
            values = {**self._values(*remaining[0]), "ids": [each.id for _, each in remaining]}
            answer = await self._session.look(request, values)
            if any_holds(request.gone, answer):
                _advance(remaining)
                return
            if resource.by_hand:
                return
            ids = {str(one.id) for _, one in remaining}
            shown = {str(each) for each in values_at(answer.body, request.shown)} & ids if request.shown else set()
            still = [(journal, each) for journal, each in remaining if str(each.id) in (shown or ids)]
            remaining = [(journal, each) for journal, each in remaining if str(each.id) not in (shown or ids)]
            for journal in {journal.task.task_id: journal for journal, _ in still}.values():
                own = [each for owner, each in still if owner is journal]
                await call.end(partial(self._wait_result, journal, name, own), [(journal, own[0])])

    async def _wait_result(self, journal: Journal, name: str, shown: Sequence[PendingErasure]) -> None:
        raise self.on_still_shown(journal, name, shown)

    def on_still_shown(self, journal: Journal, name: str, shown: Iterable[PendingErasure]) -> RetryLater:
        """Returns when to verify records again that are still shown, and which are erased once more.

        Raises:
            DataStillPresent: they have been shown for too long.
        """
        resource, now = self._resources[name], self._clock.now()
        verify = resource.verify
        if verify is None:
            raise TypeError("that place is not verified")
        passed = now - journal.noted.still_shown_since.setdefault(name, now)
        if passed > verify.within:
            raise DataStillPresent(f"{self._system} says that a {name} was erased, and shows it after {verify.within}")
        # If every look by id shows a record as gone, the search index may lag behind.
        all_gone = all(each.erased for each in journal.of_place(name))
        if not all_gone and not any(step.job for step in resource.erase):
            for each in shown:
                each.step, each.erased = 0, False
        return self._later(max(verify.settle, passed / _POLL_FACTOR))

    def _values(self, journal: Journal, record: PendingErasure) -> dict[str, object]:
        """Returns the values for templates: identities, its id, and the ids of records above."""
        return {each.type.value: each.value for each in journal.task.identities} | self._parent_ids(record)

    def _parent_ids(self, record: PendingErasure) -> dict[str, object]:
        above: dict[str, object] = {f"{name}.{self._ids[name]}": value for name, value in record.above.items()}
        return {"id": record.id, **above}

    def refuse_manual_parts(self, journal: Journal) -> None:
        """Checks that the API can erase all records.

        Raises:
            NotSupported: a person must erase some, by the declared manual steps.
            AnswerMalformed: an id cannot be part of a command.
        """
        names = dict.fromkeys(each.place for each in journal.noted.erasures)
        manual_resources = [name for name in reversed(self._order) if name in names and not self._resources[name].erase]
        remaining = {
            name: some for name in manual_resources if (some := [e for e in journal.of_place(name) if not e.erased])
        }
        manual = [how for name, some in remaining.items() for how in self._manual_steps(name, some)]
        if remaining:
            sentence = (
                f"{self._system} has no way to erase {', '.join(remaining)}: do it there, and enter what was done"
            )
            raise NotSupported(f"{sentence}; GET …/manual-steps says how" if manual else sentence, manual)

    def _manual_steps(self, name: str, remaining: Sequence[PendingErasure]) -> Iterator[str]:
        """Yields the manual steps for one resource."""
        for n, way in enumerate(self._resources[name].by_hand):
            known = [self._parent_ids(each) for each in remaining if each.variant == n]
            if not all(_ID.fullmatch(str(value)) for values in known for value in values.values()):
                raise AnswerMalformed(f"{self._system} has a {name} whose id could not stand in a command: look there")
            if way.each is None:
                yield from (in_text(way.do, values) for values in known)
                continue
            for some in _parts([in_text(way.each, values) for values in known], _AT_A_TIME):
                yield in_text(way.do, {"each": way.between.join(some)})


@dataclass
class _EraseCall:
    """The tasks of one call, and the results of those that have ended."""

    journals: Sequence[Journal]

    def __post_init__(self) -> None:
        self.ended: dict[UUID, Result] = {}

    def at(self, name: str, n: int) -> list[tuple[Journal, PendingErasure]]:
        """Returns the records of one resource at that step."""
        active = (each for each in self.journals if each.task.task_id not in self.ended)
        return [
            (journal, each)
            for journal in active
            for each in journal.of_place(name)
            if each.step == n and not each.erased
        ]

    async def end(self, work: Callable[[], Awaitable[None]], part: Batch) -> None:
        """Does work for some records; if it waits or fails, their tasks take no further step."""
        tasks = [journal.task.task_id for journal, _ in part]
        try:
            await work()
        except RetryLater as later:
            self.ended |= {task_id: later.pending(task_id) for task_id in tasks}
        except (Unavailable, Refused) as failure:
            self.ended |= dict.fromkeys(tasks, failure)


def _advance(part: Batch) -> None:
    for _, each in part:
        each.step, each.job = each.step + 1, ""


def _parts(some: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (some[start : start + size] for start in range(0, len(some), size))


def _key(key: str, part: Batch) -> str:
    """Returns an idempotency key that is the same at each repeat."""
    content = "\n".join(
        sorted(f"{journal.task.task_id} {journal.task.round} {key} {each.id}" for journal, each in part)
    )
    return hashlib.sha256(content.encode()).hexdigest()
