"""What other services tell of their users: events in the past tense that name a person by a subject token alone.

The identities were posted to intake before (``POST /v1/subjects``) and lie sealed there. Times stand in the data:
``ce_time`` is when the event was sent, and no business date. A compatible change keeps the type.
"""

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.domain.moments import Moment
from shared.domain.rights import Right
from shared.domain.text import Word

Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")]


class UserEvent(BaseModel):
    """Something that happened to a user."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    subject: UUID = Field(description="the token that `POST /v1/subjects` answered; each is good for one event")


class Asked(UserEvent):
    """A user has asked for something: it becomes a request whose id is the token."""

    received_at: Moment | None = Field(
        default=None, description="when they asked; when their identities were posted, if left out"
    )
    instruction_id: Reference | None = Field(
        default=None, description="of an emitter that speaks for a customer: the customer's own reference"
    )


class RightRequested(Asked):
    """A user has exercised a right, which the type names: `user.requested.erasure`.

    Of a rectification the changes are posted with the identities.
    """

    contested: bool = Field(default=False, description="of a rectification: restrict the data until it is corrected")
    ground: Literal["accuracy_contested", "unlawful", "needed_for_claims", "objection_pending"] | None = Field(
        default=None, description="of a restriction, which needs one (Art. 18(1))"
    )
    scope: Literal["direct_marketing", "legitimate_interests"] | None = Field(
        default=None, description="of an objection, which needs one (Art. 21)"
    )
    purposes: tuple[Word, ...] = Field(
        default=(), description="of a withdrawal of consent, which needs one (Art. 7(3))"
    )
    consent_text: Reference | None = Field(
        default=None, description="of a withdrawal of consent: which version of the text they had consented to"
    )


class ObjectedToMarketing(Asked):
    """A user has objected to direct marketing (Art. 21(2)): a request for objection."""


class ConsentWithdrawn(Asked):
    """A user has withdrawn consent to a purpose, which the policy declares as based on consent (Art. 7(3))."""

    purpose: Word
    consent_text: Reference | None = Field(
        default=None, description="which version of the text they had consented to, as the emitter names it"
    )


class AccountClosed(UserEvent):
    """A user's account was closed: from then on retention of its records is counted. The token names the account."""

    closed_at: Moment


class NumberAssigned(UserEvent):
    """A number was assigned to an account. The token names one number and one account."""

    since: Moment = Field(description="from when on the number is theirs")
    line: Literal["personal", "shared"] = Field(description="shared: several people use it")


class NumberReleased(UserEvent):
    """A number was taken from an account, or given up. The token names one number and one account."""

    until: Moment = Field(description="until when it was theirs, exclusive")


class NumberPorted(UserEvent):
    """A number came to us with its holder, or left us with them. The token names one number and one account."""

    direction: Literal["in", "out"]
    at: Moment = Field(description="when it was ported")


Told = AccountClosed | NumberAssigned | NumberReleased | NumberPorted
"""What asks for nothing."""
REQUESTED = "user.requested"
NUMBERS = ("number.assigned", "number.released", "number.ported")
"""What only the emitter may say that is authoritative for numbers."""
KINDS: Mapping[str, type[Asked | Told]] = {
    REQUESTED: RightRequested,
    "user.objected_to_marketing": ObjectedToMarketing,
    "user.consent_withdrawn": ConsentWithdrawn,
    "user.account_closed": AccountClosed,
    **dict(zip(NUMBERS, (NumberAssigned, NumberReleased, NumberPorted), strict=True)),
}
"""What an emitter may be declared to say; of the first there is a type for each right."""
TYPES: Mapping[str, type[Asked | Told]] = {f"{REQUESTED}.{right}": RightRequested for right in Right} | {
    kind: event for kind, event in KINDS.items() if kind != REQUESTED
}
"""Each ``ce_type`` and its data."""
FIELDS = frozenset(name for event in KINDS.values() for name in event.model_fields)
