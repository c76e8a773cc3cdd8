"""The door: what every call of the API must pass before any route sees it, in this order.

One spelling of the path and of each header; a valid key; not too often; a body of JSON, no longer than it may be, in
which no name comes twice. A body is read only for who has a key. What is refused here has stored nothing.
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
from services.intake.access.quota import Quota, Rate, address_of
from services.intake.api.problems import respond
from services.intake.core.errors import BadRequest, NotFound, TooLarge, Unauthorised, UnsupportedType
from services.intake.core.schemas import MalformedBody, read_json
from services.intake.settings import IntakeSettings
from shared.domain.errors import DsrError
from shared.storage.postgres import AWAY

IN_PASSING = 16 * 1024
"""Bytes of a body that the event loop reads without a thread: about a millisecond of work."""
Named = Callable[[str], Awaitable[UUID | None]]
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
_REFUSALS_AT_ONCE_SECONDS = 10.0
_FORESEEN = (DsrError, RequestValidationError, ClientDisconnect, *AWAY)


_BY_REFERENCE = re.compile(r"/v1/requests/((?i:ccp)-[^/]+)")


class Door:
    """An ASGI application around that of the API; it leaves ``caller`` and ``headers`` in the state of the scope.

    ``direct``: what is posted to, by path, past routing; it finds its ``body`` in the state too (decision record 8).
    ``named``: finds the request of a reference, which a path may have in place of its id.
    """

    def __init__(
        self, app: ASGIApp, direct: Mapping[str, ASGIApp], api_keys: ApiKeys, settings: IntakeSettings, named: Named
    ) -> None:
        self._app = app
        self._direct = direct
        self._api_keys = api_keys
        self._named = named
        self._settings = settings
        self._held = Quota(settings.held_bytes)
        self._under_way = Quota(settings.under_way)
        self._calls = Rate(settings.call_rate, burst_seconds=1.0)
        self._refusals = Rate(settings.refusals_rate, _REFUSALS_AT_ONCE_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the call on, or answers it with a problem."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        try:
            await self._enter(scope, receive, send)
        except _FORESEEN as error:
            await (await respond(Request(scope), error))(scope, receive, send)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        if b"%" in scope["raw_path"]:
            raise NotFound("no path of this API has an escaped character")
        headers = _single(scope)
        caller = await self._caller(scope, headers)
        self._calls.take(caller.channel)
        scope.setdefault("state", {}).update(caller=caller, headers=headers)
        self._under_way.take(caller.channel, 1)
        try:
            await self._pass_on(await self._by_id(scope), headers, caller, receive, send)
        finally:
            self._under_way.give(caller.channel, 1)

    async def _by_id(self, scope: Scope) -> Scope:
        """Returns the call with the id of the request where its path names it by a reference."""
        if (found := _BY_REFERENCE.match(scope["path"])) is None:
            return scope
        if (request_id := await self._named(found[1])) is None:
            raise NotFound("no such request for this key")
        path = f"/v1/requests/{request_id}{scope['path'][found.end() :]}"
        return {**scope, "path": path, "raw_path": path.encode()}

    async def _pass_on(
        self, scope: Scope, headers: Mapping[bytes, str], caller: Caller, receive: Receive, send: Send
    ) -> None:
        if scope["method"] in _BODILESS:
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        if _announced(headers, limit) and b"content-type" not in headers:
            scope["headers"] = [*scope["headers"], (b"content-type", b"application/json")]
        body: bytes | bytearray = b""
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part, more = message.get("body", b""), message.get("more_body", False)
                self._held.take(caller.channel, len(part))
                if not body:
                    body = part  # nearly always all of it
                else:
                    body = body if isinstance(body, bytearray) else bytearray(body)
                    body += part
                if len(body) > limit:
                    raise TooLarge(f"the body is longer than {limit} bytes; send less in one call")
            await self._hand_over(scope, body, receive, send)
        finally:
            self._held.give(caller.channel, len(body))

    def _limit(self, path: str) -> int:
        """Returns the limit of a body in bytes."""
        settings = self._settings
        longer = {BATCH: settings.batch_bytes, CHECK: settings.batch_bytes, RESULT: settings.result_bytes}
        return longer.get(path, settings.body_bytes)

    async def _hand_over(self, scope: Scope, body: bytes | bytearray, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and (endpoint := self._direct.get(scope["path"])):
            scope["state"]["body"] = body
            try:
                await endpoint(scope, receive, send)
            except _FORESEEN:
                raise
            except Exception as error:
                await (await respond(Request(scope), error))(scope, receive, send)
                raise  # the server logs it
            return
        if len(body) > IN_PASSING:
            await asyncio.to_thread(readable, body)
        elif body:
            readable(body)
        await self._app(scope, _again(body, receive), send)

    async def _caller(self, scope: Scope, headers: Mapping[bytes, str]) -> Caller:
        scheme, token = get_authorization_scheme_param(headers.get(b"authorization"))
        try:
            return await self._api_keys.caller(token if scheme.lower() == "bearer" else None)
        except Unauthorised:
            forwarded = headers.get(b"x-forwarded-for", "")
            self._refusals.take(address_of(scope, forwarded, self._settings.proxies))
            raise


def readable(body: bytes | bytearray) -> Any:
    """The value of a JSON body; raises ``RequestValidationError``."""
    try:
        return read_json(body)
    except MalformedBody as error:
        raise RequestValidationError([{"loc": (), "msg": str(error), "type": "json_invalid"}]) from None


def _single(scope: Scope) -> dict[bytes, str]:
    """The headers that we read; raises ``BadRequest`` if one comes twice."""
    read = [(name, value.decode("latin-1")) for name, value in scope["headers"] if name in _ONCE]
    found = dict(read)
    if len(found) != len(read):
        names = [name for name, _ in read if name != b"x-forwarded-for"]
        if len(set(names)) != len(names):
            raise BadRequest(f"a header comes more than once: {max(names, key=names.count).decode()}")
    return found


def _announced(headers: Mapping[bytes, str], limit: int) -> bool:
    """Returns whether a body is announced that we read; raises ``UnsupportedType``, ``TooLarge``."""
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


def _again(body: bytes | bytearray, receive: Receive) -> Receive:
    """Gives the body in one piece, and then what else comes."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return once
