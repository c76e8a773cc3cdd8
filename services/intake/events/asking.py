"""Events by which a user asks for something: each becomes a submission, as if its channel had sent it."""

from pydantic import ValidationError

from services.intake.errors import MalformedEvent
from services.intake.subjects import Stated
from services.intake.submission_schemas import Submission
from shared.domain.rights import Right
from shared.domain.user_events import REQUESTED, TYPES, Asked, ConsentWithdrawn, RightRequested


def submission(kind: str, event: Asked, stated: Stated) -> Submission:
    """What is asked for.

    Raises:
        MalformedEvent: what is asked for does not fit the right; says what to change
    """
    if isinstance(event, RightRequested):
        asked = event.model_dump(exclude={"subject"})
    elif isinstance(event, ConsentWithdrawn):
        asked = {**event.model_dump(exclude={"subject", "purpose"}), "purposes": (event.purpose,)}
    else:
        asked = {"scope": "direct_marketing", "instruction_id": event.instruction_id}
    asked |= {"right": right_of(kind), "received_at": event.received_at or stated.stated_at}
    try:
        return Submission.model_validate({**stated.said.model_dump(), **asked})
    except ValidationError as error:
        said = sorted(each["msg"].removeprefix("Value error, ") for each in error.errors(include_url=False))
        raise MalformedEvent(f"data: {'; '.join(said)}") from None


def right_of(kind: str) -> Right:
    """What an event of that type, by which a user asks for something, asks for."""
    name, _, right = kind.rpartition(".")
    if name == REQUESTED:
        return Right(right)
    return Right.CONSENT_WITHDRAWAL if TYPES[kind] is ConsentWithdrawn else Right.OBJECTION
