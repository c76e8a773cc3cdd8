"""Admits calls of the API before any route sees them, or answers them with a problem.

The checks, in order: an unescaped path and single headers; a valid key; rates and calls in progress; a JSON body within
its limit and without a repeated name. The body of a caller without a key is never read. A refused call stores nothing.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.intake.access.auth import ApiKeys, Caller
from services.intake.access.quota import RateLimiter, SharedQuota, client_address
from services.intake.api.problems import respond
from services.intake.core.errors import BadRequest, NotFound, TooLarge, Unauthorised, UnsupportedType
from services.intake.core.schemas import MalformedBody, read_json
from services.intake.settings import IntakeSettings
from shared.domain.errors import DsrError
from shared.storage.postgres import UNAVAILABLE

SMALL_BODY = 16 * 1024
"""Bytes of a body that the event loop reads without a thread: about a millisecond of work."""
FindByReference = Callable[[str], Awaitable[UUID | None]]
"""Returns the ID of the request with that reference, if there is one."""
PREFIX, BATCH, RESULT = "/v1/", "/v1/requests/batch", "/v1/tasks/result"
CHECK = "/v1/suppression/check"
_ONCE = frozenset(
    {
        *(b"authorization", b"content-encoding", b"content-length", b"content-type", b"idempotency-key", b"if-match"),
        *(b"traceparent", b"transfer-encoding", b"x-forwarded-for"),
    }
)
_JSON = frozenset({"application/json", "application/json;charset=utf-8", 'application/json;charset="utf-8"'})
_PLAIN = "identity"
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSAL_BURST_SECONDS = 10.0
_EXPECTED = (DsrError, RequestValidationError, ClientDisconnect, *UNAVAILABLE)
_BY_REFERENCE = re.compile(r"/v1/requests/((?i:ccp)-[^/]+)")


class Admission:
    """Wraps the application of the API; leaves ``caller`` and ``headers`` in the state of the scope for it.

    ``unrouted``: applications by path that get their POST calls without routing, to save time; they find the ``body``
    in the state too (decision record 8). A path may name a request by its reference in place of its ID.
    """

    def __init__(
        self,
        app: ASGIApp,
        unrouted: Mapping[str, ASGIApp],
        api_keys: ApiKeys,
        settings: IntakeSettings,
        find_by_reference: FindByReference,
    ) -> None:
        self._app = app
        self._unrouted = unrouted
        self._api_keys = api_keys
        self._find_by_reference = find_by_reference
        self._settings = settings
        self._body_bytes = SharedQuota(settings.held_bytes)
        self._in_progress = SharedQuota(settings.under_way)
        self._calls = RateLimiter(settings.call_rate, burst_seconds=1.0)
        self._refusals = RateLimiter(settings.refusals_rate, _REFUSAL_BURST_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the call on, or answers it with a problem."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        try:
            await self._admit(scope, receive, send)
        except _EXPECTED as error:
            await (await respond(Request(scope), error))(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if b"%" in scope["raw_path"]:
            raise NotFound("no path of this API has an escaped character")
        headers = _headers(scope)
        caller = await self._caller(scope, headers)
        self._calls.take(caller.channel)
        scope.setdefault("state", {}).update(caller=caller, headers=headers)
        self._in_progress.acquire(caller.channel, 1)
        try:
            await self._forward_whole(await self._with_id(scope), headers, caller, receive, send)
        finally:
            self._in_progress.release(caller.channel, 1)

    async def _with_id(self, scope: Scope) -> Scope:
        """Returns the call with the id of the request where its path names it by a reference."""
        if (found := _BY_REFERENCE.match(scope["path"])) is None:
            return scope
        if (request_id := await self._find_by_reference(found[1])) is None:
            raise NotFound("no such request for this key")
        path = f"/v1/requests/{request_id}{scope['path'][found.end() :]}"
        return {**scope, "path": path, "raw_path": path.encode()}

    async def _forward_whole(
        self, scope: Scope, headers: Mapping[bytes, str], caller: Caller, receive: Receive, send: Send
    ) -> None:
        """Reads the body within its limits, and forwards the call with it."""
        if scope["method"] in _BODILESS:
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        if _check_headers(headers, limit) and b"content-type" not in headers:
            scope["headers"] = [*scope["headers"], (b"content-type", b"application/json")]
        body: bytes | bytearray = b""
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part, more = message.get("body", b""), message.get("more_body", False)
                self._body_bytes.acquire(caller.channel, len(part))
                if not body:
                    body = part  # nearly always all of it
                else:
                    body = body if isinstance(body, bytearray) else bytearray(body)
                    body += part
                if len(body) > limit:
                    raise TooLarge(f"the body is longer than {limit} bytes; send less in one call")
            await self._forward(scope, body, receive, send)
        finally:
            self._body_bytes.release(caller.channel, len(body))

    def _limit(self, path: str) -> int:
        """Returns the limit of a body in bytes."""
        settings = self._settings
        longer = {BATCH: settings.batch_bytes, CHECK: settings.batch_bytes, RESULT: settings.result_bytes}
        return longer.get(path, settings.body_bytes)

    async def _forward(self, scope: Scope, body: bytes | bytearray, receive: Receive, send: Send) -> None:
        """Calls the unrouted application of that path, or the API."""
        if scope["method"] == "POST" and (endpoint := self._unrouted.get(scope["path"])):
            scope["state"]["body"] = body
            try:
                await endpoint(scope, receive, send)
            except _EXPECTED:
                raise
            except Exception as error:
                await (await respond(Request(scope), error))(scope, receive, send)
                raise  # the server logs it
            return
        if len(body) > SMALL_BODY:
            await asyncio.to_thread(parse_body, body)
        elif body:
            parse_body(body)
        await self._app(scope, _replay(body, receive), send)

    async def _caller(self, scope: Scope, headers: Mapping[bytes, str]) -> Caller:
        """Returns who has the key; calls without a valid key are limited per address."""
        scheme, token = get_authorization_scheme_param(headers.get(b"authorization"))
        try:
            return await self._api_keys.caller(token if scheme.lower() == "bearer" else None)
        except Unauthorised:
            forwarded = headers.get(b"x-forwarded-for", "")
            self._refusals.take(client_address(scope, forwarded, self._settings.proxies))
            raise


def parse_body(body: bytes | bytearray) -> Any:
    """Returns the value of a JSON body; raises ``RequestValidationError``."""
    try:
        return read_json(body)
    except MalformedBody as error:
        raise RequestValidationError([{"loc": (), "msg": str(error), "type": "json_invalid"}]) from None


def _headers(scope: Scope) -> dict[bytes, str]:
    """Returns the headers that we read; raises ``BadRequest`` if one comes twice."""
    read = [(name, value.decode("latin-1")) for name, value in scope["headers"] if name in _ONCE]
    found = dict(read)
    if len(found) != len(read):
        names = [name for name, _ in read if name != b"x-forwarded-for"]
        if len(set(names)) != len(names):
            raise BadRequest(f"a header comes more than once: {max(names, key=names.count).decode()}")
    return found


def _check_headers(headers: Mapping[bytes, str], limit: int) -> bool:
    """Returns whether a body follows, after a check of its type and length.

    Raises:
        UnsupportedType: the body is not JSON, or compressed.
        TooLarge: the body is longer than the limit.
    """
    length = headers.get(b"content-length", "0")
    if not (b"transfer-encoding" in headers or length != "0"):
        return False
    kind = headers.get(b"content-type", "application/json")
    if kind not in _JSON and kind.lower().replace(" ", "") not in _JSON:
        raise UnsupportedType("send JSON in UTF-8, as application/json")
    if headers.get(b"content-encoding", _PLAIN) != _PLAIN:
        raise UnsupportedType("send it uncompressed")
    if not length.isdecimal() or int(length) > limit:
        raise TooLarge(f"the body is longer than {limit} bytes; send less in one call")
    return True


def _replay(body: bytes | bytearray, receive: Receive) -> Receive:
    """Returns a ``receive`` that gives the body in one piece, and then what else comes."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return once
