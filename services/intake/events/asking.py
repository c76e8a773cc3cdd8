"""Events by which a user asks for something: each becomes a submission, as if its channel had sent it."""

from pydantic import ValidationError

from services.intake.errors import EventRefused, MalformedEvent
from services.intake.schemas import Submission
from services.intake.subjects import Stated
from shared.domain.rights import Right
from shared.domain.user_events import REQUESTED, Asked, ConsentWithdrawn, RightRequested

MARKETING = "marketing"


class UnknownPurpose(EventRefused):
    """Consent was withdrawn for a purpose that nobody works as yet: a person must see to it."""


def submission(kind: str, event: Asked, stated: Stated) -> Submission:
    """What is asked for.

    Raises:
        UnknownPurpose: consent to something else than marketing was withdrawn
        MalformedEvent: what is asked for does not fit the right; says what to change
    """
    if isinstance(event, ConsentWithdrawn) and event.purpose != MARKETING:
        raise UnknownPurpose("purpose: marketing is the only one that is worked as yet")
    if isinstance(event, RightRequested):
        asked = {"right": kind.removeprefix(f"{REQUESTED}."), **event.model_dump(exclude={"subject"})}
    else:
        asked = {"right": Right.OBJECTION, "scope": "direct_marketing", "instruction_id": event.instruction_id}
    asked |= {"received_at": event.received_at or stated.stated_at}
    try:
        return Submission.model_validate({**stated.said.model_dump(), **asked})
    except ValidationError as error:
        said = sorted(each["msg"].removeprefix("Value error, ") for each in error.errors(include_url=False))
        raise MalformedEvent(f"data: {'; '.join(said)}") from None
