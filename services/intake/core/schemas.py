"""Reads bodies of the API: JSON without duplicates, each value checked, and no undeclared field."""

import itertools
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, NoReturn, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.config import JsonDict

from shared.domain.clock import Moment
from shared.domain.countries import stated
from shared.domain.identities import (
    LONGEST_NAME,
)
from shared.domain.rights import Level
from shared.domain.text import ONE_LINE, nfc

NFC = AfterValidator(nfc)
"""Text in one form of Unicode."""
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME, pattern=ONE_LINE),
    NFC,
]
Country = Annotated[str, AfterValidator(stated), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{2}$"})]
Instant = Annotated[
    datetime, PlainSerializer(datetime.isoformat), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""Shown with its offset, as `+00:00`."""
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]


class Inconsistent(ValueError):
    """A field does not go with the others; ``field``: which."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def place_of(fault: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where in the body it is; of fields that do not go with each other, which one is to be changed."""
    error = fault.get("ctx", {}).get("error")
    return (*fault["loc"], error.field) if isinstance(error, Inconsistent) else fault["loc"]


NOT_ASKED: Final[JsonDict] = {"form": False}
"""Marks a field that the API takes, and no form asks for."""


class Strict(BaseModel):
    """A body of which every field is declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


IdentityField = Annotated[
    str, StringConstraints(pattern=r"^(email|account_id|client_id|sip_uri|(phones|sip_uris)\.\d{1,3})$")
]
Method = Annotated[str, StringConstraints(pattern="^[a-z0-9_]{1,64}$")]


class IdentityProof(Strict):
    """That one of the identities is the requester's, and how the channel knows."""

    identity: IdentityField = Field(
        examples=["phones.0"], description="the field of `subject` that holds it; a number or SIP user by its place"
    )
    method: Method = Field(examples=["sms_code"], description="one of the policy's; it says how much this proves")
    proved_at: Moment | None = Field(default=None, description="when it was proved; now, if left out")
    on_file_since: Moment | None = Field(
        default=None, description="since when it is on file as theirs, or else proved; what is not for long proves less"
    )


Proofs = Annotated[tuple[IdentityProof, ...], Field(max_length=50)]
PROOFS_OF = "what was proved: of which identity, by which method, when; it proves nothing of the others"


class Assurance(Strict):
    """The short form of a proof: of the identities that the method can prove, all that are stated."""

    level: Level = Field(
        description="`L0`: an identifier, and nothing more. `L1`: control of one contact point of record. `L2`: signed"
        " in with a second factor, or control of two contact points. `L3`: a person has looked, where `L2` cannot be"
        " had and much harm could be done. No method proves more than the policy says."
    )
    method: Method = Field(
        examples=["signed_in_mfa"],
        description="one of the policy's methods; a number is proved by it only where it is the only one stated",
    )


class Verification(Strict):
    """Proof of the requester's identity."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"assurance": {"level": "L2", "method": "signed_in_mfa"}}]}
    )

    assurance: Assurance | None = None
    proofs: Proofs = Field(default=(), description=PROOFS_OF)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.assurance is None and not self.proofs:
            raise ValueError("say what was proved: give proofs, or assurance")
        return self


_NAMES = 64
"""Names of one object, at most: several times as many as a valid one has."""
_OBJECTS = 65_536
"""Objects of one body: as many as a thousand requests with fifty changes each have."""


class MalformedBody(ValueError):
    """It is no such JSON; the message says why and quotes nothing."""


def read_json(body: bytes | bytearray) -> Any:
    """The value; raises ``MalformedBody``."""
    try:
        return (_SHORT if len(body) <= _OBJECTS else _counting()).decode(body.decode())
    except MalformedBody:
        raise
    except (ValueError, RecursionError):  # no UTF-8, no JSON, a number of thousands of digits, nested too deep
        raise MalformedBody("not JSON in UTF-8, or nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedBody("a name comes twice in an object")
    if len(found) > _NAMES:
        raise MalformedBody("an object has too many names")
    return found


def _constant(_: str) -> NoReturn:
    raise MalformedBody("NaN and Infinity are no JSON")


_SHORT = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
"""Decodes bodies that are too short to hold too many objects."""


def _counting() -> json.JSONDecoder:
    """Counts the objects of one body: they are what takes time."""
    made = itertools.count(1)

    def make(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if next(made) > _OBJECTS:
            raise MalformedBody("the body has too many objects")
        return _object(pairs)

    return json.JSONDecoder(object_pairs_hook=make, parse_constant=_constant)
