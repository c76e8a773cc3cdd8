"""People who ask for their rights at an even pace, whatever happens, and officers who lift and who release keys."""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

import httpx

from deploy.demo.client import DsrClient
from shared.domain.clock import SystemClock
from tests.chaos.emitter import Emitter
from tests.fixtures.stores import STORES, Subject

_AGAIN_SECONDS = 0.2
_LONGEST_SECONDS = 2.0
_RELEASE_SECONDS = 2.0
BYSTANDER_EVERY = 4
"""One in so many never asks: nothing of theirs may change."""
ERASURES_ALLOWED, ERASURES_OF_A_KEY = 40, 50
"""A channel takes another key after so many erasures, of which the last exceed the hourly limit."""


class Wish(StrEnum):
    """A kind of request."""

    ERASURE = "erasure"
    ACCESS = "access"
    RECTIFICATION = "rectification"
    RESTRICTION = "restriction"
    UNLIFTED = "unlifted"  # one that is never lifted, whose ground forbids any deletion
    WITHDRAWN = "withdrawn"  # an erasure that is withdrawn while it may be under way
    UNPROVEN = "unproven"  # one that is withdrawn before anybody has proved who they are
    INSTRUCTED = "instructed"  # a customer's instruction, whose data no store separates: a person looks
    HELD = "held"  # an erasure of a person under a legal hold: nothing may be deleted
    SEEN_FIRST = "seen first"  # one that comes in one message with an access, and waits for it


_SHARES = {
    Wish.ERASURE: 45,
    Wish.ACCESS: 12,
    Wish.RECTIFICATION: 14,
    Wish.RESTRICTION: 17,
    Wish.UNLIFTED: 4,
    Wish.WITHDRAWN: 6,
    Wish.UNPROVEN: 6,
    Wish.SEEN_FIRST: 6,
    Wish.INSTRUCTED: 4,
    Wish.HELD: 6,
}
_ERASES = {Wish.ERASURE, Wish.WITHDRAWN, Wish.UNPROVEN, Wish.SEEN_FIRST, Wish.INSTRUCTED, Wish.HELD}
_RIGHTS = {**dict.fromkeys(_ERASES, "erasure"), Wish.UNLIFTED: "restriction"}
"""Rights that are not named like their wish."""
EVENT_EVERY = 5
"""One request in so many arrives as an event, sent twice."""
_BY_EVENT = {Wish.ERASURE, Wish.ACCESS, Wish.RECTIFICATION, Wish.RESTRICTION}
_SAYS: dict[Wish, dict[str, object]] = {
    Wish.RECTIFICATION: {"changes": [{"field": "address.city", "current": "Berlin", "asserted": "Potsdam"}]},
    Wish.RESTRICTION: {"ground": "accuracy_contested"},
    Wish.UNLIFTED: {"ground": "unlawful"},
    Wish.UNPROVEN: {"assurance": None},
    Wish.INSTRUCTED: {"assurance": None, "instruction_id": "INS-2026-7"},
}


@dataclass
class Asked:
    """A request that was accepted, from the channel ``by``; of an erasure that waits, for which access (``after``)."""

    number: int
    wish: Wish
    request_id: str
    by: DsrClient
    after: str | None = None


@dataclass
class Crowd:
    """Everybody, and what they have asked for, through keys of one channel; of ``people`` there are so many."""

    channels: Sequence[DsrClient]
    officers: Sequence[DsrClient]
    people: int
    draw: random.Random
    customer: DsrClient | None = None
    """The customer whose instructions come, if there is one."""
    emitter: Emitter | None = None
    """The service that tells by events what some have asked it for, if there is one."""
    asked: dict[str, Asked] = field(default_factory=dict)
    to_be_lifted: set[str] = field(default_factory=set)
    """Restrictions not lifted yet."""
    to_be_fetched: set[str] = field(default_factory=set)
    """Copies not fetched yet."""
    to_be_entered: set[str] = field(default_factory=set)
    """Instructions that wait for a person."""
    refused: Counter[int] = field(default_factory=Counter)
    """Unexpected answers, by status."""
    at_it: set["asyncio.Task[None]"] = field(default_factory=set)
    _next: int = 0
    _erasures: int = 0

    async def come(self, per_second: float, enough: asyncio.Event) -> None:
        """Lets so many people per second submit until ``enough``, even without answers."""
        clock = asyncio.get_running_loop().time
        shares = {wish: share for wish, share in _SHARES.items() if wish is not Wish.INSTRUCTED or self.customer}
        at = clock()
        while not enough.is_set() and self._next < self.people:
            if self._next % BYSTANDER_EVERY:
                wish = self.draw.choices(list(shares), list(shares.values()))[0]
                self._begin(self._ask(Subject(self._next), wish))
                at += 1 / per_second
            self._next += 1
            await asyncio.sleep(max(0.0, at - clock()))

    def lift(self, request_id: str) -> None:
        """Lets the officer lift a restriction, which is in force."""
        self.to_be_lifted.discard(request_id)
        self._begin(self._lift(request_id))

    def fetch(self, request_id: str) -> None:
        """Fetches a copy as often as allowed, and once more."""
        self.to_be_fetched.discard(request_id)
        self._begin(self._fetch(self.asked[request_id]))

    def enter(self, request_id: str) -> None:
        """Lets an officer look for a customer's data, in each store, and enter that nothing was there."""
        self.to_be_entered.discard(request_id)
        self._begin(self._enter(request_id))

    async def release_keys(self) -> None:
        """Releases suspended keys for ever."""
        while True:
            listed = await self._insist(self.officers[0], "GET", "/v1/suspended-keys")
            for key in listed.json()["data"]:
                path = f"/v1/suspended-keys/{key['key_id']}/actions"
                seen = (await self._insist(self.officers[0], "GET", path)).headers.get("ETag", "")
                await self._insist(self.officers[0], "POST", f"{path}/release", {"If-Match": seen})
            await asyncio.sleep(_RELEASE_SECONDS)  # only a look at the list tells of a suspended key

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.at_it.add(task)
        task.add_done_callback(self.at_it.discard)

    async def _ask(self, subject: Subject, wish: Wish) -> None:
        if self.emitter and wish in _BY_EVENT and subject.number % EVENT_EVERY == 1:
            await self._tell(self.emitter, subject, wish)
            return
        if wish is Wish.HELD and not await self.hold(subject):
            return
        rights = ["access", "erasure"] if wish is Wish.SEEN_FIRST else [_RIGHTS.get(wish, wish.value)]
        body: dict[str, object] = {"requests": [subject.submission(right, **_SAYS.get(wish, {})) for right in rights]}
        headers, by = {"Idempotency-Key": secrets.token_hex(8)}, self._channel(wish)
        answer = await self._insist(by, "POST", "/v1/requests/batch", headers, body)
        if not answer.is_success:
            self.refused[answer.status_code] += 1
            return
        *before, request_id = [str(each["request_id"]) for each in answer.json()["requests"]]
        for access in before:
            self._accepted(Asked(subject.number, Wish.ACCESS, access, by))
        self._accepted(Asked(subject.number, wish, request_id, by, *before))
        if wish in {Wish.WITHDRAWN, Wish.UNPROVEN}:
            await self._decide(by, request_id, "withdraw")

    async def hold(self, subject: Subject) -> bool:
        """Lets an officer hold their data, by what the stores know them by."""
        today = SystemClock().now().date()
        body: dict[str, object] = {"case_number": f"LEG-{subject.number}", "reason": "LITIGATION"}
        body |= {
            "subject": {"account_id": subject.account_id, "email": subject.email},
            "review_on": str(today + timedelta(days=90)),
        }
        answer = await self._insist(self.officers[0], "POST", "/v1/holds", body=body)
        if not answer.is_success:
            self.refused[answer.status_code] += 1
        return answer.is_success

    def _accepted(self, asked: Asked) -> None:
        """Notes an accepted request, and what its requester must still do."""
        self.asked[asked.request_id] = asked
        waits = {
            Wish.ACCESS: self.to_be_fetched,
            Wish.INSTRUCTED: self.to_be_entered,
            Wish.RESTRICTION: self.to_be_lifted,
        }
        if asked.wish in waits:
            waits[asked.wish].add(asked.request_id)

    async def _tell(self, emitter: Emitter, subject: Subject, wish: Wish) -> None:
        said = subject.submission(wish.value, **_SAYS.get(wish, {}))
        posted: dict[str, object] = {k: said[k] for k in said if k in {"subject", "assurance", "proofs", "changes"}}
        answer = await self._insist(emitter.client, "POST", "/v1/subjects", body=posted)
        if not answer.is_success:
            self.refused[answer.status_code] += 1
            return
        token = str(answer.json()["subject"])
        await emitter.tell(wish.value, {"subject": token, **{k: said[k] for k in ("ground",) if k in said}})
        self._accepted(Asked(subject.number, wish, token, emitter.client))

    def _channel(self, wish: Wish) -> DsrClient:
        """The key by which that is asked for."""
        if wish is Wish.INSTRUCTED and self.customer:
            return self.customer
        self._erasures += wish in _ERASES
        return self.channels[min(self._erasures // ERASURES_OF_A_KEY, len(self.channels) - 1)]

    async def _fetch(self, asked: Asked) -> None:
        path = f"/v1/requests/{asked.request_id}/downloads"
        while (answer := await self._insist(asked.by, "POST", path, body={})).is_success:
            await self._insist(asked.by, "GET", answer.headers["Location"])
        if answer.status_code != httpx.codes.GONE:
            self.refused[answer.status_code] += 1

    async def _lift(self, request_id: str) -> None:
        await self._decide(self.officers[0], request_id, "lift")

    async def _enter(self, request_id: str) -> None:
        for store in STORES:
            nothing = {"system": store, "found": 0, "changed": 0}
            status = await self._decide(self.officers[0], request_id, "record-result", nothing)
            if status == httpx.codes.CONFLICT:  # it has gone on: again once it waits again
                self.to_be_entered.add(request_id)

    async def _decide(self, who: DsrClient, request_id: str, what: str, body: dict[str, object] | None = None) -> int:
        """Decides, for the version that was read; after a lost answer the request is read again."""
        path = f"/v1/requests/{request_id}"
        while True:
            view = await self._insist(who, "GET", path)
            headers = {"If-Match": view.headers.get("ETag", "")}
            answer = await self._insist(who, "POST", f"{path}/actions/{what}", headers, body)
            if answer.status_code != httpx.codes.PRECONDITION_FAILED:
                late = what in {"withdraw", "record-result", "lift"} and answer.status_code == httpx.codes.CONFLICT
                if not answer.is_success and not late:
                    self.refused[answer.status_code] += 1
                return answer.status_code

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
            await asyncio.sleep(pause)  # there is no signal of their return
            pause = min(2 * pause, _LONGEST_SECONDS)
