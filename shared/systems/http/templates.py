"""Templates of paths, queries and bodies: values put in by name, each written as its place needs it; pure.

A value that stands alone in a body keeps the JSON type it came with; in a path it is quoted, so that none can lead
elsewhere.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import JsonValue

from shared.domain.errors import Refused

_SLOT = re.compile(r"\{([a-z_]+(?:\.[A-Za-z0-9_]+)*)\}")
_NOWHERE = frozenset({"", ".", ".."})

Values = Mapping[str, Any]
"""What can be put in, by name: identities, ``id``, ``ids``, ``task_id``, ``job``, ``user.id`` of what is above."""


def names_in(template: JsonValue) -> set[str]:
    """The names that a template uses.

    Raises:
        ValueError: a brace belongs to no name
    """
    match template:
        case str():
            if re.search(r"[{}]", _SLOT.sub("", template)):
                raise ValueError(f"{template!r} has a brace that belongs to no name, as in {{email}}")
            return {*_SLOT.findall(template)}
        case dict():
            return {name for value in template.values() for name in names_in(value)}
        case list():
            return {name for value in template for name in names_in(value)}
        case _:
            return set()


def in_path(template: str, values: Values) -> str:
    """A path with the values in it.

    Raises:
        Refused: a value is missing, or cannot be one part of a path
    """

    def part(slot: re.Match[str]) -> str:
        text = _text(_value(slot, values))
        if text in _NOWHERE:
            raise Refused(f"a path needs {{{slot[1]}}}, and what came for it is no part of a path")
        return quote(text, safe="," if isinstance(values[slot[1]], list) else "")

    return _SLOT.sub(part, template)


def in_text(template: str, values: Values) -> str:
    """A text with the values in it; whoever sends it encodes it."""
    return _SLOT.sub(lambda slot: _text(_value(slot, values)), template)


def in_body(template: JsonValue, values: Values) -> JsonValue:
    """A body with the values in it."""
    match template:
        case str():
            if alone := _SLOT.fullmatch(template):
                said: JsonValue = _value(alone, values)
                return said
            return in_text(template, values)
        case dict():
            return {key: in_body(value, values) for key, value in template.items()}
        case list():
            return [in_body(value, values) for value in template]
        case _:
            return template


def _value(slot: re.Match[str], values: Values) -> Any:
    if (value := values.get(slot[1])) is None:
        raise Refused(f"the request needs {{{slot[1]}}}, which nothing that was found gives")
    return value


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_text(each) for each in value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Refused("a value that should be put into a request is neither text nor a whole number")
    return str(value)
