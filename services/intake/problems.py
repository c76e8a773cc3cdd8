"""Every error of the API as problem details (RFC 9457): what was wrong, and what to do about it.

What was sent is never quoted back.
"""

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from services.intake.errors import (
    BadRequest,
    ExtensionRefused,
    Forbidden,
    IdempotencyKeyReused,
    NotFound,
    NotReady,
    TooLarge,
    Unauthorised,
)
from shared.domain.errors import DsrError, IllegalTransition, Shredded
from shared.domain.identities import MalformedIdentity
from shared.downstreams.bus.identity_token import ClaimExpired, ClaimForged, ClaimMalformed
from shared.storage.postgres import AWAY


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = []


STATUS: dict[type[DsrError], int] = {
    BadRequest: 400,
    Unauthorised: 401,
    ClaimMalformed: 401,
    ClaimForged: 401,
    ClaimExpired: 401,
    Forbidden: 403,
    NotFound: 404,
    IllegalTransition: 409,
    NotReady: 409,
    ExtensionRefused: 409,
    Shredded: 410,
    TooLarge: 413,
    IdempotencyKeyReused: 422,
    MalformedIdentity: 422,
}
MEDIA_TYPE = "application/problem+json"


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem."""

    async def ours(_request: Request, error: Exception) -> Response:
        known = answer(error)
        if known is None:
            raise error
        return known

    for kind in (DsrError, ValidationError, RequestValidationError, HTTPException, *AWAY):
        app.add_exception_handler(kind, ours)

    @app.exception_handler(Exception)
    async def not_ours(_request: Request, _error: Exception) -> Response:
        return unforeseen()


def unforeseen() -> Response:
    """The problem for an error that nobody foresaw."""
    return problem(500, "unforeseen", "Something went wrong on our side.", "it is in our log; try again later")


def answer(error: Exception) -> Response | None:
    """The problem that an error is for whoever called; None for one that nobody foresaw."""
    match error:
        case DsrError():
            status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
            return problem(status, error.code, _first_sentence(error), str(error))
        case ValidationError():
            return problem(422, "invalid", "The request is not valid.", "see errors for what to change", _errors(error))
        case RequestValidationError():
            errors = [{"field": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()]
            return problem(422, "invalid", "The request is not valid.", "see errors for what to change", errors)
        case HTTPException():
            return problem(error.status_code, "http", str(error.detail), str(error.detail))
        case _ if isinstance(error, AWAY):
            sorry = problem(
                503, "unavailable", "The platform cannot store anything now.", "nothing was stored; try again"
            )
            sorry.headers["Retry-After"] = "2"
            return sorry
        case _:
            return None


def problem(status: int, code: str, title: str, detail: str, errors: list[dict[str, str]] | None = None) -> Response:
    """A problem as a response."""
    body = {"type": f"urn:dsr:problem:{code}", "title": title, "status": status, "detail": detail}
    return Response(orjson.dumps({**body, "errors": errors or []}), status, media_type=MEDIA_TYPE)


def _errors(error: ValidationError) -> list[dict[str, str]]:
    return [
        {"field": ".".join(map(str, e["loc"])), "message": e["msg"]}
        for e in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _first_sentence(error: DsrError) -> str:
    return (type(error).__doc__ or error.code).split(";", 1)[0].split(". ", 1)[0].strip().rstrip(".") + "."
