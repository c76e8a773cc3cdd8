"""The list of those who get no marketing, asked before an import, a mailing or a call (Art. 21(3))."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from services.intake.api.dependencies import AnyCaller, UseServices
from services.intake.api.problems import documented
from services.intake.core.errors import TooLarge, TooManyCalls, UnsupportedType
from services.intake.core.schemas import Strict
from services.intake.queries.suppression_check import MOST, Checked, ContactPoint

router = APIRouter(prefix="/v1/suppression", tags=["suppression"])


class Question(Strict):
    """Contact points that somebody means to send marketing to."""

    contact_points: Annotated[tuple[ContactPoint, ...], Field(min_length=1, max_length=MOST)]


@router.post("/check", responses=documented(TooLarge, TooManyCalls, UnsupportedType))
async def check_suppression(body: Question, caller: AnyCaller, services: UseServices) -> Checked:
    """Ask which of up to 10,000 contact points get no marketing of ours.

    It needs a key of a channel that was made for it (`dsr api-key new --role channel --may check`), which may ask about
    so many a minute. Nothing of what is asked is kept but the counts.
    """
    return await services.suppression.check(body.contact_points, caller)
