"""A JSON body as nobody can read it in two ways: UTF-8, each name once in an object, numbers that are numbers; pure."""

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
        return json.loads(body.decode(), object_pairs_hook=_Objects(), parse_constant=_constant)
    except MalformedBody:
        raise
    except (ValueError, RecursionError):  # no UTF-8, no JSON, a number of thousands of digits, nested too deep
        raise MalformedBody("not JSON in UTF-8, or nested too deep") from None


class _Objects:
    """Makes the objects of one body, and counts them: they are what takes time."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise MalformedBody("a name comes twice in an object")
        self._made += 1
        if len(found) > _NAMES or self._made > _OBJECTS:
            raise MalformedBody("more objects, or names in one, than any body of ours has")
        return found


def _constant(_: str) -> NoReturn:
    raise MalformedBody("NaN and Infinity are no JSON")
