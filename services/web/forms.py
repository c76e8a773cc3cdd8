"""Forms of pages, and their errors."""

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
    """The error of one field, shown at the field and in the summary."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, stripped."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """Returns the value of a field; empty if it is missing."""
        return self.fields.get(name, ("",))[-1]

    def all(self, name: str) -> Sequence[str]:
        """Returns every value of a field."""
        return self.fields.get(name, ())


async def read_form(request: Request) -> Form:
    """Reads the form of a POST.

    Raises:
        UnsupportedType: the body is no form, or has files.
        TooLarge: the form is longer than ``LONGEST``.
        BadRequest: the form has too many fields, or is not text.
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
