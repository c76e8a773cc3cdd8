"""Events by which a user asks for something: each becomes a submission, as if its channel had sent it."""

from pydantic import ValidationError

from services.intake.errors import MalformedEvent
from services.intake.schemas import Submission
from services.intake.subjects import Stated
from shared.domain.rights import Right
from shared.domain.user_events import REQUESTED, Asked, ConsentWithdrawn, RightRequested


def submission(kind: str, event: Asked, stated: Stated) -> Submission:
    """What is asked for.

    Raises:
        MalformedEvent: what is asked for does not fit the right; says what to change
    """
    if isinstance(event, RightRequested):
        asked = {"right": kind.removeprefix(f"{REQUESTED}."), **event.model_dump(exclude={"subject"})}
    elif isinstance(event, ConsentWithdrawn):
        asked = {"right": Right.CONSENT_WITHDRAWAL, **event.model_dump(exclude={"subject", "purpose"})}
        asked |= {"purposes": (event.purpose,)}
    else:
        asked = {"right": Right.OBJECTION, "scope": "direct_marketing", "instruction_id": event.instruction_id}
    asked |= {"received_at": event.received_at or stated.stated_at}
    try:
        return Submission.model_validate({**stated.said.model_dump(), **asked})
    except ValidationError as error:
        said = sorted(each["msg"].removeprefix("Value error, ") for each in error.errors(include_url=False))
        raise MalformedEvent(f"data: {'; '.join(said)}") from None
