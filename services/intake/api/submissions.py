"""Submitting requests, one or up to a thousand at once.

FastAPI describes these routes and does not handle them: its routing and its resolution of dependencies would cost a
quarter of the rate at which requests are accepted (docs/decisions/0017).
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Depends, Header, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.intake.api.dependencies import Services, caller
from services.intake.api.examples import EXAMPLES
from services.intake.api.views import BatchAccepted, SubmissionAccepted
from services.intake.errors import BadRequest, IdempotencyKeyReused, TooLarge
from services.intake.group_commit import SubmissionContext
from services.intake.problems import documented
from services.intake.schemas import Batch, Submission
from shared.domain.identities import MalformedIdentity

MAX_BODY = 4 * 1024 * 1024
MAX_IDEMPOTENCY_KEY = 200
_HEADERS = frozenset({b"authorization", b"idempotency-key", b"traceparent", b"content-length"})


async def idempotency_key(
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=MAX_IDEMPOTENCY_KEY,
            description="Printable ASCII. A repeat with the same key and body stores nothing and gives the first answer"
            " again, so that whoever got no answer may simply repeat.",
        ),
    ] = None,
) -> str | None:
    """The idempotency key, if there is one; raises ``BadRequest`` if it is none."""
    key = idempotency_key
    if key is None or (0 < len(key) <= MAX_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        return key
    raise BadRequest("an Idempotency-Key has 1 to 200 printable ASCII characters")


router = APIRouter(
    prefix="/v1/requests",
    tags=["submission"],
    dependencies=[Depends(caller), Depends(idempotency_key)],
    responses=documented(BadRequest, TooLarge, IdempotencyKeyReused, MalformedIdentity),
)


def _replay(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": "A replay: the first answer again"}}


@router.post("", status_code=201, response_model=SubmissionAccepted, responses=_replay(SubmissionAccepted))
def submit(submission: Annotated[Submission, Body(openapi_examples=EXAMPLES)]) -> Iterable[tuple[str, Submission]]:
    """Submit one request."""
    return (("", submission),)


@router.post("/batch", status_code=201, response_model=BatchAccepted, responses=_replay(BatchAccepted))
def submit_batch(batch: Batch) -> Iterable[tuple[str, Submission]]:
    """Submit up to 1,000 requests, accepted together or not at all."""
    return ((f"requests.{place}.", submission) for place, submission in enumerate(batch.requests))


class SubmissionEndpoint:
    """A route that FastAPI describes, as an ASGI application; its function gives the submissions that a body holds."""

    def __init__(self, route: APIRoute, services: Services) -> None:
        self._route = route
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticates, validates and accepts; raises what ``problems`` answers."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS}
        scheme, token = get_authorization_scheme_param(headers.get(b"authorization"))
        sender = await self._services.api_keys.caller(token if scheme.lower() == "bearer" else None)
        sender.must_be("channel", "privacy")
        key = await idempotency_key(headers.get(b"idempotency-key"))
        body = await _read(receive, int(headers.get(b"content-length", 0)))
        model: Any = self._route.body_field and self._route.body_field.field_info.annotation
        try:
            submissions = self._route.endpoint(model.model_validate_json(body))
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None
        body_hash = hashlib.sha256(self._route.path.encode() + b"\0" + body).digest()
        with self._services.tracing.serve("submit", headers.get(b"traceparent")) as trace:
            context = SubmissionContext(sender, key, body_hash, trace)
            prepared = self._services.submissions.prepare(submissions, sender)
            accepted = await self._services.submissions.accept(prepared, context)
        shown = [{"request_id": str(a.request_id), "state": a.state, "due_on": a.due_on} for a in accepted]
        content = {"requests": shown} if self._route.response_model is BatchAccepted else shown[0]
        status = 200 if accepted[0].replayed else 201
        await Response(orjson.dumps(content), status, media_type="application/json")(scope, receive, send)


def direct(services: Services) -> list[Route]:
    """These routes as plain ones of Starlette, to stand before FastAPI's."""
    declared = [route for route in router.routes if isinstance(route, APIRoute)]
    return [Route(route.path, SubmissionEndpoint(route, services), methods=["POST"]) for route in declared]


async def _read(receive: Receive, announced: int) -> bytearray:
    body, more = bytearray(), announced <= MAX_BODY
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False) and len(body) <= MAX_BODY
    if max(announced, len(body)) > MAX_BODY:
        raise TooLarge("the body is larger than 4 MiB; send fewer requests at once")
    return body
