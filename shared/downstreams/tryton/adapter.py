"""Locate, export, erase and amend a customer in Tryton, for hundreds of requests with a few calls."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

import httpx

from shared.domain.errors import Misconfigured, Refused
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.http_client import connect
from shared.downstreams.tryton.amendment import set_flag
from shared.downstreams.tryton.erasure import erase
from shared.downstreams.tryton.export import records
from shared.downstreams.tryton.open_requests import mark
from shared.downstreams.tryton.rectification import rectify
from shared.downstreams.tryton.rpc import TrytonRpc
from shared.downstreams.tryton.settings import TrytonSettings
from shared.downstreams.tryton.subjects import Subjects


class TrytonAdapter:
    """The CRM as a downstream; every hit is proven to be the subject's before anything is done to it (``proof.py``)."""

    def __init__(
        self,
        system: str,
        settings: TrytonSettings,
        *,
        environment: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if settings.password_env not in environment:
            raise Misconfigured(f"{system}: set {settings.password_env} to the password of {settings.login}")
        self._client = connect(
            base_url=settings.url, timeout=settings.timeout_seconds, transport=transport, trust_env=False
        )
        self._rpc = TrytonRpc(
            self._client, settings.database, settings.login, environment[settings.password_env], settings.concurrency
        )
        self._subjects = Subjects(self._rpc, system, settings)
        self._system = system
        self._lanes = settings.concurrency

    async def open(self) -> None:
        """Nothing yet: a CRM that is away when we start delays only its own tasks."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Who the subject is here: customer number, and all addresses and numbers with their periods."""
        del save_progress  # reading leaves nothing to remember
        return await self._read(tasks, TaskOutcome.LOCATED)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Everything held about the subject (Art. 15, 20)."""
        del save_progress
        return await self._read(tasks, TaskOutcome.EXPORTED)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Remove the subject, also what Tryton's own erasure forgets, and look again (Art. 17)."""
        return await erase(self._rpc, self._subjects, tasks, save_progress, lanes=self._lanes)

    async def rectify(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Correct name, e-mail, phone or address (Art. 16)."""
        return await rectify(self._rpc, self._subjects, tasks, save_progress)

    async def restrict(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Hide the subject from everybody but the privacy team (Art. 18)."""
        del save_progress  # a flag that is set again is the same flag
        return await set_flag(self._rpc, self._subjects, tasks, "restricted", value=True)

    async def lift(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Let everybody find the subject again (Art. 18(3))."""
        del save_progress
        return await set_flag(self._rpc, self._subjects, tasks, "restricted", value=False)

    async def suppress(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Stop marketing to the subject (Art. 21(2))."""
        del save_progress
        return await set_flag(self._rpc, self._subjects, tasks, "marketing_opt_out", value=True)

    async def flag(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Show with the subject's party that a request is open, and take it away when it is answered."""
        return await mark(self._rpc, self._subjects, tasks, save_progress)

    async def _read(self, tasks: Sequence[Task], outcome: TaskOutcome) -> list[Result]:
        found = await self._subjects.of(tasks)
        results: dict[UUID, Result] = {}
        for task in tasks:
            match found[task.task_id]:
                case Refused() as refused:
                    results[task.task_id] = refused
                case () | []:
                    results[task.task_id] = Receipt(task.task_id, TaskOutcome.NO_MATCH)
                case parties:
                    counts = sum((Counter(party.counts()) for party in parties), Counter[str]())
                    held = counts.total()
                    located = outcome is TaskOutcome.LOCATED
                    results[task.task_id] = Receipt(
                        task.task_id,
                        outcome,
                        found=held,
                        remaining=held,
                        by_category=dict(+counts),
                        identities=tuple(i for p in parties for i in p.identities(self._system)) if located else (),
                        records=() if located else tuple(r for p in parties for r in records(p, self._system)),
                    )
        return [results[task.task_id] for task in tasks]
