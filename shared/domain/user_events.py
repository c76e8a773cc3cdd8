"""Defines the events of other services about their users, by a subject token alone, and who may emit which.

The identities were posted to intake before (``POST /v1/subjects``) and lie sealed there. Times stand in the data:
``ce_time`` is when the event was sent, and no business date. A compatible change keeps the type.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.domain.clock import Moment
from shared.domain.errors import Fault, Misconfigured
from shared.domain.rights import Level, Right
from shared.domain.text import Word
from shared.domain.toml_file import read_toml

Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")]


class UserEvent(BaseModel):
    """Something that happened to a user."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    subject: UUID = Field(description="the token that `POST /v1/subjects` answered; each is good for one event")


class RequestingEvent(UserEvent):
    """An event that becomes a request; the token is the request's ID."""

    received_at: Moment | None = Field(
        default=None, description="when they asked; when their identities were posted, if left out"
    )
    instruction_id: Reference | None = Field(
        default=None, description="of an emitter that speaks for a customer: the customer's own reference"
    )


class RightRequested(RequestingEvent):
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


class ObjectedToMarketing(RequestingEvent):
    """A user has objected to direct marketing (Art. 21(2)): a request for objection."""


class ConsentWithdrawn(RequestingEvent):
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


Reported = AccountClosed | NumberAssigned | NumberReleased | NumberPorted
"""Events that become no request."""
REQUESTED = "user.requested"
NUMBERS = ("number.assigned", "number.released", "number.ported")
"""Events that only the emitter with authority for numbers may send."""
KINDS: Mapping[str, type[RequestingEvent | Reported]] = {
    REQUESTED: RightRequested,
    "user.objected_to_marketing": ObjectedToMarketing,
    "user.consent_withdrawn": ConsentWithdrawn,
    "user.account_closed": AccountClosed,
    **dict(zip(NUMBERS, (NumberAssigned, NumberReleased, NumberPorted), strict=True)),
}
"""Events that an emitter may be declared to send; the first has a type for each right."""
TYPES: Mapping[str, type[RequestingEvent | Reported]] = {f"{REQUESTED}.{right}": RightRequested for right in Right} | {
    kind: event for kind, event in KINDS.items() if kind != REQUESTED
}
"""The data model of each ``ce_type``."""
FIELDS = frozenset(name for event in KINDS.values() for name in event.model_fields)


EMITTERS = Path(__file__).parents[1] / "policy" / "emitters.toml"
"""The file that is read where no other is named."""
FILE_SOURCE = "file"
"""The source of the register that is filled from a file (``dsr assignments import``), and is no system."""
EMITTER_NAME = "^[a-z][a-z0-9-]{0,40}$"
Name = Annotated[str, StringConstraints(pattern=EMITTER_NAME)]


class Emitter(BaseModel):
    """The permissions of one emitter; it is the holder of its API keys, with which it posts identities.

    What its key may not, it may not either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: tuple[str, ...] = Field(min_length=1, description="the events that it sends")
    rights: frozenset[Right] = Field(default=frozenset(), description=f"what may be asked for by {REQUESTED}")
    level: Level = Field(default="L0", description="the highest level of assurance that it may state")
    tenant: str | None = Field(default=None, description="the customer for whose users alone it speaks")
    authoritative: Word | None = Field(
        default=None,
        description="it says whose a number is: the source of the register whose accounts it names, which is the system"
        ' with assigns = true, or "file"',
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for kind in self.types:
            if kind not in KINDS:
                raise ValueError(f"types names {kind!r}: {_instead(kind, KINDS)}")
        if (REQUESTED in self.types) != bool(self.rights):
            raise ValueError(f'rights belong to "{REQUESTED}": write which of them may be asked for, or leave both out')
        about_numbers = [kind for kind in self.types if kind in NUMBERS]
        if bool(about_numbers) != (self.authoritative is not None):
            raise ValueError(
                f"authoritative belongs to {', '.join(NUMBERS)}: name the source of the register, or leave both out"
            )
        if self.tenant and (own_kinds := [kind for kind in self.types if not issubclass(KINDS[kind], RequestingEvent)]):
            raise ValueError(f"a tenant's emitter only asks for something: {own_kinds[0]} concerns only our own users")
        return self

    def may_say(self, kind: str) -> bool:
        """Returns whether it may send events of a ``ce_type``."""
        name, _, right = kind.rpartition(".")
        return right in self.rights if name == REQUESTED else kind in self.types and kind in TYPES


def read_emitters(path: Path = EMITTERS) -> Mapping[str, Emitter]:
    """The emitters by name.

    Raises:
        Misconfigured: the file cannot be used; names every key that is wrong, and what to write.
    """
    found = read_toml(path, dict[Name, Emitter])
    authorities = sorted(name for name, emitter in found.items() if emitter.authoritative)
    if len(authorities) > 1:
        fault = f"{' and '.join(authorities)} are both authoritative: one emitter says whose a number is"
        raise Misconfigured(Fault(fault, str(path)))
    return found


def _instead(given: str, known: Iterable[str]) -> str:
    names = [*known]
    close = get_close_matches(given, names, n=1)
    return f"did you mean {close[0]}?" if close else f"write one of {', '.join(names)}"
