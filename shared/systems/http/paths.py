"""Reads paths in JSON, tests conditions on answers and records, and fills templates of requests; pure."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from shared.domain.errors import Refused
from shared.systems.engine.records import ABSENT
from shared.systems.states import STATES, StateReason

Path = Annotated[str, StringConstraints(pattern=r"^[^.*\s]+(\.[^.*\s]+)*$", max_length=200)]
"""Names and positions of a list, joined by dots: ``users.0.email``."""
AnyPath = Annotated[str, StringConstraints(pattern=r"^[^.*\s]+(\.\*)?(\.[^.*\s]+)*$", max_length=200)]
"""A path that may have one ``*`` for any element of a list: ``requesters.*.id``."""


def value_at(content: object, path: str) -> object:
    """Returns the value at a path, or ``ABSENT``; null is a value."""
    for name in path.split("."):
        if isinstance(content, Mapping) and name in content:
            content = content[name]
        elif isinstance(content, list) and name.isdecimal() and int(name) < len(content):
            content = content[int(name)]
        else:
            return ABSENT
    return content


def values_at(content: object, path: str) -> list[object]:
    """Returns the value at a path, or with ``*`` one for each element of the list."""
    listed, star, below = path.partition(".*")
    if not star:
        return [value_at(content, path)]
    parts = value_at(content, listed)
    if not isinstance(parts, list):
        return []
    return [value_at(part, below.removeprefix(".")) if below else part for part in parts]


def names_twice(text: bytes) -> bool:
    """Returns whether an object has the same name twice, which parsers read differently (RFC 8259, 4)."""
    twice = False

    def note(pairs: list[tuple[str, object]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in pairs}) < len(pairs)

    json.loads(text, object_pairs_hook=note, parse_int=str, parse_float=str)
    return twice


class HttpAnswer(BaseModel):
    """The status of an answer, and its JSON, if it has any."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    status: int
    body: object = ABSENT


class Condition(BaseModel):
    """A condition on the status of an answer, the value at a path, or both; a path alone needs any value."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    status: int | None = None
    path: Path | None = None
    equals: JsonValue = None
    is_in: tuple[JsonValue, ...] | None = Field(default=None, alias="in")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.status is None and self.path is None:
            raise ValueError("give a status or a path")
        compared = self.model_fields_set & {"equals", "is_in"}
        if compared and self.path is None:
            raise ValueError(f"{', '.join(sorted(compared))} needs the path whose value is meant")
        return self

    def holds(self, answer: HttpAnswer) -> bool:
        """Returns whether an answer meets the condition."""
        if self.status is not None and answer.status != self.status:
            return False
        return self.path is None or self._compares(value_at(answer.body, self.path))

    def holds_of(self, record: object) -> bool:
        """Returns whether a record meets the condition."""
        return self.path is not None and self._compares(value_at(record, self.path))

    def _compares(self, value: object) -> bool:
        if value is ABSENT:
            return False
        if "equals" in self.model_fields_set:
            return same(value, self.equals)
        if self.is_in is not None:
            return any(same(value, each) for each in self.is_in)
        return True


def same(value: object, declared: JsonValue) -> bool:
    """Returns whether two values are the same JSON: true is not 1."""
    return value == declared and isinstance(value, bool) == isinstance(declared, bool)


def any_holds(conditions: Iterable[Condition], answer: HttpAnswer) -> bool:
    """Returns whether an answer meets one of the conditions."""
    return any(each.holds(answer) for each in conditions)


class Refusal(Condition):
    """A state of a record in which nothing of the subject may be erased, or a rule of the policy keeps the record.

    ``over``: the values that end the state; any other value is unknown then. For a state of the policy, a record
    without a value is unknown too.
    """

    reason: StateReason
    over: tuple[JsonValue, ...] = ()

    @property
    def word(self) -> str | None:
        """The name of the state in the policy; None: the policy has none."""
        return STATES.get(self.reason)

    def lasts(self, record: object) -> bool | None:
        """Returns whether a record is in the state; None: unknown."""
        if self.holds_of(record):
            return True
        if self.path is None or not (self.word or self.over):
            return False
        value = value_at(record, self.path)
        if value is ABSENT or value is None:
            return None
        return None if self.over and not any(same(value, each) for each in self.over) else False

    @model_validator(mode="after")
    def _is_of_a_record(self) -> Self:
        if self.path is None:
            raise ValueError("give the path of what a record says")
        if self.over and not self.model_fields_set & {"equals", "is_in"}:
            raise ValueError("over has the values that say that it is not so: write those that say so as in or equals")
        if any(self.lasts_by(each) for each in self.over):
            raise ValueError("over has the values that are not among those of in or equals: write each once")
        return self

    def lasts_by(self, value: JsonValue) -> bool:
        """Returns whether a value means that the state lasts."""
        return same(value, self.equals) if "equals" in self.model_fields_set else value in (self.is_in or ())


# Templates of paths, queries and bodies. A value alone in a body keeps its JSON type; in a path it is quoted.

_SLOT = re.compile(r"\{([a-z_]+(?:\.[A-Za-z0-9_]+)*)\}")
_INVALID_SEGMENTS = frozenset({"", ".", ".."})

Values = Mapping[str, Any]
"""Values by name: identities, ``id``, ``ids``, ``task_id``, ``job``, ``user.id`` of a record above."""


def names_in(template: JsonValue) -> set[str]:
    """Returns the names that a template uses; raises ``ValueError`` for a brace without a name."""
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
    """Returns a path with the values; raises ``Refused`` if one is missing or cannot be a segment of a path."""

    def part(slot: re.Match[str]) -> str:
        text = _text(_value(slot, values))
        if text in _INVALID_SEGMENTS:
            raise Refused(f"a path needs {{{slot[1]}}}, and what came for it is no part of a path")
        return quote(text, safe="," if isinstance(values[slot[1]], list) else "")

    return _SLOT.sub(part, template)


def in_text(template: str, values: Values) -> str:
    """Returns a text with the values, not encoded."""
    return _SLOT.sub(lambda slot: _text(_value(slot, values)), template)


def in_body(template: JsonValue, values: Values) -> JsonValue:
    """Returns a body with the values."""
    match template:
        case str():
            if alone := _SLOT.fullmatch(template):
                filled: JsonValue = _value(alone, values)
                return filled
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
