"""Paths into JSON answers, conditions that an answer or a record is tested by, and templates of requests; pure.

A state that the policy knows keeps what its rules say. For any other nothing of theirs goes.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from shared.domain.errors import Refused
from shared.systems.engine.records import ABSENT
from shared.systems.states import STATES, Reason

Path = Annotated[str, StringConstraints(pattern=r"^[^.*\s]+(\.[^.*\s]+)*$", max_length=200)]
"""Names and positions of a list, joined by dots: ``users.0.email``."""
AnyPath = Annotated[str, StringConstraints(pattern=r"^[^.*\s]+(\.\*)?(\.[^.*\s]+)*$", max_length=200)]
"""The same, or one with ``*`` for any part of a list that the record has: ``requesters.*.id``."""


def at(said: object, path: str) -> object:
    """What stands there in an answer, or ``ABSENT``; null is there."""
    for name in path.split("."):
        if isinstance(said, Mapping) and name in said:
            said = said[name]
        elif isinstance(said, list) and name.isdecimal() and int(name) < len(said):
            said = said[int(name)]
        else:
            return ABSENT
    return said


def each_at(said: object, path: str) -> list[object]:
    """What stands there: one thing, or with ``*`` in the path one for each part of that list."""
    listed, star, below = path.partition(".*")
    if not star:
        return [at(said, path)]
    parts = at(said, listed)
    if not isinstance(parts, list):
        return []
    return [at(part, below.removeprefix(".")) if below else part for part in parts]


def names_twice(text: bytes) -> bool:
    """Whether an object of JSON has two values of one name, of which every reader takes another (RFC 8259, 4)."""
    twice = False

    def note(pairs: list[tuple[str, object]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in pairs}) < len(pairs)

    json.loads(text, object_pairs_hook=note, parse_int=str, parse_float=str)
    return twice


class Answer(BaseModel):
    """What of an answer conditions look at: its status, and its JSON, if it is any."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    status: int
    said: object = ABSENT


class Condition(BaseModel):
    """All of what is named here holds: the status, and what a path of the answer or of a record leads to.

    ``equals`` and ``is_in`` say what of it; a path alone must lead to something.
    """

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

    def holds(self, answer: Answer) -> bool:
        """Whether the answer is so."""
        if self.status is not None and answer.status != self.status:
            return False
        return self.path is None or self._compares(at(answer.said, self.path))

    def holds_of(self, record: object) -> bool:
        """Whether a record is so."""
        return self.path is not None and self._compares(at(record, self.path))

    def _compares(self, value: object) -> bool:
        if value is ABSENT:
            return False
        if "equals" in self.model_fields_set:
            return same(value, self.equals)
        if self.is_in is not None:
            return any(same(value, each) for each in self.is_in)
        return True


def same(value: object, declared: JsonValue) -> bool:
    """Whether they are the same JSON: true is not 1."""
    return value == declared and isinstance(value, bool) == isinstance(declared, bool)


def any_holds(conditions: Iterable[Condition], answer: Answer) -> bool:
    """Whether one of the conditions holds; of none, none does."""
    return any(each.holds(answer) for each in conditions)


class Refusal(Condition):
    """In which state of a record nothing of the subject may be erased, and why, in a word of ours.

    Where that is a state while which a rule of the policy keeps it, it stays by that rule.

    ``over``: the values that say that it is not so; with them any other is one that nobody knows. Of a state that rules
    of the policy rest on a record without a value says neither.
    """

    reason: Reason
    over: tuple[JsonValue, ...] = ()

    @property
    def word(self) -> str | None:
        """What the rules of the policy call the state; None: they have none for it."""
        return STATES.get(self.reason)

    def lasts(self, record: object) -> bool | None:
        """Whether it lasts by a record; None: that does not tell."""
        if self.holds_of(record):
            return True
        if self.path is None or not (self.word or self.over):
            return False
        value = at(record, self.path)
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
        """Whether it lasts where that value stands."""
        return same(value, self.equals) if "equals" in self.model_fields_set else value in (self.is_in or ())


# Templates of paths, queries and bodies: values put in by name, each written as its place needs it. A value that stands
# alone in a body keeps the JSON type it came with; in a path it is quoted, so that none can lead elsewhere.

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
