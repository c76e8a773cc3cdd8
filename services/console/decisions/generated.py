"""Fields of a form, and what was entered, made from the model of a body: its types, titles and descriptions."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from services.console.console import Works, local, spelled
from services.console.decisions.decision import LANGUAGES, Asked, Kind, Options, Subject
from services.intake.actions.action import plain
from services.web.forms import Form

_SHORT = 320
_KINDS: Mapping[str, Kind] = {"boolean": "check", "integer": "number", "date-time": "moment", "date": "day"}
_LANGUAGES = {str(code): name for code, name in LANGUAGES.items()}


def _categories(subject: Subject) -> Options:
    return plain(*sorted(subject.works.services.processing.categories))


def _purposes(subject: Subject) -> Options:
    """To what consent can be withdrawn, by the policy."""
    return plain(*sorted(subject.works.services.unit_of_work.policy.consents))


_OF_POLICY: Mapping[str, Callable[[Subject], Options]] = {"categories": _categories, "purposes": _purposes}
"""Fields whose values the policy names."""


def fields_of(
    document: Mapping[str, Any], choices: Mapping[str, Callable[[Subject], Options]] | None = None
) -> Sequence[Asked]:
    """A field of a form for each field of a body, by its JSON Schema; ``choices``: what some of them offer."""
    asked = [each for name, said in document.get("properties", {}).items() for each in _asked(document, name, said)]
    chosen = choices or {}
    return [
        Asked(each.name, each.label, "choose", each.hint, chosen[each.name]) if each.name in chosen else each
        for each in asked
    ]


def stated(works: Works, said: BaseModel) -> Sequence[tuple[str, str]]:
    """What was entered, with the title of each field; fields without a value are left out."""
    named = ((info.title or name, getattr(said, name)) for name, info in type(said).model_fields.items())
    return [(title, _words(works, value)) for title, value in named if value not in (None, (), {})]


def form_of(works: Works, said: BaseModel) -> Form:
    """The fields of a form, filled with what a body says."""
    zone = ZoneInfo(works.services.processing.controller.zone)
    fields = {name: f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for name, at in said if isinstance(at, datetime)}
    filled = {**said.model_dump(mode="json"), **fields}.items()
    return Form({name: value if isinstance(value, list) else [str(value)] for name, value in filled})


def _hint(schema: Mapping[str, Any]) -> str:
    """The description of a field, as a sentence on a page."""
    words = str(schema.get("description", "")).replace("`", "")
    return words[:1].upper() + words[1:]


def _asked(document: Mapping[str, Any], name: str, said: Mapping[str, Any]) -> Sequence[Asked]:
    schema = _resolved(document, said)
    if "additionalProperties" in schema and "propertyNames" in schema:
        inner = _resolved(document, schema["additionalProperties"])["properties"]
        return [
            Asked(f"{name}.{key}.{each}", f"{_LANGUAGES[key]}: {of['title'].lower()}", "area", _hint(of))
            for key in _resolved(document, schema["propertyNames"])["enum"]
            for each, of in inner.items()
        ]
    items = _resolved(document, schema.get("items", {}))
    numbers = "number" in items.get("properties", {})
    if schema.get("form") is False or ("properties" in items and not numbers):
        return []
    if "properties" in schema:
        return [each for key, of in schema["properties"].items() for each in _asked(document, f"{name}.{key}", of)]
    label, hint = schema["title"], _hint(schema)
    chosen = [*_LANGUAGES.items()] if name == "language" else _chosen(items or schema)
    if chosen or (items and name in _OF_POLICY):
        options = _OF_POLICY.get(name, lambda _: chosen)
        return [Asked(name, label, "choices" if items else "choose", hint, options)]
    text: Kind = "area" if schema.get("maxLength", 0) > _SHORT else "text"
    kind: Kind = "lines" if items else _KINDS.get(schema.get("format", schema["type"]), text)
    return [Asked(name, label, "numbers" if numbers else kind, f"{hint}. One a line" if items else hint)]


def _chosen(schema: Mapping[str, Any]) -> Options:
    """The values that a schema names, and how each is read."""
    if "oneOf" in schema:
        return [(str(each["const"]), str(each["title"])) for each in schema["oneOf"]]
    return plain(*schema.get("enum", ()))


def _resolved(document: Mapping[str, Any], said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without its references and without null."""
    kind: Mapping[str, Any] = next((each for each in said.get("anyOf", ()) if each.get("type") != "null"), {})
    ref = said.get("$ref", kind.get("$ref"))
    return {**(document["$defs"][ref.rpartition("/")[2]] if ref else {}), **kind, **said}


def _words(works: Works, value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case datetime():
            return local(works, value)
        case Mapping():
            texts = ((key, each) for key, said in value.items() for each in said.model_dump().values())
            return "\n".join(f"{_LANGUAGES[key]}: {text}" for key, text in texts)
        case tuple():
            return ", ".join(spelled(each) for each in value)
        case str() if " " not in value:
            return spelled(value)
        case _:
            return str(value)
