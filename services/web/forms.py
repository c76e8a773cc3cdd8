"""What a form of a page says, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import Request

from services.intake.core.errors import BadRequest, TooLarge, UnsupportedType

LONGEST = 64 * 1024
"""Bytes of a form: all of its fields together."""
_MOST_FIELDS = 400
_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class FormError:
    """What is wrong with one field, in the words that stand at the field and in the summary."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, without blanks around them."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """What a field says; nothing where it is empty or missing."""
        return self.fields.get(name, ("",))[-1]

    def all(self, name: str) -> Sequence[str]:
        """Every choice of a field that takes several."""
        return self.fields.get(name, ())


async def read_form(request: Request) -> Form:
    """The form that was sent.

    Raises:
        UnsupportedType: it is no form, or has files.
        TooLarge: it is longer than any form of ours.
        BadRequest: it has more fields than any form of ours, or is no text.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != _TYPE:
        raise UnsupportedType("send the form of the page")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST:
            raise TooLarge(f"the form is longer than {LONGEST} bytes; write less")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise BadRequest("the form cannot be read; go back to the page and send it again") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value.replace("\r\n", "\n").strip())
    return Form(fields)
