"""People who ask for their rights at an even pace, whatever happens, and an officer who lifts their restrictions."""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum

import httpx

from deploy.demo.client import DsrClient
from tests.fixtures.stores import Subject

_AGAIN_SECONDS = 0.2
_LONGEST_SECONDS = 2.0
BYSTANDER_EVERY = 4
"""One in so many never asks: nothing of theirs may change."""


class Wish(StrEnum):
    """What somebody asks for."""

    ERASURE = "erasure"
    ACCESS = "access"
    RECTIFICATION = "rectification"
    RESTRICTION = "restriction"
    WITHDRAWN = "withdrawn"  # an erasure that is withdrawn while it may be under way
    UNPROVEN = "unproven"  # one that is withdrawn before anybody has proved who they are


_SHARES = {
    Wish.ERASURE: 45,
    Wish.ACCESS: 12,
    Wish.RECTIFICATION: 14,
    Wish.RESTRICTION: 17,
    Wish.WITHDRAWN: 6,
    Wish.UNPROVEN: 6,
}
_SAYS: dict[Wish, dict[str, object]] = {
    Wish.RECTIFICATION: {"changes": [{"field": "address.city", "current": "Berlin", "asserted": "Potsdam"}]},
    Wish.RESTRICTION: {"ground": "accuracy_contested"},
    Wish.UNPROVEN: {"assurance": None},
}


@dataclass
class Asked:
    """A request that was accepted."""

    number: int
    wish: Wish
    request_id: str


@dataclass
class Crowd:
    """Everybody, and what they have asked for; of ``people`` there are so many."""

    client: DsrClient
    officer: DsrClient
    people: int
    draw: random.Random
    asked: dict[str, Asked] = field(default_factory=dict)
    to_be_lifted: set[str] = field(default_factory=set)
    """Restrictions that nobody has lifted yet."""
    refused: Counter[int] = field(default_factory=Counter)
    """Answers that nobody should get, by status."""
    at_it: set["asyncio.Task[None]"] = field(default_factory=set)
    _next: int = 0

    async def come(self, per_second: float, enough: asyncio.Event) -> None:
        """So many come in each second until it is enough, also while nobody answers them."""
        clock = asyncio.get_running_loop().time
        at = clock()
        while not enough.is_set() and self._next < self.people:
            if self._next % BYSTANDER_EVERY:
                wish = self.draw.choices(list(_SHARES), list(_SHARES.values()))[0]
                self._begin(self._ask(Subject(self._next), wish))
                at += 1 / per_second
            self._next += 1
            await asyncio.sleep(max(0.0, at - clock()))

    def lift(self, request_id: str) -> None:
        """Lets the officer lift a restriction, which is in force."""
        self.to_be_lifted.discard(request_id)
        self._begin(self._decide(self.officer, request_id, "lift"))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.at_it.add(task)
        task.add_done_callback(self.at_it.discard)

    async def _ask(self, subject: Subject, wish: Wish) -> None:
        right = "erasure" if wish in {Wish.WITHDRAWN, Wish.UNPROVEN} else wish.value
        submission = subject.submission(right, **_SAYS.get(wish, {}))
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        answer = await self._insist(self.client, "POST", "/v1/requests", headers, submission)
        if not answer.is_success:
            self.refused[answer.status_code] += 1
            return
        request_id = str(answer.json()["request_id"])
        self.asked[request_id] = Asked(subject.number, wish, request_id)
        if wish is Wish.RESTRICTION:
            self.to_be_lifted.add(request_id)
        if wish in {Wish.WITHDRAWN, Wish.UNPROVEN}:
            await self._decide(self.client, request_id, "withdraw")

    async def _decide(self, who: DsrClient, request_id: str, what: str) -> None:
        """Decides, for the version that was read; an answer that was lost is asked for again for the same one."""
        path = f"/v1/requests/{request_id}"
        while True:
            view = await self._insist(who, "GET", path)
            headers = {"If-Match": view.headers.get("ETag", "")}
            answer = await self._insist(who, "POST", f"{path}/{what}", headers)
            if answer.status_code != httpx.codes.PRECONDITION_FAILED:
                if not answer.is_success and not (what == "withdraw" and answer.status_code == httpx.codes.CONFLICT):
                    self.refused[answer.status_code] += 1
                return

    async def _insist(
        self,
        who: DsrClient,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: dict[str, object] | None = None,
    ) -> httpx.Response:
        """Asks until there is an answer, as a careful client does: a repeat is harmless."""
        pause = _AGAIN_SECONDS
        while True:
            try:
                answer = await who.request(method, path, headers=headers, json=body)
            except httpx.TransportError:
                pass
            else:
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR and answer.status_code != 429:
                    return answer
            await asyncio.sleep(pause)  # nobody tells us when they are back
            pause = min(2 * pause, _LONGEST_SECONDS)
