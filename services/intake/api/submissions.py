"""Submitting requests, one or up to a thousand at once.

FastAPI describes these routes and does not handle them: its routing and its resolution of dependencies would cost a
quarter of the rate at which requests are accepted (docs/decisions/0016).
"""

import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import ValidationError
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.intake.api.dependencies import Services, caller
from services.intake.api.examples import EXAMPLES
from services.intake.errors import BadRequest, IdempotencyKeyReused, TooLarge
from services.intake.group_commit import Accepted, IdempotencyKey, SubmissionContext
from services.intake.problems import documented
from services.intake.schemas import Batch, BatchAccepted, Submission, SubmissionAccepted
from shared.domain.identities import MalformedIdentity

MAX_BODY = 4 * 1024 * 1024
MAX_IDEMPOTENCY_KEY = 200
_HEADERS = frozenset({b"authorization", b"idempotency-key", b"traceparent", b"content-length"})
_PROBLEMS = documented(BadRequest, TooLarge, IdempotencyKeyReused, MalformedIdentity)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


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


class SubmissionRequest(Request):
    """The HTTP request of a submission, once its caller, its idempotency key and its body are known."""

    def __init__(self, scope: Scope, services: Services, context: SubmissionContext) -> None:
        super().__init__(scope)
        self._services = services
        self._context = context

    async def accept(self, submissions: Sequence[Submission]) -> list[Accepted]:
        """Stores all of them or none."""
        return await self._services.submissions.accept(submissions, self._context)


class SubmissionRoute(APIRoute):
    """A route whose caller, headers and body are read without FastAPI."""

    def get_route_handler(self) -> Handler:
        """What answers a request: authenticates, reads and validates as the route's signature says."""
        endpoint: Callable[..., Coroutine[Any, Any, Response]] = self.endpoint
        model: Any = self.body_field and self.body_field.field_info.annotation

        async def handle(request: Request) -> Response:
            services: Services = request.app.state.services
            headers = {n: value.decode("latin-1") for n, value in request.scope["headers"] if n in _HEADERS}
            scheme, token = get_authorization_scheme_param(headers.get(b"authorization"))
            sender = await services.api_keys.caller(token if scheme.lower() == "bearer" else None)
            sender.must_be("channel", "privacy")
            body = await _read(request, int(headers.get(b"content-length", 0)))
            try:
                submission = model.model_validate_json(body)
            except ValidationError as error:
                raise RequestValidationError(error.errors()) from None
            key = await idempotency_key(headers.get(b"idempotency-key"))
            body_hash = hashlib.sha256(self.path.encode() + b"\0" + body).digest()
            used = IdempotencyKey(sender.key_id, key, body_hash) if key else None
            with services.tracing.serve("submit", headers.get(b"traceparent")) as trace:
                context = SubmissionContext(sender, used, trace)
                return await endpoint(SubmissionRequest(request.scope, services, context), submission)

        return handle


router = APIRouter(
    prefix="/v1/requests",
    tags=["submission"],
    route_class=SubmissionRoute,
    dependencies=[Depends(caller), Depends(idempotency_key)],
)


@router.post(
    "",
    status_code=201,
    response_model=SubmissionAccepted,
    responses={200: {"model": SubmissionAccepted, "description": "A replay: the first answer again"}, **_PROBLEMS},
)
async def submit(
    request: SubmissionRequest, submission: Annotated[Submission, Body(openapi_examples=EXAMPLES)]
) -> Response:
    """Submit one request."""
    (accepted,) = await request.accept([submission])
    return _response(_shown(accepted), accepted)


@router.post(
    "/batch",
    status_code=201,
    response_model=BatchAccepted,
    responses={200: {"model": BatchAccepted, "description": "A replay: the first answer again"}, **_PROBLEMS},
)
async def submit_batch(request: SubmissionRequest, batch: Batch) -> Response:
    """Submit up to 1,000 requests, accepted together or not at all."""
    accepted = await request.accept(batch.requests)
    return _response({"requests": [_shown(each) for each in accepted]}, accepted[0])


class _Endpoint:
    """A handler as an ASGI application."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._handler(Request(scope, receive))
        await response(scope, receive, send)


def direct() -> list[Route]:
    """These routes as plain ones of Starlette, to stand before FastAPI's."""
    declared = [route for route in router.routes if isinstance(route, SubmissionRoute)]
    return [Route(route.path, _Endpoint(route.get_route_handler()), methods=["POST"]) for route in declared]


async def _read(request: Request, announced: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if max(size, announced) > MAX_BODY:
            raise TooLarge("the body is larger than 4 MiB; send fewer requests at once")
    return b"".join(parts)


def _shown(accepted: Accepted) -> Mapping[str, object]:
    return {"request_id": str(accepted.request_id), "state": accepted.state, "due_on": accepted.due_on}


def _response(content: Mapping[str, object], first: Accepted) -> Response:
    return Response(orjson.dumps(content), 200 if first.replayed else 201, media_type="application/json")
