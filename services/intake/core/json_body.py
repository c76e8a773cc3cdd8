"""A JSON body as nobody can read it in two ways: UTF-8, each name once in an object, numbers that are numbers; pure."""

import itertools
import json
from typing import Any, NoReturn

_NAMES = 64
"""Names of one object: several times as many as any of ours has."""
_OBJECTS = 65_536
"""Objects of one body: as many as a thousand requests with fifty changes each have."""


class MalformedBody(ValueError):
    """It is no such JSON; the message says why and quotes nothing."""


def read_json(body: bytes | bytearray) -> Any:
    """The value; raises ``MalformedBody``."""
    try:
        return (_SHORT if len(body) <= _OBJECTS else _counting()).decode(body.decode())
    except MalformedBody:
        raise
    except (ValueError, RecursionError):  # no UTF-8, no JSON, a number of thousands of digits, nested too deep
        raise MalformedBody("not JSON in UTF-8, or nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedBody("a name comes twice in an object")
    if len(found) > _NAMES:
        raise MalformedBody("an object has more names than any of ours has")
    return found


def _constant(_: str) -> NoReturn:
    raise MalformedBody("NaN and Infinity are no JSON")


_SHORT = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
"""Of bodies that are too short to hold too many objects."""


def _counting() -> json.JSONDecoder:
    """Counts the objects of one body: they are what takes time."""
    made = itertools.count(1)

    def make(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if next(made) > _OBJECTS:
            raise MalformedBody("more objects than any body of ours has")
        return _object(pairs)

    return json.JSONDecoder(object_pairs_hook=make, parse_constant=_constant)
