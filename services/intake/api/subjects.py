"""Posting identities ahead of an event, which then names the person by a token alone."""

from datetime import timedelta

from fastapi import APIRouter

from services.intake.api.dependencies import AnyCaller, UseServices
from services.intake.api.problems import documented
from services.intake.core.errors import BadRequest, TooLarge, UnsupportedType
from services.intake.core.instants import retention
from services.intake.events import subjects
from services.intake.events.fitting import must_serve
from services.intake.events.subjects import SubjectStatement, Token
from shared.domain.identities import MalformedIdentity

router = APIRouter(prefix="/v1/subjects", tags=["subjects"])


@router.post(
    "",
    responses=documented(BadRequest, TooLarge, UnsupportedType, MalformedIdentity),
)
async def post_subject(body: SubjectStatement, caller: AnyCaller, services: UseServices) -> Token:
    """Post who an event will be about: it is sealed, and the event carries the token that is answered.

    The holder of the key is the emitter. What it may not state is refused here already, and so is what no event that it
    may send could use.
    """
    caller.must_be("channel")
    caller = must_serve(services.emitters, caller, body)
    services.submissions.check(body.subject, body.assurance, body.proofs, caller)
    async with services.unit_of_work.begin() as tx:
        return await subjects.seal(tx, caller, body, timedelta(days=retention().subject_days))
