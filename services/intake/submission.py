"""The counter: takes what is handed in before the routes are asked, since it is handed in by the thousand.

FastAPI's routing costs more than the rest of an acceptance; its routes remain for the API's documentation.
"""

import hashlib
import logging
from collections.abc import Mapping

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.intake import problems
from services.intake.group_commit import Acceptance, Accepted, Envelope
from services.intake.idempotency import Claim
from services.intake.auth import Caller, Keys
from services.intake.errors import BadRequest, TooLarge
from services.intake.schemas import Batch, Submission
from shared.runtime.telemetry import Tracing, where

log = logging.getLogger(__name__)

ONE = "/v1/requests"
MANY = "/v1/requests/batch"
MAX_BODY = 4 * 1024 * 1024
MAX_IDEMPOTENCY_KEY = 200
_HEADERS = frozenset({b"authorization", b"idempotency-key", b"traceparent", b"content-length"})


class Counter:
    """One body, one shared commit, one answer."""

    def __init__(self, keys: Keys, acceptance: Acceptance, tracing: Tracing) -> None:
        self._keys = keys
        self._acceptance = acceptance
        self._tracing = tracing

    async def take(self, scope: Scope, receive: Receive) -> Response:
        """Takes one request, or a batch if it was posted there; raises what the problems know."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS}
        caller = await self._keys.caller(headers.get(b"authorization"))
        caller.must_be("channel", "privacy")
        body = await _body(receive, int(headers.get(b"content-length", 0)))
        batch = scope["path"] == MANY
        submissions = Batch.model_validate_json(body).requests if batch else (Submission.model_validate_json(body),)
        with self._tracing.serve("submit", headers.get(b"traceparent")) as trace:
            envelope = Envelope(caller, _claim(headers, scope["path"], caller, body), trace)
            accepted = await self._acceptance.accept(submissions, envelope)
        content: object = {"requests": [_told(a) for a in accepted]} if batch else _told(accepted[0])
        status = 200 if accepted[0].replayed else 201
        return Response(orjson.dumps(content), status, media_type="application/json")


class BeforeTheRoutes:
    """Hands submissions to the counter, and everything else to the routes."""

    def __init__(self, app: ASGIApp, counter: Counter) -> None:
        self._app = app
        self._counter = counter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in (ONE, MANY):
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._counter.take(scope, receive)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, whoever handed something in gets an answer
            answer = problems.answer(error) or _unforeseen(error)
        await answer(scope, receive, send)


def _unforeseen(error: Exception) -> Response:
    log.error("a submission broke: %s", where(error))
    return problems.unforeseen()


async def _body(receive: Receive, length: int) -> bytes:
    if length > MAX_BODY:
        raise TooLarge("the body is larger than 4 MiB; send fewer requests at once")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            raise TooLarge("the body is larger than 4 MiB; send fewer requests at once")
        if not message.get("more_body"):
            return b"".join(parts)


def _claim(headers: Mapping[bytes, str], path: str, caller: Caller, body: bytes) -> Claim | None:
    key = headers.get(b"idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_IDEMPOTENCY_KEY or not key.isascii() or not key.isprintable():
        raise BadRequest("an Idempotency-Key has 1 to 200 printable ASCII characters")
    return Claim(caller.key_id, key, hashlib.sha256(path.encode() + b"\0" + body).digest())


def _told(accepted: Accepted) -> dict[str, object]:
    return {"request_id": str(accepted.request_id), "state": accepted.state, "due_on": accepted.due_on}
