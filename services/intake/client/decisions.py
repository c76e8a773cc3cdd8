"""What can be decided, as the API's own document says it, and the body of a decision from what somebody typed; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import orjson

from shared.domain.errors import DsrError

OF_REQUEST = "/v1/requests/{request_id}/"
_TEXT = "string"


class DecisionUnclear(DsrError):
    """What was typed is no decision that the API knows, or lacks one of its fields; says what to type."""


@dataclass(frozen=True, slots=True)
class Typed:
    """The fields that somebody typed: texts, as they stand there, and values from a file of JSON."""

    texts: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: where it goes, what it does, and its fields with a JSON Schema for each.

    ``path``: below the prefix; ``said``: what its name says already, as which of the answers is proposed.
    """

    name: str
    path: str
    says: str
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needed: Sequence[str] = ()
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def usage(self) -> str:
        """How it is typed, after its request."""
        words = [f"{name}=…" if name in self.needed else f"[{name}=…]" for name in self.fields]
        return " ".join([self.name, *words])


def decisions(document: Mapping[str, Any], prefix: str = OF_REQUEST) -> dict[str, Decision]:
    """What can be decided below a path, by name, from the API's document (OpenAPI 3.1)."""
    found = (
        each
        for path, operations in sorted(document["paths"].items())
        if path.startswith(prefix) and "post" in operations
        for each in _at(document, path.removeprefix(prefix), operations["post"])
    )
    return {each.name: each for each in found}


def operation(document: Mapping[str, Any], method: str, path: str, name: str) -> Decision:
    """What one operation of the API does, under a name of the command's; raises ``DecisionUnclear``."""
    described = document["paths"].get(path, {}).get(method.lower())
    if described is None:
        raise DecisionUnclear(f"this API has no {method} {path}: it is of another version than this command")
    [found] = _at(document, path, described)
    return replace(found, name=name)


def named(known: Mapping[str, Decision], name: str) -> Decision:
    """The decision of that name; raises ``DecisionUnclear``, which names those that there are."""
    if name in known:
        return known[name]
    if not known:
        raise DecisionUnclear("this API has no decisions: it is of another version than this command")
    meant = get_close_matches(name, known, n=1)
    more = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(sorted(known))}"
    raise DecisionUnclear(f"there is no decision {name}: {more}")


def body(decision: Decision, typed: Typed) -> dict[str, Any] | None:
    """What is sent; None where the decision has no fields.

    Raises:
        DecisionUnclear: a field is none of the decision's, is missing, or is no JSON where it is no text.
    """
    there = {*typed.given, *typed.texts}
    if strange := sorted(there - {*decision.fields}):
        takes = f"it takes {', '.join(decision.fields)}" if decision.fields else "it takes none"
        raise DecisionUnclear(f"{decision.name} has no field {', '.join(strange)}: {takes}")
    if missing := [name for name in decision.needed if name not in there]:
        about = [f"{name} ({said})" if (said := explained(decision.fields[name])) else name for name in missing]
        raise DecisionUnclear(f"{decision.name} needs {', '.join(about)}: type {decision.usage}")
    if not decision.fields and not decision.said:
        return None
    texts = {name: _value(decision, name, text) for name, text in typed.texts.items()}
    return {**decision.said, **typed.given, **texts}


def explained(schema: Mapping[str, Any]) -> str:
    """What a field is for, or which words it takes."""
    words = " | ".join(map(str, schema.get("enum", ())))
    return ": ".join(filter(None, (words, str(schema.get("description", "")))))


def _at(document: Mapping[str, Any], name: str, operation: Mapping[str, Any]) -> Iterator[Decision]:
    """The decision of an operation, or each of those that its body tells apart by a word."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = _resolved(document, content.get("schema", {}))
    says = _first_line(operation.get("description", ""))
    if "discriminator" not in schema:
        yield Decision(name, name, says, *_fields(document, schema))
        return
    by = schema["discriminator"]["propertyName"]
    for word, reference in schema["discriminator"]["mapping"].items():
        kind = _resolved(document, {"$ref": reference})
        fields, needed = _fields(document, kind)
        others = {each: said for each, said in fields.items() if each != by}
        needs = [each for each in needed if each != by]
        yield Decision(word, name, _first_line(kind.get("description", says)), others, needs, {by: word})


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields of a body by name, those that must be there first, and which these are."""
    needed = schema.get("required", [])
    named_fields = schema.get("properties", {})
    order = [*needed, *(name for name in named_fields if name not in needed)]
    return {name: _resolved(document, named_fields[name]) for name in order}, list(needed)


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without its references; of a value that may be left out, that of the value."""
    if "$ref" in schema:
        of_it = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return _resolved(document, of_it) | {name: said for name, said in schema.items() if name != "$ref"}
    kinds = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(kinds) == 1:
        return _resolved(document, kinds[0]) | {name: said for name, said in schema.items() if name != "anyOf"}
    return dict(schema)


def _value(decision: Decision, name: str, text: str) -> Any:
    schema = decision.fields[name]
    if schema.get("type") == _TEXT:
        return text
    if schema.get("items", {}).get("type") == _TEXT and not text.startswith("["):
        return [each.strip() for each in text.split(",")]
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        kind = schema.get("type", "value")
        raise DecisionUnclear(f"{name} is no text: write it as JSON ({kind}), as {_example(kind)}") from None
    return value


def _example(kind: str) -> str:
    return {"integer": "3", "number": "0.5", "boolean": "true", "array": '["…"]'}.get(kind, '{"…": "…"}')


def _first_line(text: str) -> str:
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())
