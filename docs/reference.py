"""Documents the files that connect a system, from their models: schemas for editors, and a page."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from shared.domain.configuration import bounds
from shared.domain.user_events import EMITTER_NAME, KINDS, Emitter
from shared.systems.file import AdapterSettings, SystemKeys
from shared.systems.http.declaration import Declaration
from shared.systems.sql.dataset import Dataset

ADAPTERS: Sequence[type[BaseModel]] = get_args(AdapterSettings)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LARGE = 100_000
_NAMED: Mapping[str, str] = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "Path": "path",
    "HttpUrl": "URL",
    "ZoneInfo": "zone, as `Europe/Berlin`",
    "timedelta": "time, as `30s` or `5m`",
}


def schemas() -> dict[str, dict[str, Any]]:
    """A JSON Schema for each kind of file, by the name of its own file."""
    return {
        "dataset.json": {"$schema": _DIALECT, **Dataset.model_json_schema()},
        "declaration.json": {"$schema": _DIALECT, **Declaration.model_json_schema()},
        "downstreams.json": _downstreams(),
        "emitters.json": _emitters(),
    }


def _emitters() -> dict[str, Any]:
    """Tables, one for each emitter."""
    emitter = Emitter.model_json_schema()
    kinds = {"items": {"enum": [*KINDS]}, "uniqueItems": True}
    emitter["properties"]["types"] |= kinds
    return {
        "$schema": _DIALECT,
        "title": "File of emitters",
        "description": "The services that tell of their users over the bus, one table each.",
        "type": "object",
        "patternProperties": {EMITTER_NAME: {key: said for key, said in emitter.items() if key != "$defs"}},
        "additionalProperties": False,
        "$defs": emitter.get("$defs", {}),
    }


def _downstreams() -> dict[str, Any]:
    """Tables, each by its adapter: what every table says and what that adapter adds."""
    common = SystemKeys.model_json_schema()
    shared = {name: said for name, said in common["properties"].items() if name != "settings"}
    kinds = []
    for model in ADAPTERS:
        own = model.model_json_schema()
        kinds.append(
            {
                "title": own["properties"]["adapter"]["const"],
                "description": own.get("description", ""),
                "type": "object",
                "properties": {**shared, **own["properties"]},
                "required": ["adapter", "needs", *own.get("required", ())],
                "additionalProperties": False,
            }
        )
    definitions = {name: said for name, said in common["$defs"].items() if not name.endswith("Settings")}
    return {
        "$schema": _DIALECT,
        "title": "Downstreams file",
        "description": "The systems that hold personal data, one table each.",
        "type": "object",
        "patternProperties": {"^[a-z][a-z0-9-]*$": {"oneOf": kinds}},
        "additionalProperties": False,
        "$defs": definitions,
    }


def page() -> str:
    """The reference of all keys, in Markdown."""
    lines = [
        "# Every key",
        "",
        "Made by `make docs` from the models that read the files; [plug-in.md](../plug-in.md) says how to use them.",
        "",
        "## The downstreams file",
        "",
        "`[NAME]`, whatever its adapter:",
        "",
        *_table({name: info for name, info in SystemKeys.model_fields.items() if name != "settings"}),
    ]
    for model in ADAPTERS:
        lines += [f'`[NAME]` with `adapter = "{model.model_fields["adapter"].default}"`:', ""]
        lines += _table({name: info for name, info in model.model_fields.items() if name != "adapter"})
    lines += [
        "## A dataset",
        "",
        *_tree(Dataset, ""),
        "## A declaration of an HTTP interface",
        "",
        *_tree(Declaration, ""),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _tree(model: type[BaseModel], place: str, seen: set[type[BaseModel]] | None = None) -> Iterator[str]:
    """A model and what stands below it, each once, with the place where it is met first."""
    seen = set() if seen is None else seen
    seen.add(model)
    yield from (f"### `{place}`" if place else "### At the top", "")
    yield from (_prose(model), "")
    yield from _table(model.model_fields)
    for name, info in model.model_fields.items():
        for below, path in _below(info.annotation, f"{place}.{info.alias or name}".lstrip(".")):
            if below not in seen:
                yield from _tree(below, path, seen)


def _below(kind: Any, place: str) -> Iterator[tuple[type[BaseModel], str]]:
    """The models that may stand there, and where."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind, place
        return
    named = get_origin(kind) is not None and issubclass(_origin(kind), Mapping)
    for each in get_args(kind)[1:] if named else get_args(kind):
        yield from _below(each, f"{place}.NAME" if named else place)


def _origin(kind: Any) -> type:
    origin = get_origin(kind)
    return origin if isinstance(origin, type) else object


def _prose(model: type[BaseModel]) -> str:
    """Returns a class's docstring as Markdown."""
    text = inspect.cleandoc(model.__doc__ or "").replace("``", "`")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _table(fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    yield from ("| key | holds | if left out | |", "|---|---|---|---|")
    for name, info in fields.items():
        default = "**needed**" if info.is_required() else _shown(info.get_default(call_default_factory=True))
        holds = f"{_holds(info.annotation)}{bounds(info)}"
        yield f"| `{info.alias or name}` | {_cell(holds)} | {_cell(default)} | {_cell(info.description or '')} |"
    yield ""


def _holds(kind: Any) -> str:
    """Describes the values of a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_holds(each) for each in arguments if each is not type(None)))
    if hasattr(kind, "__metadata__"):
        return _holds(arguments[0])
    if isinstance(origin, type):
        words = [_holds(each) for each in arguments if each is not ...]
        return f"table: by {words[0]}, {words[1]}" if issubclass(origin, Mapping) else f"list of {words[0]}"
    return _word(kind)


def _word(kind: Any) -> str:
    named = isinstance(kind, type)
    if named and issubclass(kind, BaseModel):
        return "table"
    if named and issubclass(kind, Enum):
        return " or ".join(f"`{each.value}`" for each in kind)
    return _NAMED.get(getattr(kind, "__name__", ""), "value")


def _shown(default: object) -> str:
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case timedelta():
            return f"`{default.total_seconds():g}s`"
        case int() | float():
            return f"`{default:g}`" if default < _LARGE else f"`{default:,}`"
        case str() | ZoneInfo():
            return f"`{default}`" if str(default) else ""
        case _:
            value = sorted(default) if isinstance(default, frozenset) else default
            return f"`{json.dumps(to_jsonable_python(value))}`" if value else ""


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
