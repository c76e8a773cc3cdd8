"""What a form says of a decision: as its body has it, or what is wrong with each field."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from services.console.decisions.decision import Asked, Decision
from services.web.forms import Form, FormError

_MOMENTS: Final = ("%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_EMPTY: Final = frozenset({"missing", "string_too_short", "too_short"})
_MESSAGES: Final[Mapping[str, str]] = {
    "date_from_datetime_parsing": "write a day as 2026-03-31",
    "date_parsing": "write a day as 2026-03-31",
    "datetime_parsing": "write a day and a time as 2026-03-31 14:30",
    "datetime_from_date_parsing": "write a day and a time as 2026-03-31 14:30",
    "timezone_aware": "write a day and a time as 2026-03-31 14:30",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "literal_error": "choose one of those that are offered",
    "enum": "choose one of those that are offered",
    "string_pattern_mismatch": "write it in the form that is shown",
    "string_too_long": "write less: at most {max_length} characters",
    "too_long": "enter fewer: at most {max_length}",
    "greater_than_equal": "the least is {ge}",
    "less_than_equal": "the most is {le}",
    "uuid_parsing": "write a reference as 019c0000-…, as the page of a request has it",
}
"""By pydantic's types of errors; in braces what they say of the bound."""


def read(decision: Decision, form: Form, zone: ZoneInfo) -> BaseModel | Sequence[FormError] | None:
    """The body of a decision (None where it has none), or what is wrong with the form."""
    if decision.body is None:
        return None
    said: dict[str, Any] = {}
    for asked in decision.asks:
        value = form.all(asked.name) if asked.kind == "choices" else asked.read(form.get(asked.name))
        if asked.kind == "moment" and isinstance(value, str):
            value = moment(value, zone)
        if value not in (None, (), []):
            put(said, asked.name, value)
    try:
        return decision.body.model_validate(said)
    except ValidationError as error:
        faults = [_fault(decision, each) for each in error.errors(include_url=False, include_input=False)]
        return list(dict.fromkeys(faults))


def moment(text: str, zone: ZoneInfo) -> str:
    """A day, with or without a time, in that zone, as ISO 8601 writes it; what is none stays as it is."""
    for each in _MOMENTS:
        try:
            return datetime.strptime(text, each).replace(tzinfo=zone).isoformat()
        except ValueError:
            continue
    return text


def put(said: dict[str, Any], name: str, value: object) -> None:
    """Puts a value where a name says: with dots one within another."""
    *inner, last = name.split(".")
    for each in inner:
        said = said.setdefault(each, {})
    said[last] = value


def names(asked: Asked, place: Sequence[str]) -> bool:
    """Whether that field of the form is the one at that place of the body."""
    return [*place][: asked.name.count(".") + 1] == asked.name.split(".")


def _fault(decision: Decision, error: Mapping[str, Any]) -> FormError:
    place = [str(each) for each in error["loc"]]
    asked = next((each for each in decision.asks if names(each, place)), next(iter(decision.asks), None))
    label = asked.label if asked else decision.title
    name = asked.name if asked else "confirm"
    kind = str(error["type"])
    if kind in _EMPTY:
        return FormError(name, f"{label}: this is needed")
    message = str(error["msg"]).removeprefix("Value error, ")
    known = _MESSAGES.get(kind, "").format(**error.get("ctx", {}))
    return FormError(name, f"{label}: {known or message[:1].lower() + message[1:]}")
