"""The list of those who get no marketing, asked before an import, a mailing or a call (Art. 21(3))."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from services.intake.api.dependencies import AnyCaller, UseServices
from services.intake.errors import TooLarge, TooManyCalls, UnsupportedType
from services.intake.problems import documented
from services.intake.schemas import Strict
from services.intake.suppression_check import MOST, Answer, Checked, ContactPoint

router = APIRouter(prefix="/v1/suppression", tags=["suppression"])


class Question(Strict):
    """Contact points that somebody means to send marketing to."""

    contact_points: Annotated[tuple[ContactPoint, ...], Field(min_length=1, max_length=MOST)]


class CheckView(BaseModel):
    """Whether each of them gets marketing, in the order in which they were asked about."""

    model_config = ConfigDict(from_attributes=True)

    check_id: UUID = Field(description="by which the evidence knows this call")
    answers: list[Answer] = Field(
        description="send marketing to what is `not_suppressed`, and to nothing else; `unreadable` is no address and no"
        " number that anybody could be reached by: a number needs its country code"
    )


@router.post("/check", response_model=CheckView, responses=documented(TooLarge, TooManyCalls, UnsupportedType))
async def check_suppression(body: Question, caller: AnyCaller, services: UseServices) -> Checked:
    """Ask which of up to 10,000 contact points get no marketing of ours.

    It needs a key of a channel that was made for it (`dsr api-key new --role channel --may check`), which may ask about
    so many a minute. Nothing of what is asked is kept but the counts.
    """
    return await services.suppression.check(body.contact_points, caller)
