"""What can be done through the API, as its own document says it, and a body from what somebody typed; pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import orjson

from shared.domain.errors import DsrError

_TEXT, _ACTIONS = "string", "actions/"
_PARAMETER = re.compile(r"\{[^}]+\}")


class Unclear(DsrError):
    """What was typed is nothing that the API knows, or lacks one of its fields; says what to type."""


@dataclass(frozen=True, slots=True)
class Typed:
    """The fields that somebody typed: texts, as they stand there, and values from a file of JSON."""

    texts: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be done: where it goes, what it does, and its fields with a JSON Schema for each.

    ``path``: below its object; ``said``: what its name says already; ``takes``: its parameters, such as `If-Match`.
    ``readable``: its object can be read.
    """

    name: str
    path: str
    says: str
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needed: Sequence[str] = ()
    said: dict[str, Any] = field(default_factory=dict)
    takes: frozenset[str] = frozenset()
    readable: bool = False

    @property
    def usage(self) -> str:
        """How it is typed, but for its object."""
        words = [f"{name}=…" if name in self.needed else f"[{name}=…]" for name in self.fields]
        return " ".join([self.name, *words])


def kinds(document: Mapping[str, Any]) -> list[str]:
    """The kinds of objects with which something can be done."""
    return sorted({path.split("/")[2] for path, each in document["paths"].items() if "post" in each})


def lists(document: Mapping[str, Any]) -> list[str]:
    """Names what can be listed, as ``dsr list`` takes it."""
    paged = (path for path, each in document["paths"].items() if "cursor" in _takes(each.get("get", {})))
    of_a_kind = (path.removeprefix("/v1/") for path in paged if not path.startswith("/v1/{"))
    return sorted(_PARAMETER.sub("ID", each) for each in of_a_kind)


def operations(document: Mapping[str, Any], kind: str, *, new: bool = False) -> dict[str, Operation]:
    """What can be done with one object of a kind, by name; ``new``: with none of them, as to create one."""
    found: dict[str, Operation] = {}
    for path, methods in sorted(document["paths"].items()):
        _, _, of, *rest = path.split("/", 3)
        below = rest[0] if rest else ""
        if "post" not in methods or of != kind or below.startswith("{") is new:
            continue
        where = below if new else below.partition("/")[2]
        name = where.removeprefix(_ACTIONS) or "create"
        found |= {each.name: each for each in _at(document, name, where, methods["post"])}
    readable = not new and _is_readable(document, kind)
    return {name: replace(each, readable=readable) for name, each in found.items()}


def _is_readable(document: Mapping[str, Any], kind: str) -> bool:
    """Whether one object of a kind can be read as JSON."""
    one = re.compile(f"/v1/{kind}/{{[^/]+}}")
    gets = [each["get"] for path, each in document["paths"].items() if "get" in each and one.fullmatch(path)]
    return any("application/json" in get["responses"]["200"]["content"] for get in gets)


def named(known: Mapping[str, Operation], name: str) -> Operation:
    """The one of that name; raises ``Unclear``, which names those that there are."""
    if name in known:
        return known[name]
    meant = get_close_matches(name, known, n=1)
    more = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(sorted(known)) or 'none'}"
    raise Unclear(f"there is no action {name} here: {more}")


def body(operation: Operation, typed: Typed) -> dict[str, Any] | None:
    """What is sent; None where there are no fields.

    Raises:
        Unclear: a field is unknown, is missing, or is no JSON where it is no text.
    """
    there = {*typed.given, *typed.texts}
    if strange := sorted(there - {*operation.fields}):
        takes = f"it takes {', '.join(operation.fields)}" if operation.fields else "it takes none"
        raise Unclear(f"{operation.name} has no field {', '.join(strange)}: {takes}")
    if missing := [name for name in operation.needed if name not in there]:
        about = [f"{name} ({said})" if (said := explained(name, operation.fields[name])) else name for name in missing]
        raise Unclear(f"{operation.name} needs {', '.join(about)}: type {operation.usage}")
    if not operation.fields and not operation.said:
        return None
    texts = {name: _value(name, operation.fields[name], text) for name, text in typed.texts.items()}
    return {**operation.said, **typed.given, **texts}


def explained(name: str, schema: Mapping[str, Any]) -> str:
    """What a field is for, or which words it takes."""
    words = " | ".join(map(str, schema.get("enum", ())))
    title, says = str(schema.get("title", "")), str(schema.get("description", ""))
    own = title if title.casefold() != name.replace("_", " ") else says  # a title of its own names the field
    date = "YYYY-MM-DD" if schema.get("format") == "date" else ""
    return ": ".join(filter(None, (words or date, own)))


def _at(document: Mapping[str, Any], name: str, where: str, method: Mapping[str, Any]) -> Iterator[Operation]:
    """What a route does, or each of the things that its body tells apart by a word."""
    content = method.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = _resolved(document, content.get("schema", {}))
    says = _first_line(method.get("description", ""))
    takes = _takes(method)
    if "discriminator" not in schema:
        yield Operation(name, where, says, *_fields(document, schema), takes=takes)
        return
    by = schema["discriminator"]["propertyName"]
    for word, reference in schema["discriminator"]["mapping"].items():
        kind = _resolved(document, {"$ref": reference})
        fields, needed = _fields(document, kind)
        del fields[by]
        needs = [each for each in needed if each != by]
        yield Operation(word, where, _first_line(kind.get("description", says)), fields, needs, {by: word}, takes)


def _takes(method: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(each["name"] for each in method.get("parameters", ()))


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields of a body by name, those that must be there first, and which these are."""
    needed, known = schema.get("required", []), schema.get("properties", {})
    return {name: _resolved(document, known[name]) for name in dict.fromkeys([*needed, *known])}, list(needed)


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without its references; of a value that may be left out, that of the value."""
    if "$ref" in schema:
        of_it = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return _resolved(document, of_it) | {name: said for name, said in schema.items() if name != "$ref"}
    several = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(several) == 1:
        return _resolved(document, several[0]) | {name: said for name, said in schema.items() if name != "anyOf"}
    return dict(schema)


def _value(name: str, schema: Mapping[str, Any], text: str) -> Any:
    if schema.get("type") == _TEXT:
        return text
    if schema.get("items", {}).get("type") == _TEXT and not text.startswith("["):
        return [each.strip() for each in text.split(",")]
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        kind = str(schema.get("type", "value"))
        example = {"integer": "3", "number": "0.5", "boolean": "true", "array": '["…"]'}.get(kind, '{"…": "…"}')
        raise Unclear(f"{name} is no text: write it as JSON ({kind}), as {example}") from None


def _first_line(text: str) -> str:
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())
