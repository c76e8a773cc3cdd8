"""Forms made from the JSON Schema of a body: its fields, what was entered, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from babel import Locale
from pydantic import BaseModel, ValidationError

from services.console.console import ConsoleContext, local, spelled
from services.intake.actions.action import plain_options
from services.web.forms import Form, FormError
from shared.domain import languages
from shared.domain.languages import Language

Kind = Literal["text", "area", "lines", "numbers", "choose", "choices", "number", "day", "moment", "check"]
"""The kind of a field.

``lines``: one value a line; ``numbers``: telephone numbers, one a line; ``moment``: day and time in the zone of the
controller.
"""
Options = Sequence[tuple[str, str]]
LANGUAGES: Final[Mapping[Language, str]] = {each: str(Locale.parse(each).english_name) for each in languages.LANGUAGES}
_LANGUAGES: Final = {str(code): name for code, name in LANGUAGES.items()}
_SHORT: Final = 320
_KINDS: Final[Mapping[str, Kind]] = {"boolean": "check", "integer": "number", "date-time": "moment", "date": "day"}
_MOMENTS: Final = ("%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_EMPTY: Final = frozenset({"missing", "string_too_short", "too_short"})
_MESSAGES: Final[Mapping[str, str]] = {
    "date_from_datetime_parsing": "write a day such as 2026-03-31",
    "date_parsing": "write a day such as 2026-03-31",
    "datetime_parsing": "write a day and a time such as 2026-03-31 14:30",
    "datetime_from_date_parsing": "write a day and a time such as 2026-03-31 14:30",
    "timezone_aware": "write a day and a time such as 2026-03-31 14:30",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "literal_error": "choose one of the options",
    "enum": "choose one of the options",
    "string_pattern_mismatch": "write it in the form that is shown",
    "string_too_long": "write at most {max_length} characters",
    "too_long": "enter at most {max_length}",
    "greater_than_equal": "enter at least {ge}",
    "less_than_equal": "enter at most {le}",
    "uuid_parsing": "write an ID such as 019c0000-…, as shown on the page of a request",
}
"""Keyed by pydantic's error types; the braces hold the bound."""


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form, by its name in the body."""

    name: str
    label: str
    kind: Kind = "text"
    hint: str = ""
    options: Options = ()

    def read(self, values: str) -> object:
        """Returns what a field says, as the body takes it; None for an empty field."""
        if self.kind == "check":
            return values == "yes"
        if not values:
            return None
        if self.kind in {"lines", "numbers"}:
            lines = [line.strip() for line in values.split("\n") if line.strip()]
            return [{"number": each} for each in lines] if self.kind == "numbers" else lines
        if self.kind == "number":
            return int(values) if values.isascii() and values.isdecimal() else values
        return values

    def names(self, place: Sequence[str]) -> bool:
        """Returns whether the field is the one at that place of the body."""
        return [*place][: self.name.count(".") + 1] == self.name.split(".")


def fields_of(document: Mapping[str, Any], choices: Mapping[str, Options]) -> Sequence[FormField]:
    """Makes the fields for the JSON Schema of a body; ``choices``: the options of fields that the policy names."""
    properties = document.get("properties", {})
    return [each for name, field_schema in properties.items() for each in _asked(document, name, field_schema, choices)]


def policy_choices(context: ConsoleContext) -> Mapping[str, Options]:
    """Returns the categories and the purposes of the policy, as options."""
    return {
        "categories": plain_options(*sorted(context.services.processing.categories)),
        "purposes": plain_options(*sorted(context.services.unit_of_work.policy.consents)),
    }


def stated(context: ConsoleContext, body: BaseModel) -> Sequence[tuple[str, str]]:
    """Returns what was entered, with the title of each field; fields without a value are left out."""
    named = ((info.title or name, getattr(body, name)) for name, info in type(body).model_fields.items())
    return [(title, _words(context, value)) for title, value in named if value not in (None, (), {})]


def form_of(context: ConsoleContext, body: BaseModel) -> Form:
    """Fills the fields of a form with what a body says."""
    zone = context.zone
    fields = {name: f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for name, at in body if isinstance(at, datetime)}
    filled = {**body.model_dump(mode="json"), **fields}.items()
    return Form({name: value if isinstance(value, list) else [str(value)] for name, value in filled})


def read(
    body: type[BaseModel] | None, asks: Sequence[FormField], form: Form, zone: ZoneInfo
) -> tuple[BaseModel | None, Sequence[FormError]]:
    """Reads the body from a form, or what is wrong with each field."""
    if body is None:
        return None, ()
    values: dict[str, Any] = {}
    for asked in asks:
        value = form.all(asked.name) if asked.kind == "choices" else asked.read(form.get(asked.name))
        if asked.kind == "moment" and isinstance(value, str):
            value = _moment(value, zone)
        if value not in (None, (), []):
            _put(values, asked.name, value)
    try:
        return body.model_validate(values), ()
    except ValidationError as error:
        faults = [_fault(asks, each) for each in error.errors(include_url=False, include_input=False)]
        return None, list(dict.fromkeys(faults))


def _moment(text: str, zone: ZoneInfo) -> str:
    """Returns a day, with or without a time, in that zone as ISO 8601; other text stays as it is."""
    for each in _MOMENTS:
        try:
            return datetime.strptime(text, each).replace(tzinfo=zone).isoformat()
        except ValueError:
            continue
    return text


def _put(values: dict[str, Any], name: str, value: object) -> None:
    *inner, last = name.split(".")
    for each in inner:
        values = values.setdefault(each, {})
    values[last] = value


def _fault(asks: Sequence[FormField], error: Mapping[str, Any]) -> FormError:
    place = [str(each) for each in error["loc"]]
    asked = next((each for each in asks if each.names(place)), next(iter(asks), FormField("confirm", "Form")))
    kind = str(error["type"])
    if kind in _EMPTY:
        return FormError(asked.name, f"{asked.label}: this is needed")
    message = str(error["msg"]).removeprefix("Value error, ")
    known = _MESSAGES.get(kind, "").format(**error.get("ctx", {}))
    return FormError(asked.name, f"{asked.label}: {known or message[:1].lower() + message[1:]}")


def _asked(
    document: Mapping[str, Any], name: str, field_schema: Mapping[str, Any], choices: Mapping[str, Options]
) -> Sequence[FormField]:
    schema = _resolved(document, field_schema)
    if "additionalProperties" in schema and "propertyNames" in schema:
        inner = _resolved(document, schema["additionalProperties"])["properties"]
        return [
            FormField(f"{name}.{key}.{each}", f"{_LANGUAGES[key]}: {of['title'].lower()}", "area", _hint(of))
            for key in _resolved(document, schema["propertyNames"])["enum"]
            for each, of in inner.items()
        ]
    items = _resolved(document, schema.get("items", {}))
    numbers = "number" in items.get("properties", {})
    if schema.get("form") is False or ("properties" in items and not numbers):
        return []
    if "properties" in schema:
        inner = schema["properties"].items()
        return [each for key, of in inner for each in _asked(document, f"{name}.{key}", of, choices)]
    label, hint = schema["title"], _hint(schema)
    options = [*_LANGUAGES.items()] if name == "language" else choices.get(name) or _options(items or schema)
    if options:
        return [FormField(name, label, "choices" if items else "choose", hint, options)]
    text: Kind = "area" if schema.get("maxLength", 0) > _SHORT else "text"
    kind: Kind = "lines" if items else _KINDS.get(schema.get("format", schema["type"]), text)
    return [FormField(name, label, "numbers" if numbers else kind, f"{hint}. One a line" if items else hint)]


def _hint(schema: Mapping[str, Any]) -> str:
    words = str(schema.get("description", "")).replace("`", "")
    return words[:1].upper() + words[1:]


def _options(schema: Mapping[str, Any]) -> Options:
    if "oneOf" in schema:
        return [(str(each["const"]), str(each["title"])) for each in schema["oneOf"]]
    return plain_options(*schema.get("enum", ()))


def _resolved(document: Mapping[str, Any], field_schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a schema without its references and without null."""
    kind: Mapping[str, Any] = next((each for each in field_schema.get("anyOf", ()) if each.get("type") != "null"), {})
    ref = field_schema.get("$ref", kind.get("$ref"))
    return {**(document["$defs"][ref.rpartition("/")[2]] if ref else {}), **kind, **field_schema}


def _words(context: ConsoleContext, value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case datetime():
            return local(context, value)
        case Mapping():
            texts = ((key, each) for key, words in value.items() for each in words.model_dump().values())
            return "\n".join(f"{_LANGUAGES[key]}: {text}" for key, text in texts)
        case tuple():
            return ", ".join(spelled(each) for each in value)
        case str() if " " not in value:
            return spelled(value)
        case _:
            return str(value)
