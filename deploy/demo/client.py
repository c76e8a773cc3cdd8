"""The API as its users see it: submit a request, read it, follow it, download what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import httpx

_LOOK_AGAIN, _SLOWER = 0.02, 1.5
"""Seconds before the next look, at first, and how much longer each is than the one before."""
_TRIES = 40
"""Repeats of a request while the platform cannot store it."""
_LISTS, _MOST = frozenset({"/timeline", "/letters", "/recipients"}), 1000
"""The parts of a request that are lists, and the longest page of one."""
_LIMITS = httpx.Limits(keepalive_expiry=2)
"""A connection that waits as long as the server lets it, five seconds, may be closed while it is used again."""


class DsrClient(httpx.AsyncClient):
    """Intake's API with one key; every method raises ``httpx.HTTPStatusError``, with the answer, when it is refused."""

    pause = 0.5
    """Seconds before the next look at most."""

    def __init__(self, url: str, key: str, *, timeout: float = 60) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        super().__init__(base_url=url, headers=headers, timeout=timeout, trust_env=False, limits=_LIMITS)

    async def submit(self, submission: Mapping[str, Any], **headers: str) -> str:
        """Hand a request in, with further headers; its id."""
        headers = {"Idempotency-Key": str(uuid4()), **headers}
        answer = await self._patiently(partial(self.post, "/v1/requests", json=submission, headers=headers))
        return str(_good(answer).json()["request_id"])

    async def read(self, request_id: str, part: str = "") -> dict[str, Any]:
        """Returns a request, or a part of it: ``/timeline``, ``/letters``."""
        page = {"limit": _MOST} if part in _LISTS else None
        ask = partial(self.get, f"/v1/requests/{request_id}{part}", params=page)
        return dict(_good(await self._patiently(ask)).json())

    async def letters(self, request_id: str) -> list[dict[str, Any]]:
        """Return its letters, once each is rendered."""
        view = await self.follow(request_id, lambda view: all(each["ready"] for each in view["data"]), "/letters")
        return list(view["data"])

    async def follow(
        self, request_id: str, until: str | Callable[[dict[str, Any]], bool], part: str = "", *, within: float = 240
    ) -> dict[str, Any]:
        """Returns the request or its part once it has that state, or fulfils the condition.

        Raises:
            TimeoutError: not within ``within`` seconds; the message has the state
        """
        reached = until if callable(until) else lambda view: view["state"] == until
        view: dict[str, Any] = {}
        pause = _LOOK_AGAIN
        try:
            async with asyncio.timeout(within):
                while True:
                    view = await self.read(request_id, part)
                    if reached(view):
                        return view
                    await asyncio.sleep(pause)  # the API has no push: following is asking again
                    pause = min(pause * _SLOWER, self.pause)
        except TimeoutError as error:
            raise TimeoutError(f"the request still stands at {view}") from error

    async def _patiently(self, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """The answer, after a few repeats while the platform cannot store anything: it then says that nothing was."""
        answer = await ask()
        for _ in range(_TRIES):
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            await asyncio.sleep(self.pause)
            answer = await ask()
        return answer

    async def decide(self, thing: str, what: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """Take an action on a request, or on the thing at a path, as it stands; returns a refusal too."""
        path = thing if thing.startswith("/") else f"/v1/requests/{thing}"
        while True:
            match = {"If-Match": _good(await self._patiently(partial(self.get, f"{path}/actions"))).headers["ETag"]}
            answer = await self._patiently(partial(self.post, f"{path}/actions/{what}", json=body, headers=match))
            if answer.status_code != httpx.codes.PRECONDITION_FAILED:  # it has changed since it was read
                return answer

    async def approve(self, request_id: str) -> httpx.Response:
        """Approve what another person has proposed last of a request; what is answered, a refusal included."""
        waiting = _good(await self.get("/v1/approvals", params={"subject": request_id})).json()["data"]
        approval_id = waiting[-1]["approval_id"] if waiting else uuid4()
        return await self._patiently(partial(self.post, f"/v1/approvals/{approval_id}/approve"))

    async def timeline(self, request_id: str) -> Sequence[Mapping[str, Any]]:
        """Returns its timeline."""
        return list((await self.read(request_id, "/timeline"))["data"])

    async def download(self, request_id: str, what: str) -> bytes:
        """The ``certificate`` of a closed request, or the ``package`` of an access or portability request."""
        path = f"/v1/requests/{request_id}"
        if what == "certificate":
            return _good(await self.get(f"{path}/certificate")).content
        link = _good(await self.post(f"{path}/downloads", json={"what": what})).headers["Location"]
        return _good(await self.get(link)).content


def _good(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        words = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}"
        raise httpx.HTTPStatusError(words, request=answer.request, response=answer)
    return answer
