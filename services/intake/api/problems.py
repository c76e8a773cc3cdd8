"""Every error of the API as problem details (RFC 9457): what was wrong, and what to do about it.

What was sent is never quoted back.
"""

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from math import ceil
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.status import HTTP_401_UNAUTHORIZED

from services.intake.core import errors
from services.intake.core.metrics import REFUSED
from services.intake.core.schemas import place_of
from shared.domain.errors import DsrError, IllegalTransition, Shredded
from shared.domain.identities import MalformedIdentity
from shared.storage.postgres import UNAVAILABLE
from shared.systems.bus.identity_token import TokenExpired, TokenInvalid
from shared.systems.bus.upload import MalformedResult

_logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
STATUS: dict[type[DsrError], int] = {
    errors.BadRequest: 400,
    errors.Unauthorised: 401,
    TokenInvalid: 401,
    TokenExpired: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    IllegalTransition: 409,
    errors.NotReady: 409,
    errors.Withheld: 409,
    errors.ExtensionRefused: 409,
    errors.SamePerson: 409,
    errors.ResultGiven: 409,
    Shredded: 410,
    errors.Expired: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.UnsupportedType: 415,
    errors.IdempotencyKeyReused: 422,
    MalformedIdentity: 422,
    MalformedResult: 422,
    errors.PreconditionRequired: 428,
    errors.TooManyCalls: 429,
    errors.Overloaded: 503,
}
OTHERS: Mapping[str, tuple[int, str]] = {
    "invalid": (422, "The request is not valid."),
    "http": (404, "There is no such address, or not by this method; the status says which."),
    "unavailable": (503, "The platform cannot store anything now."),
    "unforeseen": (500, "Something went wrong on our side."),
}
"""The codes that no class of errors has, with status and title."""
_CHALLENGE = 'Bearer realm="data subject requests"'
_MOST_FAULTS, _LONGEST_NAME = 20, 64
"""Bounds of the answer to a body in which everything is wrong."""
_ALWAYS = {
    422: "The request is not valid; `errors` says what to change.",
    503: "Nothing was stored; try again.",
}


class FieldError(BaseModel):
    """A mistake in one field."""

    field: str
    message: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["urn:dsr:problem:not_found"])
    title: str
    status: int
    detail: str = Field(description="what to do about it; never quotes what was sent")
    errors: list[FieldError] = []


async def respond(_request: Request, error: Exception) -> Response:
    """Answers with the problem of an error; the server logs an unforeseen one."""
    if isinstance(error, RequestValidationError) and any("If-Match" in each["loc"] for each in error.errors()):
        error = errors.PreconditionRequired("read the request, and send the ETag that you get as If-Match")
    match error:
        case DsrError():
            status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
            field = getattr(error, "field", None)
            faults = [{"loc": (field,), "msg": str(error)}] if field else ()
            headers = {"WWW-Authenticate": _CHALLENGE} if status == HTTP_401_UNAUTHORIZED else {}
            if seconds := getattr(error, "retry_after", None):
                headers["Retry-After"] = str(max(1, ceil(seconds)))
            return _response(status, error.code, title_of(type(error)), str(error), faults, **headers)
        case RequestValidationError():
            status, title = OTHERS["invalid"]
            return _response(status, "invalid", title, "see errors for what to change", error.errors())
        case HTTPException():
            detail, headers = str(error.detail), dict(error.headers or {})
            return _response(error.status_code, "http", detail, detail, **headers)
        case ClientDisconnect():
            return Response(status_code=400)  # the client is gone
        case _ if isinstance(error, UNAVAILABLE):
            _logger.warning("database away: %s", type(error).__name__)
            status, title = OTHERS["unavailable"]
            return _response(status, "unavailable", title, "nothing was stored; try again", **{"Retry-After": "2"})
        case _:
            status, title = OTHERS["unforeseen"]
            return _response(status, "unforeseen", title, "it is in our log; try again later")


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = dict.fromkeys(
    (DsrError, RequestValidationError, HTTPException, ClientDisconnect, *UNAVAILABLE, Exception), respond
)
"""The exception handlers of the API, by the class of the error."""


def documented(*kinds: type[DsrError]) -> dict[int | str, dict[str, Any]]:
    """Documents the problems of an operation, by status."""
    titles: dict[int | str, list[str]] = {}
    for kind in kinds:
        status = STATUS[kind]
        titles.setdefault(status, [_ALWAYS[status]] if status in _ALWAYS else []).append(title_of(kind))
    return {status: {"model": Problem, "description": " ".join(description)} for status, description in titles.items()}


def _response(status: int, code: str, title: str, detail: str, faults: Sequence[Any] = (), **headers: str) -> Response:
    says = [(_field(place_of(each)), each["msg"].removeprefix("Value error, ")) for each in faults[:_MOST_FAULTS]]
    wrong = [{"field": field, "message": message} for field, message in says]
    REFUSED.labels(code).inc()
    body = {"type": f"urn:dsr:problem:{code}", "title": title, "status": status, "detail": detail, "errors": wrong}
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)


def _field(place: Sequence[object]) -> str:
    """The place in the body as its sender names it, whichever route read it."""
    names = place[1:] if len(place) > 1 and place[0] == "body" else place
    return ".".join(str(name)[:_LONGEST_NAME] for name in names)


def title_of(error: type[DsrError]) -> str:
    """The title of a problem: the first sentence about its class."""
    return (error.__doc__ or error.code).split("\n\n", 1)[0].split(";", 1)[0].split(". ", 1)[0].strip().rstrip(
        "."
    ) + "."


EVERYWHERE = documented(errors.BadRequest, errors.Unauthorised, errors.Forbidden, errors.TooManyCalls) | {
    status: {"model": Problem, "description": description} for status, description in _ALWAYS.items()
}
"""The problems that every operation may have."""
