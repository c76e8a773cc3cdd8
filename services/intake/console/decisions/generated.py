"""Fields of a form, and what was entered, made from the model of a body: its types, titles and descriptions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from services.intake.console.console import Works, local, spelled
from services.intake.console.decisions import options
from services.intake.console.decisions.decision import Asked, Kind, Subject

_SHORT = 200
_KINDS: Mapping[str, Kind] = {"boolean": "check", "integer": "number", "date-time": "moment", "date": "day"}
_LANGUAGES = {str(code): name for code, name in options.LANGUAGES.items()}


def categories(subject: Subject) -> Sequence[tuple[str, str]]:
    """Every category of the policy."""
    return options.plain(*sorted(subject.works.services.processing.categories))


def fields_of(body: type[BaseModel]) -> Sequence[Asked]:
    """A field of a form for each field of the body."""
    document = body.model_json_schema()
    return [each for name, said in document["properties"].items() for each in _asked(document, name, said)]


def stated(works: Works, said: BaseModel) -> Sequence[tuple[str, str]]:
    """What was entered, with the title of each field; fields without a value are left out."""
    named = ((info.title or name, getattr(said, name)) for name, info in type(said).model_fields.items())
    return [(title, _words(works, value)) for title, value in named if value not in (None, (), {})]


def _asked(document: Mapping[str, Any], name: str, said: Mapping[str, Any]) -> Sequence[Asked]:
    schema = _resolved(document, said)
    if "additionalProperties" in schema and "propertyNames" in schema:
        inner = _resolved(document, schema["additionalProperties"])["properties"]
        return [
            Asked(
                f"{name}.{key}.{each}", f"{_LANGUAGES[key]}: {of['title'].lower()}", "area", of.get("description", "")
            )
            for key in _resolved(document, schema["propertyNames"])["enum"]
            for each, of in inner.items()
        ]
    label, hint = schema["title"], schema.get("description", "")
    items = _resolved(document, schema.get("items", {}))
    if words := items.get("enum", schema.get("enum")):
        return [Asked(name, label, "choices" if items else "choose", hint, lambda _: options.plain(*words))]
    if items and items.get("format") != "uuid":
        return [Asked(name, label, "choices", hint, categories)]
    if items:
        return [Asked(name, label, "lines", f"{hint}. One reference a line")]
    text: Kind = "area" if schema.get("maxLength", 0) > _SHORT else "text"
    return [Asked(name, label, _KINDS.get(schema.get("format", schema["type"]), text), hint)]


def _resolved(document: Mapping[str, Any], said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without its references and without null."""
    [kind] = [each for each in said.get("anyOf", [{}]) if each.get("type") != "null"]
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
