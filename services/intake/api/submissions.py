"""Submits one request, or up to a thousand together."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Annotated, Any
from weakref import WeakValueDictionary

import orjson
from fastapi import APIRouter, Body, Depends, Header, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from services.intake.access.auth import Caller
from services.intake.api.admission import SMALL_BODY, parse_body
from services.intake.api.dependencies import Services, caller
from services.intake.api.examples import EXAMPLES
from services.intake.api.problems import documented
from services.intake.api.views import Accepted, BatchAccepted
from services.intake.core.errors import BadRequest, IdempotencyKeyReused, TooLarge, UnsupportedType
from services.intake.letters import sealed_letters
from services.intake.submission import schemas
from services.intake.submission.schemas import Batch, JointSubmission, Submission
from services.intake.submission.writer import PreparedRequest, SubmissionContext
from shared.domain import reference
from shared.domain.identities import MalformedIdentity

MAX_IDEMPOTENCY_KEY = 200
_MAX_FAULTS = 20
_ERROR_OPTIONS: Any = {"include_url": False, "include_input": False}  # the context names the field of several to change
Read = Callable[[Any], Iterable[tuple[str, Any]]]
"""Parts of a body, each with the place of its fields; raises ``ValidationError``."""


class _Envelope(Batch):
    requests: Annotated[tuple[Any, ...], Field(min_length=1, max_length=1000)]


async def idempotency_key(
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=MAX_IDEMPOTENCY_KEY,
            description="Printable ASCII. A repeat with the same key and body stores nothing and gives the first answer"
            " again, so a caller who got no answer may repeat it.",
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
    responses=documented(BadRequest, TooLarge, UnsupportedType, IdempotencyKeyReused, MalformedIdentity),
)


def _replay(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": "A replay: the first answer again"}}


@router.post(
    "",
    status_code=201,
    response_model=Accepted,
    responses=_replay(Accepted),
)
def submit(submission: Annotated[Submission | JointSubmission, Body(openapi_examples=EXAMPLES)]) -> None:
    """Submit one request, or one message that names several rights: a request for each, under one case number."""


@router.post("/batch", status_code=201, response_model=BatchAccepted, responses=_replay(BatchAccepted))
def submit_batch(batch: Batch) -> None:
    """Submit up to 1,000 requests, accepted together or not at all."""


class SubmissionEndpoint:
    """A route that FastAPI describes, as an ASGI application that `Admission` calls."""

    def __init__(self, route: APIRoute, read: Read, services: Services) -> None:
        self._route = route
        self._read = read
        self._services = services
        self._keyring = services.unit_of_work.vault.keyring
        self._large_body = asyncio.Lock()
        self._large_body_of: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Validates and accepts; raises what ``problems`` answers."""
        state = scope["state"]
        headers, sender, body = state["headers"], state["caller"], state["body"]
        sender.must_be("channel", "privacy")
        key = await idempotency_key(headers.get(b"idempotency-key"))
        with self._services.tracing.serve("submit", headers.get(b"traceparent")) as trace:
            if len(body) <= SMALL_BODY:
                digest, prepared = self._prepare(body, sender)
            else:
                # a long one after the other, none on the event loop, and of each channel one at a time
                async with self._large_body_of.setdefault(sender.channel, asyncio.Lock()), self._large_body:
                    digest, prepared = await asyncio.to_thread(self._prepare, body, sender)
            keyed = self._keyring.hash(f"idempotency\0{key}".encode()) if key else None
            context = SubmissionContext(sender, keyed, digest, trace)
            accepted = await self._services.submissions.accept(prepared, context)
        is_channel = sender.role == "channel"
        shown = [
            {
                "request_id": str(a.request_id),
                "reference": reference.of(a.request_id),
                "state": a.state,
                "due_on": a.due_on,
                "letter_code": sealed_letters.letter_code(self._keyring, a.request_id) if is_channel else None,
            }
            for a in accepted
        ]
        several = {"case_number": shown[0]["request_id"], "reference": shown[0]["reference"], "requests": shown}
        one = several if len(shown) > 1 else shown[0]
        content = {"requests": shown} if self._route.response_model is BatchAccepted else one
        status = 200 if accepted[0].replayed else 201
        located = {"Location": f"{router.prefix}/{accepted[0].request_id}"}
        await Response(orjson.dumps(content), status, located, "application/json")(scope, receive, send)

    def _prepare(self, body: bytes | bytearray, sender: Caller) -> tuple[bytes, list[PreparedRequest]]:
        """The hash of a body, and what is to be stored of it; in small steps, so that a thread lets others go on."""
        submissions: list[tuple[str, Submission]] = []
        faults: list[dict[str, Any]] = []
        try:
            for place, each in self._read(parse_body(body)):
                try:
                    submissions.append((place, Submission.model_validate(each)))
                except ValidationError as error:
                    loc = tuple(place.split(".")[:-1])
                    known = {(fault["loc"], fault["msg"]) for fault in faults}  # several rights share faults
                    wrong = [{**fault, "loc": (*loc, *fault["loc"])} for fault in error.errors(**_ERROR_OPTIONS)]
                    faults += [fault for fault in wrong if (fault["loc"], fault["msg"]) not in known]
                    if len(faults) >= _MAX_FAULTS:
                        break
        except ValidationError as error:
            faults = [dict(fault) for fault in error.errors(**_ERROR_OPTIONS)]
        if faults:
            raise RequestValidationError(faults)
        digest = self._keyring.hash(self._route.path.encode() + b"\0" + body)
        together = len(submissions) > 1 and self._route.response_model is not BatchAccepted
        return digest, self._services.submissions.prepare(submissions, sender, one_case=together)


def unrouted(services: Services) -> dict[str, ASGIApp]:
    """Returns the applications that `Admission` calls without routing, by path."""
    declared = [route for route in router.routes if isinstance(route, APIRoute)]
    return {
        route.path: SubmissionEndpoint(route, read, services)
        for route, read in zip(declared, (_single_bodies, _batch_bodies), strict=True)
    }


def _single_bodies(body: Any) -> Iterable[tuple[str, Any]]:
    return schemas.parts(body) if schemas.is_joint(body) else [("", body)]


def _batch_bodies(body: Any) -> Iterable[tuple[str, Any]]:
    return [(f"requests.{place}.", each) for place, each in enumerate(_Envelope.model_validate(body).requests)]
